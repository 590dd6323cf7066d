//! A sign-out by the real tenant finds whoever was imported, whatever the realm of their tokens was
//! called.

use super::*;

const HOME: &str = TENANT_A;
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const UNKNOWN: &str =
    "realm: which tenant it is of the file does not tell, and a sign-out by that would miss it";

/// Tokens of each kind in a realm, and an ID token that says which tenant issued it.
fn of_realm(realm: &str, tid: Option<&str>, changes: &Value) -> Value {
    let mut claims = json!({"iss": "https://op", "sub": "s", "sid": "sid", "iat": NOW - 60});
    if let Some(tid) = tid {
        claims["tid"] = tid.into();
    }
    let entry =
        |node: &str| changed(changed(whole(node, USER), json!({"realm": realm})), changes.clone());
    let mut id = entry("IdToken");
    id["secret"] = id_token(&claims).into();
    let refresh = changed(entry("RefreshToken"), json!({"realm": null}));
    json!({"AccessToken": {"1": entry("AccessToken")}, "IdToken": {"1": id}, "RefreshToken": {"1": refresh},
        "Account": {"1": entry("Account")}})
}

/// The tenants of the sign-in and of its tokens.
fn tenants(cache: &MsalCache) -> Vec<String> {
    let of = |sign_in: &MsalSignIn| {
        let own = sign_in.sign_in.tenant();
        let tokens = sign_in.tokens.iter().map(|token| token.tenant().unwrap_or(own));
        let all: std::collections::BTreeSet<&str> =
            std::iter::once(own).chain(tokens).map(TenantId::as_str).collect();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    cache.sign_ins.iter().flat_map(of).collect()
}

/// Imports, signs the tenant out, and imports again: who was there is out, and stays out.
fn is_out_by(cache: &Value, tenant: &str) {
    let (store, text) = (store(), cache.to_string());
    let account = read(&text).sign_ins[0].sign_in.account().clone();
    assert_eq!(take_over(&store, read(&text)), 1, "{text}");
    let live = store.account(&account).unwrap().into_iter().next_back().unwrap();
    let query = || RefreshQuery::client(ClientId::new("web").unwrap());
    store.sign_out(SignOut::tenant(&TenantId::new(tenant).unwrap())).unwrap();
    assert!(!live.is_live().unwrap() && live.refresh_token(query()).unwrap().is_none(), "{text}");
    assert!(store.account(&account).unwrap().is_empty(), "{text}");
    assert_eq!(take_over(&store, read(&text)), 0, "{text}");
    assert!(store.account(&account).unwrap().is_empty(), "{text}");
}

#[test]
fn a_guid_is_the_tenant() {
    for realm in [TENANT_B.to_owned(), TENANT_B.to_uppercase()] {
        // Whatever an ID token says.
        for tid in [None, Some(TENANT_B), Some(HOME)] {
            let cache = of_realm(&realm, tid, &json!({}));
            assert_eq!(tenants(&read(&cache.to_string())), [TENANT_B]);
            is_out_by(&cache, TENANT_B);
        }
    }
}

#[test]
fn an_alias_is_the_home_tenant() {
    for alias in ["organizations", "common", "Organizations", "COMMON"] {
        for tid in [None, Some(HOME)] {
            let cache = of_realm(alias, tid, &json!({}));
            assert_eq!(tenants(&read(&cache.to_string())), [HOME], "{alias}");
            is_out_by(&cache, HOME);
        }
        // Where the home account id does not tell it the ID token does.
        let cache =
            of_realm(alias, Some(TENANT_B), &json!({"home_account_id": "Pairwise-Subject_1"}));
        assert_eq!(tenants(&read(&cache.to_string())), [TENANT_B], "{alias}");
        is_out_by(&cache, TENANT_B);
    }
    let id = format!("00000000-0000-0000-8bad-000000000003.{PERSONAL}");
    for alias in ["common", "consumers", "Consumers"] {
        for tid in [None, Some(PERSONAL)] {
            let cache = of_realm(alias, tid, &json!({"home_account_id": id}));
            assert_eq!(tenants(&read(&cache.to_string())), [PERSONAL], "{alias}");
            is_out_by(&cache, PERSONAL);
        }
    }
    let cache = of_realm("consumers", None, &json!({"home_account_id": "Pairwise-Subject_1"}));
    assert_eq!(tenants(&read(&cache.to_string())), [PERSONAL]);
    is_out_by(&cache, PERSONAL);
}

#[test]
fn a_domain_is_the_tenant_that_id_tokens_of_it_name() {
    for domain in ["contoso.onmicrosoft.com", "contoso.com", "Contoso.COM"] {
        // At home, and as a guest.
        for tid in [HOME, TENANT_B] {
            let cache = of_realm(domain, Some(tid), &json!({}));
            assert_eq!(tenants(&read(&cache.to_string())), [tid], "{domain}");
            is_out_by(&cache, tid);
        }
    }
    // Where `tid` is left out the issuer tells.
    let mut cache = of_realm("contoso.com", None, &json!({}));
    let iss = format!("https://login.microsoftonline.com/{}/v2.0", TENANT_B.to_uppercase());
    cache["IdToken"]["1"]["secret"] = id_token(&json!({"iss": iss, "sub": "s", "iat": NOW})).into();
    assert_eq!(tenants(&read(&cache.to_string())), [TENANT_B]);
    is_out_by(&cache, TENANT_B);
}

#[test]
fn a_domain_is_told_by_other_users_and_apps_are_told_too() {
    const OTHER: &str = "99999999-0000-4000-8000-000000000009";
    let mut cache =
        of_realm("contoso.com", Some(TENANT_B), &json!({"environment": "login.windows.net"}));
    cache["AccessToken"]["2"] = changed(
        whole("AccessToken", OTHER),
        json!({"realm": "CONTOSO.com", "environment": "login.windows.net"}),
    );
    cache["Account"]["2"] = whole("Account", OTHER);
    let app = json!({"home_account_id": "", "realm": "contoso.com", "target": "api/.default"});
    cache["AccessToken"]["3"] = changed(whole("AccessToken", USER), app.clone());
    let read_cache = read(&cache.to_string());
    assert_eq!(
        (problems(&read_cache), tenants(&read_cache)),
        (vec![], vec![TENANT_B.to_owned(); 3])
    );
    assert_eq!(read_cache.sign_ins[2].sign_in.account().as_app().unwrap().0.as_str(), TENANT_B);
    let store = store();
    assert_eq!(take_over(&store, read_cache), 3);
    store.sign_out(SignOut::tenant(&TenantId::new(TENANT_B).unwrap())).unwrap();
    assert_eq!(take_over(&store, read(&cache.to_string())), 0);

    // But not by users of another cloud; and the tenant of an app is told by nobody's home.
    cache["AccessToken"]["3"]["environment"] = "login.microsoftonline.us".into();
    let again = read(&cache.to_string());
    assert_eq!(
        (again.sign_ins.len(), problems(&again)),
        (2, vec![format!("AccessToken entry 3: {UNKNOWN}")])
    );
    for realm in ["organizations", "common"] {
        let app =
            changed(whole("AccessToken", USER), changed(app.clone(), json!({"realm": realm})));
        let cache = read(&json!({"AccessToken": {"1": app}}).to_string());
        assert_eq!(
            (cache.sign_ins.len(), problems(&cache)),
            (0, vec![format!("AccessToken entry 1: {UNKNOWN}")])
        );
    }
}

#[test]
fn in_a_b2c_directory_everybody_is_at_home() {
    for changes in [
        json!({"environment": "contoso.b2clogin.com"}),
        // With a domain of its own, the user flow tells.
        json!({"environment": "login.contoso.com", "home_account_id": format!("{USER}-b2c_1_sign_in.{HOME}")}),
    ] {
        let cache = of_realm("contoso.onmicrosoft.com", None, &changes);
        assert_eq!(tenants(&read(&cache.to_string())), [HOME]);
        is_out_by(&cache, HOME);
    }
}

#[test]
fn an_ad_fs_is_its_own_tenant_and_none_is_called_adfs() {
    for realm in ["adfs", "ADFS"] {
        let cache = of_realm(
            realm,
            None,
            &json!({"home_account_id": "Sub+/=", "environment": "FS.example.com"}),
        );
        assert_eq!(tenants(&read(&cache.to_string())), ["fs.example.com"]);
        is_out_by(&cache, "fs.example.com");
    }
    // MSAL for Node may write the `acr` of its ID tokens there.
    let changes = json!({"home_account_id": "Sub+/=", "environment": "fs.example.com", "authority_type": "ADFS"});
    let cache = of_realm("urn:federation:authentication:windows", None, &changes);
    assert_eq!(tenants(&read(&cache.to_string())), ["fs.example.com"]);
    is_out_by(&cache, "fs.example.com");
    // The app's own tokens too.
    let app = json!({"home_account_id": null, "realm": "adfs", "target": "api/.default", "environment": "FS.example.com"});
    let cache =
        read(&json!({"AccessToken": {"1": changed(whole("AccessToken", USER), app)}}).to_string());
    assert_eq!(cache.sign_ins[0].sign_in.account().as_app().unwrap().0.as_str(), "fs.example.com");
}

#[test]
fn a_tenant_that_is_not_told_or_told_in_two_ways_is_nobodys() {
    let none = |cache: &Value, left_out: &[&str]| {
        let cache = read(&cache.to_string());
        let unknown: Vec<String> = cache
            .problems
            .iter()
            .filter(|it| it.kind == MsalProblemKind::UnknownTenant)
            .map(|it| it.to_string())
            .collect();
        let expected: Vec<String> =
            left_out.iter().map(|node| format!("{node} entry 1: {UNKNOWN}")).collect();
        assert_eq!(unknown, expected);
        cache
    };
    let all = ["IdToken", "AccessToken", "RefreshToken"];
    // No ID token tells whose domain it is. A user at home in one tenant may be a guest of it.
    assert_eq!(none(&of_realm("contoso.com", None, &json!({})), &all).sign_ins.len(), 0);
    // What is no tenant at a server of which nothing is known: as MSAL for Python writes for
    // Keycloak, with the start of a path.
    let keycloak = json!({"home_account_id": "sub", "environment": "sso.example.com"});
    assert_eq!(none(&of_realm("realms", None, &keycloak), &all).sign_ins.len(), 0);
    // An alias with no home that is told. The cloud itself is no tenant.
    assert_eq!(
        none(&of_realm("organizations", None, &json!({"home_account_id": "sub"})), &all)
            .sign_ins
            .len(),
        0
    );
    assert_eq!(
        none(&of_realm("", None, &json!({"home_account_id": "sub"})), &all).sign_ins.len(),
        0
    );
    let refresh = json!({"RefreshToken": {"1": changed(whole("RefreshToken", USER), json!({"home_account_id": "sub", "realm": null}))}});
    assert_eq!(none(&with_accounts(refresh), &["RefreshToken"]).sign_ins.len(), 0);
    // Told in two ways. What says itself by whom it was issued stays, in that tenant.
    let mut two = of_realm("contoso.com", Some(TENANT_B), &json!({}));
    two["IdToken"]["2"] = changed(
        two["IdToken"]["1"].clone(),
        json!({"client_id": "other", "secret": id_token(&json!({"tid": HOME}))}),
    );
    let cache = none(&two, &["AccessToken"]);
    assert_eq!(
        (tenants(&cache), secrets(&cache).len()),
        (vec![HOME.to_owned(), TENANT_B.to_owned()], 3)
    );
    let cache = none(&of_realm("common", Some(TENANT_B), &json!({})), &["AccessToken"]);
    assert_eq!(tenants(&cache), [TENANT_B]);
    // A name does not tell of itself.
    for name in ["common", "adfs"] {
        assert_eq!(
            none(&of_realm(name, None, &json!({"home_account_id": format!("uid.{name}")})), &all)
                .sign_ins
                .len(),
            0
        );
    }
    let wrong = of_realm("consumers", None, &json!({}));
    assert_eq!(none(&wrong, &all).sign_ins.len(), 0);
}

#[test]
fn a_session_of_a_token_that_is_left_out_is_known_all_the_same() {
    let mut cache = of_realm("contoso.com", None, &json!({}));
    cache["AccessToken"]["2"] = whole("AccessToken", USER);
    let cache = read(&cache.to_string());
    assert_eq!((cache.sign_ins.len(), tenants(&cache)), (1, vec![HOME.to_owned()]));
    let store = store();
    assert_eq!(take_over(&store, cache), 1);
    let account = AccountId::msal("login.windows.net", &format!("{USER}.{HOME}")).unwrap();
    assert!(!store.account(&account).unwrap().is_empty());
    store.sign_out(SignOut::session(&SessionId::new("https://op", "sid").unwrap())).unwrap();
    assert!(store.account(&account).unwrap().is_empty());
}

/// Whoever has several names and tenants is signed out by one tenant, and comes back under none of
/// the names.
#[test]
fn a_user_of_several_tenants_does_not_come_back_by_another_name() {
    for sample in [PYTHON, NODE] {
        let store = store();
        let account = read(sample).sign_ins[0].sign_in.account().clone();
        assert!(!read(sample).sign_ins[0].others.is_empty());
        take_over(&store, read(sample));
        store.sign_out(SignOut::tenant(&TenantId::new(TENANT_A).unwrap())).unwrap();
        assert!(store.account(&account).unwrap().is_empty());
        take_over(&store, read(sample));
        assert!(store.account(&account).unwrap().is_empty());
        // Nor anybody else of that tenant; whoever is of another stays.
        let tenants: Vec<_> = read(sample)
            .sign_ins
            .iter()
            .map(|it| (it.sign_in.account().clone(), it.sign_in.tenant().clone()))
            .collect();
        for (account, tenant) in tenants {
            assert_eq!(store.account(&account).unwrap().is_empty(), tenant.as_str() == TENANT_A);
        }
    }
}

#[test]
fn the_tenant_of_a_sign_in() {
    let id = |node: &str, realm: &str| changed(whole(node, USER), json!({"realm": realm}));
    let (guest, two) = (TENANT_B, "cccccccc-0000-4000-8000-00000000000c");
    let tenant =
        |cache: Value| read_with_accounts(cache).sign_ins[0].sign_in.tenant().as_str().to_owned();
    // A guest of one tenant only is signed in there; one of several, at home.
    assert_eq!(tenant(json!({"AccessToken": {"1": id("AccessToken", guest)}})), guest);
    assert_eq!(
        tenant(
            json!({"AccessToken": {"1": id("AccessToken", guest)}, "Account": {"1": id("Account", HOME)}})
        ),
        guest
    );
    assert_eq!(
        tenant(
            json!({"AccessToken": {"1": id("AccessToken", guest), "2": id("AccessToken", two)}})
        ),
        HOME
    );
    // Refresh tokens alone: as the account entry says, or at home.
    let refresh = json!({"1": id("RefreshToken", "")});
    let upper = guest.to_uppercase();
    assert_eq!(
        tenant(json!({"RefreshToken": refresh, "Account": {"1": id("Account", &upper)}})),
        guest
    );
    assert_eq!(tenant(json!({"RefreshToken": refresh})), HOME);
    // The case of letters does not make two.
    assert_eq!(
        tenant(
            json!({"AccessToken": {"1": id("AccessToken", guest), "2": id("AccessToken", &upper)}})
        ),
        guest
    );
    // Tenants that are no GUIDs: those that the home account id shows to be tenants of that server.
    let own =
        json!({"home_account_id": "uid.Utid", "environment": "login.example.com", "realm": "uTID"});
    assert_eq!(
        tenant(json!({"AccessToken": {"1": changed(whole("AccessToken", USER), own)}})),
        "utid"
    );
}

#[test]
fn a_server_without_tenants_is_its_own() {
    let entry = json!({"home_account_id": "Sub+/=", "environment": "FS.example.com", "client_id": "web", "secret": "FAKE-AT",
        "target": "", "expires_on": "1795136400"});
    let cache =
        read_with_accounts(json!({"AccessToken": {"key": entry}, "RefreshToken": {"key": entry}}));
    assert_eq!(summary(&cache), ["Sub+/= in fs.example.com: AT AT"]);
    // MSAL.NET writes no realm where MSAL for Python writes `adfs`.
    let named = changed(entry.clone(), json!({"realm": "adfs", "client_id": "other"}));
    let cache = read_with_accounts(json!({"AccessToken": {"1": named, "2": entry}}));
    assert_eq!(
        (problems(&cache), summary(&cache)),
        (vec![], vec!["Sub+/= in fs.example.com: AT AT".to_owned()])
    );
    // But where some entries name tenants, one that does not has lost it.
    let named = changed(entry.clone(), json!({"realm": TENANT_A}));
    let cache = read_with_accounts(json!({"AccessToken": {"1": named, "2": entry}}));
    assert_eq!(
        (problems(&cache), summary(&cache)),
        (
            vec!["AccessToken entry 2: realm: it is missing".into()],
            vec![format!("Sub+/= in {TENANT_A}: AT")]
        )
    );
}
