//! Whole caches of each library.

use super::*;

/// By hand, after MSAL.NET: no home account id for the app's own token, `ext_expires_on` beside
/// `extended_expires_on`, the cloud's other name, an unknown node and field, a byte-order mark, and
/// commas that JSON does not allow.
pub(crate) const DOTNET: &str = concat!(
    "\u{feff}",
    r#"{
  "AccessToken": {
    "11111111-0000-4000-8000-000000000001.aaaaaaaa-0000-4000-8000-00000000000a-login.windows.net-accesstoken-web-aaaaaaaa-0000-4000-8000-00000000000a-user.read": {
      "home_account_id": "11111111-0000-4000-8000-000000000001.aaaaaaaa-0000-4000-8000-00000000000a",
      "environment": "sts.windows.net",
      "client_info": "e30",
      "client_id": "web",
      "secret": "FAKE-AT-1",
      "credential_type": "AccessToken",
      "realm": "AAAAAAAA-0000-4000-8000-00000000000A",
      "target": "User.Read openid",
      "cached_at": "1795132800",
      "expires_on": "1795136400",
      "extended_expires_on": "1795140000",
      "ext_expires_on": "1795140000",
      "from_the_future": {"a": [1, 2,],},
    },
    "-login.windows.net-accesstoken-web-aaaaaaaa-0000-4000-8000-00000000000a-api/.default": {
      "environment": "login.windows.net",
      "client_id": "web",
      "secret": "FAKE-AT-2",
      "credential_type": "AccessToken",
      "realm": "aaaaaaaa-0000-4000-8000-00000000000a",
      "target": "api/.default",
      "expires_on": "1795136400",
      "token_type": "Bearer",
    },
  },
  "RefreshToken": {
    "key": {
      "home_account_id": "11111111-0000-4000-8000-000000000001.aaaaaaaa-0000-4000-8000-00000000000a",
      "environment": "login.windows.net",
      "client_id": "web",
      "secret": "FAKE-RT-1",
      "credential_type": "RefreshToken",
      "family_id": "1"
    }
  },
  "IdToken": {},
  "Account": {
    "key": {
      "home_account_id": "11111111-0000-4000-8000-000000000001.aaaaaaaa-0000-4000-8000-00000000000a",
      "environment": "login.windows.net",
      "realm": "aaaaaaaa-0000-4000-8000-00000000000a",
      "local_account_id": "11111111-0000-4000-8000-000000000001",
      "username": "User-1@Example.com",
      "authority_type": "MSSTS",
      "wam_account_ids": {"web": "wam"}
    }
  },
  "AppMetadata": {"appmetadata-login.windows.net-web": {"client_id": "web", "environment": "login.windows.net"}},
  "NodeFromTheFuture": {"key": "value"},
}"#
);

/// By hand, after MSAL for Java: all kinds of tokens in one map, nulls written out, the B2C policy
/// in the second half of the id, and an unknown node.
pub(crate) const JAVA: &str = r#"{
  "AccessToken": {
    "b2c": {
      "credential_type": "AccessToken", "client_id": "web", "secret": "FAKE-AT-1", "realm": "example.onmicrosoft.com",
      "home_account_id": "11111111-0000-4000-8000-000000000001.aaaaaaaa-0000-4000-8000-00000000000a-b2c_1_edit",
      "environment": "example.b2clogin.com", "target": "https://example.com/api",
      "cached_at": "1795132800", "expires_on": "1795136400", "extended_expires_on": "0", "user_assertion_hash": null
    },
    "obo": {
      "credential_type": "AccessToken", "client_id": "web", "secret": "FAKE-AT-2", "realm": "example.onmicrosoft.com",
      "home_account_id": "11111111-0000-4000-8000-000000000001-b2c_1_sign_in.aaaaaaaa-0000-4000-8000-00000000000a",
      "environment": "EXAMPLE.b2clogin.com", "target": "https://example.com/api",
      "cached_at": "1795132800", "expires_on": "1795136400",
      "user_assertion_hash": "LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564="
    },
    "app": {
      "credential_type": "AccessToken", "client_id": "web", "secret": "FAKE-AT-3", "realm": "example.onmicrosoft.com",
      "home_account_id": null, "environment": "example.b2clogin.com", "target": "https://example.com/.default",
      "cached_at": "1795132800", "expires_on": "1795136400"
    }
  },
  "RefreshToken": {}, "IdToken": {}, "AppMetadata": {},
  "Account": {
    "b2c": {
      "home_account_id": "11111111-0000-4000-8000-000000000001-b2c_1_sign_in.aaaaaaaa-0000-4000-8000-00000000000a",
      "environment": "example.b2clogin.com", "realm": "example.onmicrosoft.com", "authority_type": "MSSTS",
      "local_account_id": "11111111-0000-4000-8000-000000000001", "username": null
    }
  },
  "an-entry": {"foo": "bar"}
}"#;

