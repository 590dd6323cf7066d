//! Token responses as tokens.

use std::time::Duration;

use oauth2::basic::{BasicTokenResponse, BasicTokenType};
use oauth2::{EmptyExtraTokenFields, StandardTokenResponse};
use oubliette::oauth::{ProviderFields, Received, TokenAnswer};
use oubliette::openid::ProviderTokenResponse;
use oubliette::*;
use oubliette_testkit::accounts::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

type WithFields = StandardTokenResponse<ProviderFields, BasicTokenType>;

fn received() -> Received {
    Received::new(client(), now()).requested_scopes(scopes("mail.read"))
}

fn response<R: DeserializeOwned>(json: Value) -> R {
    serde_json::from_value(json).unwrap()
}

/// A live sign-in at [`now`], when the responses come.
fn live() -> LiveSignIn {
    Machine::new()
        .builder()
        .clock(ManualClock::new(now()))
        .open()
        .unwrap()
        .sign_in(sign_in(1))
        .unwrap()
}

/// What is stored.
fn taken<R: oauth2::TokenResponse>(
    received: &Received,
    response: &R,
) -> (AccessToken, Option<RefreshToken>, Option<IdToken>) {
    let live = live();
    live.put(received.tokens(response).unwrap()).unwrap();
    let access = live.access_token(&AccessQuery::new(client())).unwrap().unwrap();
    let of_family = live.refresh_token(RefreshQuery::family("1")).unwrap();
    let refresh = live.refresh_token(&client()).unwrap().or(of_family);
    (access, refresh, live.id_token(&client()).unwrap())
}

fn access_of(json: Value) -> AccessToken {
    taken(&received(), &response::<WithFields>(json)).0
}

fn in_seconds(seconds: u64) -> std::time::SystemTime {
    now() + Duration::from_secs(seconds)
}

#[test]
fn a_whole_response_becomes_tokens() {
    let json = json!({"access_token": "at", "token_type": "bearer", "expires_in": 3600, "refresh_token": "rt", "scope": "a b"});
    let (access, refresh, id) = taken(&received(), &response::<BasicTokenResponse>(json));
    assert_eq!((access.secret.expose(), access.token_type.as_str()), ("at", "Bearer"));
    assert_eq!((access.scopes, access.expires_at), (scopes("a b"), Some(in_seconds(3600))));
    assert_eq!(
        (access.refresh_at, access.extended_expires_at, access.resource),
        (None, None, None)
    );
    assert!(access.partition.is_user() && id.is_none());
    let refresh = refresh.unwrap();
    assert_eq!(
        (refresh.secret.expose(), refresh.expires_at, refresh.family_id),
        ("rt", None, None)
    );
}

#[test]
fn without_a_refresh_token_the_stored_one_stays() {
    let live = live();
    live.put(refresh("rt-1")).unwrap();
    let json = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 3600});
    live.put(received().tokens(&response::<BasicTokenResponse>(json)).unwrap()).unwrap();
    assert_eq!(live.refresh_token(&client()).unwrap().unwrap().secret.expose(), "rt-1");
}

#[test]
fn the_responses_scopes_count_and_the_requested_ones_only_without_them() {
    let with = |scope: Value| {
        access_of(json!({"access_token": "at", "token_type": "Bearer", "scope": scope})).scopes
    };
    assert_eq!(with(Value::Null), scopes("mail.read"));
    assert_eq!(with(json!("user.read")), scopes("user.read"));
    // GitHub, for a token that is granted nothing.
    assert_eq!(with(json!("")), scopes(""));
    assert_eq!(with(json!("user.read  mail.read")), scopes("mail.read user.read"));
}

#[test]
fn what_entra_gives_and_does_not_name_is_found_again() {
    let with = |requested: &str, given: &str| {
        let json = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 3600, "scope": given});
        taken(&received().requested_scopes(scopes(requested)), &response::<WithFields>(json))
            .0
            .scopes
    };
    assert_eq!(
        with("openid profile offline_access Mail.Read", "Mail.Read"),
        scopes("openid profile offline_access Mail.Read")
    );
    assert_eq!(
        with("api://a/.default", "api://a/read api://a/write"),
        scopes("api://a/.default api://a/read api://a/write")
    );
    assert_eq!(with("mail.read", "Mail.Read"), scopes("mail.read Mail.Read"));
    // But not what was refused, nor one default of several.
    assert_eq!(with("openid Mail.Read Mail.Send", "Mail.Read"), scopes("openid Mail.Read"));
    assert_eq!(with("api://a/.default api://b/.default", "api://a/read"), scopes("api://a/read"));
}

/// When the token ends, and its lifetime: in seconds from the given time on. (What has ended is not
/// given at all.)
fn life<R: oauth2::TokenResponse>(received: &Received, response: &R) -> Option<u64> {
    let live = live();
    live.put(received.tokens(response).unwrap()).unwrap();
    let Some(access) = live.access_token(&AccessQuery::new(client())).unwrap() else {
        return Some(0);
    };
    let ends = access.expires_at.map(|end| end.duration_since(now()).unwrap());
    assert_eq!(ends, access.lifetime);
    ends.map(|life| life.as_secs())
}

#[test]
fn a_token_lasts_from_the_given_time_on() {
    let lasts = |received: &Received, life_given: Value| {
        let json = json!({"access_token": "at", "token_type": "Bearer", "expires_in": life_given});
        life(received, &response::<BasicTokenResponse>(json))
    };
    let lasting = received().lasting(Duration::from_secs(7));
    assert_eq!(lasts(&received(), json!(60)), Some(60));
    assert_eq!(lasts(&received(), json!(0)), Some(0));
    assert_eq!(lasts(&lasting, json!(60)), Some(60));
    // Ten years and more are an error of the provider's, also where it would overflow. It is not
    // "nothing was said".
    for too_long in [json!(u64::MAX), json!(11 * 365 * 24 * 3600_u64)] {
        assert_eq!(lasts(&received(), too_long.clone()), Some(3600));
        assert_eq!(lasts(&lasting, too_long), Some(7));
    }
}

/// GitHub's and Slack's tokens.
#[test]
fn without_expires_in_a_token_ends_with_its_sign_in() {
    let json = || json!({"access_token": "at", "token_type": "bearer", "scope": "repo,gist"});
    assert_eq!(life(&received(), &response::<BasicTokenResponse>(json())), None);
    assert_eq!(life(&received(), &response::<TokenAnswer>(json())), None);
    // Unless the app knows better.
    let lasting = received().lasting(Duration::from_secs(7));
    assert_eq!(life(&lasting, &response::<BasicTokenResponse>(json())), Some(7));
    assert_eq!(life(&lasting, &response::<TokenAnswer>(json())), Some(7));

    let clock = ManualClock::new(now());
    let store = Machine::new().builder().clock(clock.clone()).open().unwrap();
    let live = store.sign_in(sign_in(1)).unwrap();
    live.put(received().tokens(&response::<TokenAnswer>(json())).unwrap()).unwrap();
    clock.advance(Duration::from_secs(60 * 24 * 3600));
    let wanted = query("repo");
    assert_eq!(live.access_token(&wanted).unwrap().unwrap().secret.expose(), "at");
    store.sign_out(SignOut::account(&account(1))).unwrap();
    assert!(live.access_token(&wanted).unwrap().is_none());
}

/// The provider says when to come back, and not that the token ends.
#[test]
fn when_to_refresh_is_kept_without_an_end_and_nothing_is_extended() {
    let token = access_of(
        json!({"access_token": "at", "token_type": "Bearer", "refresh_in": 60, "ext_expires_in": 7200}),
    );
    assert_eq!(
        (token.expires_at, token.refresh_at, token.extended_expires_at),
        (None, Some(in_seconds(60)), None)
    );
    // At once is never: it would be due at every call.
    assert_eq!(
        access_of(json!({"access_token": "at", "token_type": "Bearer", "refresh_in": 0}))
            .refresh_at,
        None
    );
}

#[test]
fn what_entra_and_keycloak_add_is_kept() {
    let entra = json!({"token_type": "Bearer", "scope": "mail.read", "expires_in": 86_399, "ext_expires_in": 90_000, "refresh_in": "43199",
        "access_token": "at", "refresh_token": "rt", "foci": "1", "client_info": "eyJ1aWQiOiJhIn0"});
    let (access, refresh, _) = taken(&received(), &response::<WithFields>(entra));
    assert_eq!(
        (access.refresh_at, access.extended_expires_at),
        (Some(in_seconds(43_199)), Some(in_seconds(90_000)))
    );
    assert_eq!(refresh.unwrap().family_id.as_deref(), Some("1"));

    let keycloak = json!({"access_token": "at", "expires_in": 300, "refresh_expires_in": 1800, "refresh_token": "rt",
        "token_type": "Bearer", "not-before-policy": 0, "session_state": "s", "scope": "openid"});
    let (_, refresh, _) = taken(&received(), &response::<WithFields>(keycloak.clone()));
    assert_eq!(refresh.unwrap().expires_at, Some(in_seconds(1800)));

    let mut offline = keycloak;
    offline["refresh_expires_in"] = json!(0);
    let (_, refresh, _) = taken(&received(), &response::<WithFields>(offline));
    assert_eq!(refresh.unwrap().expires_at, None);
}

#[test]
fn odd_additions_do_not_cost_the_tokens() {
    let odd = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 60, "refresh_in": "soon", "ext_expires_in": -1,
        "refresh_expires_in": [1], "foci": 1, "client_info": {}});
    let access = access_of(odd);
    assert_eq!(
        (access.refresh_at, access.extended_expires_at, access.expires_at),
        (None, None, Some(in_seconds(60)))
    );
    // Neither can they make a token last longer than it does, or be due only after its end.
    let access = access_of(
        json!({"access_token": "at", "token_type": "Bearer", "expires_in": 60, "refresh_in": 60, "ext_expires_in": 60}),
    );
    assert_eq!((access.refresh_at, access.extended_expires_at), (None, None));
}