#[test]
fn a_cache_of_msal_for_python() {
    let cache = read(PYTHON);
    assert_eq!(problems(&cache), [""; 0]);
    assert_eq!(
        summary(&cache),
        [
            format!(
                "11111111 in {TENANT_A}: ID ID@B ID ACCESS-01 ACCESS-02 ACCESS-03@B ACCESS-11 REFRESH-03 REFRESH-11"
            ),
            format!("22222222 in {TENANT_A}: ID ID@B ACCESS-04 ACCESS-08@B REFRESH-08"),
            format!("33333333 in {TENANT_B}: ID ACCESS-05 REFRESH-05"),
            "b2b2b2b2 in b2c00000-0000-4000-8000-0000000000b2: ID ACCESS-06 REFRESH-06".into(),
            "Fake-Sub in fs.example.com: ID ACCESS-07 REFRESH-07".into(),
            format!("app in {TENANT_A}: ACCESS-09"),
            format!("app in {TENANT_B}: ACCESS-10"),
        ]
    );
    let user_1 = &cache.sign_ins[0];
    let alias = |sign_in| {
        live(sign_in)
            .aliases()
            .iter()
            .map(|alias| (alias.kind(), alias.value().to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(alias(&user_1.sign_in), [(AliasKind::Email, "user-1@example.com".into())]);
    assert_eq!(live(&user_1.sign_in).signed_in_at(), at(NOW - 600));
    // The ID tokens of the desktop app and the web app at home, and of the web app where the user
    // is a guest.
    let all: Vec<_> = user_1.others.iter().chain([&user_1.sign_in]).collect();
    let subject =
        |sign_in: &SignIn| live(sign_in).subject().map(|subject| subject.sub().to_owned()).unwrap();
    let subjects: Vec<_> = all.iter().map(|sign_in| subject(sign_in)).collect();
    assert_eq!(
        subjects,
        [
            "fake-subject-of-user-1-for-c1",
            "fake-subject-of-user-1-for-c1",
            "fake-subject-of-user-1-for-c2"
        ]
    );
    let issued_by_b = |sign_in: &SignIn| {
        live(sign_in).subject().is_some_and(|subject| subject.issuer().contains(TENANT_B))
    };
    assert_eq!(
        all.iter().map(|sign_in| issued_by_b(sign_in)).collect::<Vec<_>>(),
        [true, false, false]
    );
    for sign_in in all {
        assert_eq!(sign_in.tenant().as_str(), TENANT_A);
        // Of the cloud, whatever the tenant.
        let session = live(sign_in).session().cloned().unwrap();
        assert_eq!(
            (session.issuer(), session.sid()),
            ("https://login.microsoftonline.com", "fake-session-of-user-1")
        );
    }
    assert_eq!(user_1.accounts.len(), 2);
    let adfs = &cache.sign_ins[4];
    assert_eq!(alias(&adfs.sign_in), [(AliasKind::Opaque, "EXAMPLE\\user-adfs".into())]);
    assert_eq!(adfs.sign_in.account().home_account_id(), Some("Fake-Subject+of/user-adfs="));
    assert_eq!(cache.other.keys().collect::<Vec<_>>(), ["AppMetadata"]);

    let first = access_tokens(&cache)[0];
    assert_eq!(first.client_id.as_str(), "c1000000-0000-4000-8000-000000000001");
    assert_eq!(first.scopes.joined(), "Mail.Read User.Read offline_access openid profile");
    let times = [expiry(first), first.refresh_at, first.extended_expires_at];
    assert_eq!(times, [Some(at(NOW + 3600)), Some(at(NOW + 1800)), None]);
    assert_eq!((first.token_type.as_str(), &first.resource), ("Bearer", &None));
    assert_eq!(
        serde_json::from_slice::<Value>(&first.extra).unwrap(),
        json!({"cached_at": "1795132800"})
    );
    let families: Vec<_> =
        refresh_tokens(&cache).iter().filter_map(|token| token.family_id.as_deref()).collect();
    assert_eq!(families, ["1"]);
}

#[test]
fn a_cache_of_msal_for_node() {
    let cache = read(NODE);
    assert_eq!(problems(&cache), [""; 0]);
    assert_eq!(
        summary(&cache),
        [
            format!(
                "11111111 in {TENANT_A}: ID ID@B ID ACCESS-01 ACCESS-02 ACCESS-03@B ACCESS-11 REFRESH-03 REFRESH-11"
            ),
            format!(
                "22222222 in {TENANT_A}: ID ACCESS-04 ACCESS-07(obo) ACCESS-08(obo) REFRESH-08"
            ),
            format!("33333333 in {TENANT_B}: ID ACCESS-05 REFRESH-05"),
            "b2b2b2b2 in b2c00000-0000-4000-8000-0000000000b2: ID ACCESS-06 REFRESH-06".into(),
            format!("app in {TENANT_A}: ACCESS-09"),
            format!("app in {TENANT_B}: ACCESS-10"),
        ]
    );
    let b2c: Value = serde_json::from_slice(&access_tokens(&cache)[8].extra).unwrap();
    assert_eq!(
        b2c,
        json!({"cached_at": "1795132805", "realm": "b2c_1_sign_in"}),
        "a user flow is no tenant, but it is kept"
    );
    // Both libraries mean the same account, whatever they call the cloud and whatever the B2C user
    // flow.
    let python = read(PYTHON);
    for n in 0..4 {
        assert_eq!(cache.sign_ins[n].sign_in.account(), python.sign_ins[n].sign_in.account());
    }
    let of_user_2: Vec<_> =
        access_tokens(&cache).into_iter().filter(|token| !token.partition.is_user()).collect();
    assert_eq!(of_user_2[0].partition, Partition::on_behalf_of("user-2.assertion"));
    assert_eq!(of_user_2[1].partition, Partition::on_behalf_of("user-2.second-assertion"));
}

#[test]
fn a_cache_of_msal_net() {
    let cache = read(DOTNET);
    assert_eq!(problems(&cache), [""; 0]);
    assert_eq!(
        summary(&cache),
        [format!("11111111 in {TENANT_A}: AT-1 RT-1"), format!("app in {TENANT_A}: AT-2")]
    );
    assert_eq!(cache.sign_ins[0].sign_in.account().authority(), Some("login.microsoftonline.com"));
    let extra: Value = serde_json::from_slice(&access_tokens(&cache)[0].extra).unwrap();
    assert_eq!(
        extra,
        json!({"client_info": "e30", "cached_at": "1795132800", "from_the_future": {"a": [1, 2]}})
    );
    assert_eq!(
        access_tokens(&cache)[0].extended_expires_at,
        Some(at(NOW + 7200)),
        "that it is .NET's can be told"
    );
    assert_eq!(access_tokens(&cache)[1].extra, b"");
    assert_eq!(cache.other.keys().collect::<Vec<_>>(), ["AppMetadata", "NodeFromTheFuture"]);
    assert_eq!(cache.sign_ins[0].accounts[0]["wam_account_ids"]["web"], "wam");
}

#[test]
fn a_cache_of_msal_for_java() {
    let cache = read(JAVA);
    assert_eq!(problems(&cache), [""; 0]);
    assert_eq!(
        summary(&cache),
        [format!("11111111 in {TENANT_A}: AT-1 AT-2(obo)"), format!("app in {TENANT_A}: AT-3")]
    );
    assert_eq!(access_tokens(&cache)[0].extended_expires_at, None, "0 is none");
    assert_eq!(access_tokens(&cache)[1].partition, Partition::on_behalf_of("foo"));
    assert_eq!(cache.other["an-entry"]["foo"], "bar");
}

#[test]
fn a_store_takes_all_of_it_and_a_sign_out_finds_it() {
    for sample in [PYTHON, NODE, DOTNET, JAVA] {
        let store = store();
        for MsalSignIn { others, sign_in, tokens, .. } in read(sample).sign_ins {
            for other in others {
                store.sign_in(other).unwrap();
            }
            let given = tokens.len();
            assert_eq!(store.sign_in(sign_in).unwrap().put(tokens).unwrap().stored, given);
        }
    }
    // A guest is signed out by the session of the tenant where it is one.
    let store = store();
    let MsalSignIn { others, sign_in, tokens, .. } = read(PYTHON).sign_ins.swap_remove(0);
    let is_guests = |other: &&SignIn| {
        live(other).subject().is_some_and(|subject| subject.issuer().contains(TENANT_B))
    };
    let guest = others.iter().find(is_guests).unwrap();
    let session = live(guest).session().cloned().unwrap();
    for other in others {
        store.sign_in(other).unwrap();
    }
    let home = store.sign_in(sign_in).unwrap();
    home.put(tokens).unwrap();
    assert!(home.is_live().unwrap());
    store.sign_out(SignOut::session(&session)).unwrap();
    assert!(!home.is_live().unwrap());
}