/// Of a fraction the whole seconds count, in a number and in a text; what is negative, or of
/// another form, says nothing.
#[test]
fn additional_lives_are_read_however_they_are_written() {
    let of = |life: Value| {
        let json = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt",
            "refresh_in": life, "refresh_token_expires_in": life});
        let [ours, theirs] = [
            taken(&received(), &response::<TokenAnswer>(json.clone())),
            taken(&received(), &response::<WithFields>(json)),
        ]
        .map(|(access, refresh, _)| (access.refresh_at, refresh.unwrap().expires_at));
        assert_eq!(ours, theirs);
        ours
    };
    for life in [json!(1800), json!(1800.9), json!("1800"), json!("1800.9"), json!(" 1800 ")] {
        assert_eq!(of(life), (Some(in_seconds(1800)), Some(in_seconds(1800))));
    }
    for life in [
        json!(-1800),
        json!(-1800.5),
        json!("-1800"),
        json!("soon"),
        json!(1e300),
        json!([1800]),
        json!(0.5),
        Value::Null,
    ] {
        assert_eq!(of(life), (None, None));
    }
}

/// A family that cannot be stored does not cost the refresh token.
#[test]
fn an_odd_family_is_none() {
    for odd in [json!("a\u{7}b"), json!("x".repeat(5000)), json!(""), json!(1)] {
        let json = json!({"access_token": "at", "token_type": "Bearer", "refresh_token": "rt", "foci": odd});
        for refresh in [
            taken(&received(), &response::<TokenAnswer>(json.clone())).1,
            taken(&received(), &response::<WithFields>(json.clone())).1,
        ] {
            assert_eq!(refresh.unwrap().family_id, None);
        }
    }
}

/// Any response's ID token is kept, if its type has one; and what the core types drop is only
/// dropped.
#[test]
fn the_id_token_is_kept_as_it_came() {
    let jwt = format!(
        "{}.{}.c2ln",
        base64(r#"{"alg":"RS256"}"#),
        base64(r#"{"iss":"https://a.example","sub":"u","exp":1,"iat":1}"#)
    );
    let json = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 60, "refresh_in": 30, "id_token": jwt});
    let (access, _, id) = taken(&received(), &response::<ProviderTokenResponse>(json.clone()));
    assert_eq!(
        (id.unwrap().secret.expose(), access.refresh_at),
        (jwt.as_str(), Some(in_seconds(30)))
    );
    let (access, _, id) =
        taken(&received(), &response::<openidconnect::core::CoreTokenResponse>(json.clone()));
    assert_eq!((id.unwrap().secret.expose(), access.refresh_at), (jwt.as_str(), None));
    let (_, _, id) = taken(&received(), &response::<BasicTokenResponse>(json));
    assert!(id.is_none());
}

fn base64(text: &str) -> String {
    use base64ct::Encoding;
    base64ct::Base64UrlUnpadded::encode_string(text.as_bytes())
}

#[test]
fn what_was_asked_for_is_what_is_stored() {
    let json = json!({"access_token": "at", "token_type": "DPOP", "expires_in": 60, "refresh_token": "rt"});
    let tokens = received()
        .tenant(tenant(2))
        .resource("https://api.example.com")
        .partition(Partition::on_behalf_of("assertion"))
        .tokens(&response::<BasicTokenResponse>(json))
        .unwrap();
    let live = live();
    live.put(tokens).unwrap();
    let partition = || Partition::on_behalf_of("assertion");
    let wanted = query("mail.read")
        .tenant(tenant(2))
        .resource("https://api.example.com")
        .partition(partition())
        .token_type("dpop");
    let found = live.access_token(&wanted).unwrap().unwrap();
    assert_eq!((found.token_type.as_str(), found.secret.expose()), ("DPoP", "at"));
    assert!(
        live.refresh_token(RefreshQuery::client(client()).partition(partition()))
            .unwrap()
            .is_some()
    );
    assert!(live.refresh_token(&client()).unwrap().is_none());
}

#[test]
fn what_is_no_scope_is_left_out() {
    assert_eq!(
        access_of(
            json!({"access_token": "at", "token_type": "Bearer", "scope": "m\u{e4}il user.read"})
        )
        .scopes,
        scopes("user.read")
    );
}

#[test]
fn no_debug_shows_a_token_or_a_user() {
    let json = json!({"access_token": "needle", "token_type": "Bearer", "refresh_token": "needle", "client_info": "needle"});
    let response = response::<WithFields>(json);
    let tokens = received().resource("needle").tokens(&response).unwrap();
    let shown = format!("{tokens:?} {:?} {response:?}", received().resource("needle"));
    assert!(!shown.contains("needle"), "{shown}");
}

/// The crate's own type says nothing of what it drops, so the fields' type is what keeps it.
#[test]
fn fields_survive_a_round_trip() {
    let json = json!({"refresh_in": 1, "ext_expires_in": 2, "refresh_expires_in": 3, "foci": "1", "client_info": "x"});
    let fields: ProviderFields = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&fields).unwrap(), json);
    let empty = StandardTokenResponse::new(
        oauth2::AccessToken::new("at".into()),
        BasicTokenType::Bearer,
        EmptyExtraTokenFields {},
    );
    assert!(received().tokens(&empty).is_ok());
}
