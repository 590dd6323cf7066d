//! Answers of token endpoints as they come, not as they should: what can be kept of them is.

use std::cell::Cell;
use std::time::Duration;

use oauth2::basic::{BasicTokenResponse, BasicTokenType};
use oauth2::{HttpRequest, HttpResponse, StandardTokenResponse, TokenResponse, TokenUrl};
use oubliette::oauth::{
    ProviderFields, Received, Refusal, TokenAnswer, TokenRequestError, TolerantClient,
};
use oubliette::openid::ProviderTokenResponse;
use oubliette::*;
use oubliette_testkit::accounts::*;
use serde_json::{Value, json};

type WithFields = StandardTokenResponse<ProviderFields, BasicTokenType>;

fn read(json: &Value) -> TokenAnswer {
    TokenAnswer::read(json.to_string().as_bytes()).unwrap()
}

fn unreadable(body: &[u8]) -> bool {
    matches!(TokenAnswer::read(body), Err(TokenRequestError::Unreadable { .. }))
}

fn refresh_of(answer: &TokenAnswer) -> Option<&str> {
    answer.refresh_token().map(|token| token.secret().as_str())
}

fn scopes_of(answer: &TokenAnswer) -> Option<Vec<&str>> {
    answer.scopes().map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect())
}

fn with(mut json: Value, name: &str, value: Value) -> Value {
    json[name] = value;
    json
}

fn good() -> Value {
    json!({"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-2"})
}

/// A sign-in with a refresh token, and what its provider answers a refresh with.
struct Scene {
    live: LiveSignIn,
    body: Vec<u8>,
    content_type: &'static str,
    asked: Cell<usize>,
}

impl Scene {
    fn new(answer: &Value) -> Self {
        let live = Machine::new()
            .builder()
            .clock(ManualClock::new(now()))
            .open()
            .unwrap()
            .sign_in(sign_in(1))
            .unwrap();
        live.put(refresh("rt-1")).unwrap();
        let body = answer.to_string().into_bytes();
        Self { live, body, content_type: "application/json", asked: Cell::new(0) }
    }

    fn http(&self) -> impl Fn(HttpRequest) -> std::io::Result<HttpResponse> {
        |_| {
            self.asked.set(self.asked.get() + 1);
            let response =
                oauth2::http::Response::builder().header("content-type", self.content_type);
            Ok(response.body(self.body.clone()).unwrap())
        }
    }

    /// By an `oauth2` client that reads answers as this type.
    fn acquire<R: TokenResponse>(&self, wanted: AccessQuery) -> Result<AccessToken, AcquireError> {
        type Client<R> = oauth2::Client<
            Refusal,
            R,
            oauth2::basic::BasicTokenIntrospectionResponse,
            oauth2::StandardRevocableToken,
            oauth2::basic::BasicRevocationErrorResponse,
        >;
        let client: Client<R> = Client::new(oauth2::ClientId::new("client".into()));
        let client =
            client.set_token_uri(TokenUrl::new("https://login.example.com/token".into()).unwrap());
        Acquirer::new().acquire(&self.live, wanted, |grant| {
            let token =
                grant.refresh_token().ok_or_else(|| RefreshError::failed("no refresh token"))?;
            let token = oauth2::RefreshToken::new(token.secret.expose().to_owned());
            let response = client
                .exchange_refresh_token(&token)
                .request(&self.http())
                .map_err(RefreshError::from_oauth2)?;
            Ok(grant.tokens(&response)?)
        })
    }

    fn refresh_token(&self) -> Option<String> {
        self.live.refresh_token(&client()).unwrap().map(|token| token.secret.expose().to_owned())
    }
}

/// A refresh with each of the response's types: what was acquired, and the refresh token that is
/// stored then.
fn by_each_type(answer: &Value) -> [(Result<String, AcquireError>, Option<String>); 4] {
    fn by<R: TokenResponse>(answer: &Value) -> (Result<String, AcquireError>, Option<String>) {
        let scene = Scene::new(answer);
        let acquired =
            scene.acquire::<R>(query("mail.read")).map(|token| token.secret.expose().to_owned());
        assert_eq!(scene.asked.get(), 1);
        (acquired, scene.refresh_token())
    }
    [
        by::<TokenAnswer>(answer),
        by::<BasicTokenResponse>(answer),
        by::<WithFields>(answer),
        by::<ProviderTokenResponse>(answer),
    ]
}

#[test]
fn an_empty_refresh_token_is_none() {
    for none in
        [json!(""), json!(" "), json!("\t\n\u{a0}"), Value::Null, json!(7), json!({}), json!([])]
    {
        let answer = with(good(), "refresh_token", none);
        for (acquired, stored) in by_each_type(&answer) {
            assert_eq!(
                (acquired.unwrap().as_str(), stored.as_deref()),
                ("at-2", Some("rt-1")),
                "{answer}"
            );
        }
        assert!(read(&answer).refresh_token().is_none(), "{answer}");
    }
}

/// At a login, where the app stores them itself: an empty text is refused by the store, with all
/// that stands beside it.
#[test]
fn at_a_login_what_is_empty_costs_nothing_else() {
    fn stored<R: TokenResponse>(answer: &Value) -> [Option<String>; 3] {
        let live = Scene::new(&Value::Null).live;
        live.put(IdToken::new(client(), "id-1")).unwrap();
        let response: R = serde_json::from_value(answer.clone()).unwrap();
        live.put(Received::new(client(), now()).tokens(&response).unwrap()).unwrap();
        let access =
            live.access_token(&AccessQuery::new(client())).unwrap().map(|token| token.secret);
        let refresh = live.refresh_token(&client()).unwrap().map(|token| token.secret);
        [access, refresh, live.id_token(&client()).unwrap().map(|token| token.secret)]
            .map(|secret| Some(secret?.expose().to_owned()))
    }
    let each = |answer: &Value| {
        [
            stored::<TokenAnswer>(answer),
            stored::<BasicTokenResponse>(answer),
            stored::<WithFields>(answer),
        ]
    };
    for blank in ["", " ", "\n"] {
        let of = |access: Option<&str>, refresh: Option<&str>| {
            [access, refresh, Some("id-1")].map(|text| text.map(str::to_owned))
        };
        let answer = with(with(good(), "refresh_token", json!(blank)), "id_token", json!(blank));
        assert_eq!(
            each(&answer),
            [
                of(Some("at-2"), Some("rt-1")),
                of(Some("at-2"), Some("rt-1")),
                of(Some("at-2"), Some("rt-1"))
            ]
        );
        let answer = with(good(), "access_token", json!(blank));
        assert_eq!(
            each(&answer),
            [of(None, Some("rt-2")), of(None, Some("rt-2")), of(None, Some("rt-2"))]
        );
        // Nothing at all is an error.
        let nothing: BasicTokenResponse = serde_json::from_value(
            json!({"access_token": blank, "token_type": "b", "refresh_token": blank}),
        )
        .unwrap();
        let refused = Received::new(client(), now()).tokens(&nothing);
        assert!(matches!(refused, Err(Error::InvalidInput { field: "token response", .. })));
    }
}

#[test]
fn beside_an_unreadable_expires_in_nothing_is_lost() {
    for odd in [
        json!(-1),
        json!(0),
        json!(3599.5),
        json!("3600"),
        json!("soon"),
        json!(""),
        json!(1e300),
        json!([]),
        Value::Null,
    ] {
        let answer = with(good(), "expires_in", odd.clone());
        for (acquired, stored) in by_each_type(&answer) {
            assert_eq!(stored.as_deref(), Some("rt-2"), "{answer}");
            match acquired {
                Ok(token) => assert_eq!(token, "at-2"),
                // What has ended already is not given, and can be asked for again.
                Err(AcquireError::Refresh(_)) => {
                    assert!([json!(-1), json!(0)].contains(&odd), "{answer}")
                }
                Err(error) => panic!("{error:?} {answer}"),
            }
        }
    }
}

#[test]
fn no_more_life_is_believed_than_was_given() {
    let lasts = |expires_in: &str| {
        let body = format!(
            r#"{{"access_token": "at", "token_type": "Bearer", "expires_in": {expires_in}}}"#
        );
        let answer = TokenAnswer::read(body.as_bytes()).unwrap();
        let live = Scene::new(&Value::Null).live;
        live.put(Received::new(client(), now()).tokens(&answer).unwrap()).unwrap();
        let found = live.access_token(&AccessQuery::new(client())).unwrap();
        let life =
            found.map(|token| token.expires_at.unwrap().duration_since(now()).unwrap().as_secs());
        assert_eq!(life.unwrap_or(0), answer.expires_in().unwrap().as_secs(), "{expires_in}");
        life.unwrap_or(0)
    };
    // A number, a text of one, a part of a second.
    assert_eq!(
        (lasts("60"), lasts("\"60\""), lasts("60.99"), lasts("\"60.99\""), lasts("6e1")),
        (60, 60, 60, 60, 60)
    );
    assert_eq!(
        (lasts("0"), lasts("-1"), lasts("\"-1\""), lasts("-1e999"), lasts("0.5")),
        (0, 0, 0, 0, 0)
    );
    // What cannot be read, or be right, is not "for ever".
    for odd in [
        "\"soon\"",
        "\"\"",
        "true",
        "[60]",
        "{}",
        "1e999",
        "18446744073709551616",
        "400000000",
        "\"inf\"",
    ] {
        assert_eq!(lasts(odd), 3600, "{odd}");
    }
    // Nor is an end in other words, or what an answer that breaks off may have said.
    for (name, value) in [
        ("expires_on", json!("1800000060")),
        ("expires_at", json!(1_800_000_060)),
        ("expires", json!(60)),
    ] {
        let answer = read(&with(json!({"access_token": "at"}), name, value));
        assert_eq!(answer.expires_in(), Some(Duration::from_secs(3600)), "{name}");
        let answer =
            read(&with(json!({"access_token": "at", "expires_in": 60}), name, Value::Null));
        assert_eq!(answer.expires_in(), Some(Duration::from_secs(60)), "{name}");
    }
    assert_eq!(
        read(&json!({"access_token": "at", "expires_at": null, "expires_in": null})).expires_in(),
        None
    );
    let twice =
        br#"{"access_token": "at", "expires_in": 60, "expires_in": 3600, "expires_in": "soon"}"#;
    assert_eq!(TokenAnswer::read(twice).unwrap().expires_in(), Some(Duration::from_secs(60)));
}

/// A documented life is for a response that says nothing.
#[test]
fn an_unreadable_life_is_at_most_the_documented_one() {
    let lasts = |documented: u64| {
        let live = Scene::new(&Value::Null).live;
        let received = Received::new(client(), now()).lasting(Duration::from_secs(documented));
        live.put(
            received.tokens(&read(&json!({"access_token": "at", "expires_in": "soon"}))).unwrap(),
        )
        .unwrap();
        live.access_token(&AccessQuery::new(client())).unwrap().unwrap().lifetime.unwrap().as_secs()
    };
    assert_eq!((lasts(600), lasts(7200)), (600, 3600));
}

/// It is an answer that cannot be read, but nothing is lost with it.
#[test]
fn without_a_readable_access_token_the_new_refresh_token_is_stored_and_the_refresh_has_failed() {
    for none in
        [json!(""), json!("  "), Value::Null, json!(1), json!(["at-2"]), json!({"token": "at-2"})]
    {
        let answer = with(good(), "access_token", none);
        for (acquired, stored) in by_each_type(&answer) {
            assert!(matches!(acquired, Err(AcquireError::Refresh(_))), "{acquired:?} {answer}");
            assert_eq!(stored.as_deref(), Some("rt-2"), "{answer}");
        }
        assert!(!read(&answer).has_access_token());
    }
    let mut answer = good();
    answer.as_object_mut().unwrap().remove("access_token");
    for (acquired, stored) in by_each_type(&answer) {
        assert!(
            matches!(acquired, Err(AcquireError::Refresh(_))) && stored.as_deref() == Some("rt-2"),
            "{acquired:?}"
        );
    }
    // The next call tries again, with the new one.
    let scene = Scene::new(&answer);
    for asked in 1..=3 {
        scene.acquire::<TokenAnswer>(query("mail.read")).unwrap_err();
        assert_eq!((scene.asked.get(), scene.refresh_token().as_deref()), (asked, Some("rt-2")));
    }
}

#[test]
fn an_unreadable_id_token_costs_nothing_else() {
    for odd in [json!(""), json!(" "), json!(5), json!({}), json!("no.jwt"), json!("\u{e4}")] {
        let answer = with(good(), "id_token", odd);
        for (acquired, stored) in by_each_type(&answer) {
            assert_eq!(
                (acquired.unwrap().as_str(), stored.as_deref()),
                ("at-2", Some("rt-2")),
                "{answer}"
            );
        }
    }
    let scene = Scene::new(&with(good(), "id_token", json!("a.b.c")));
    scene.acquire::<TokenAnswer>(query("mail.read")).unwrap();
    assert_eq!(scene.live.id_token(&client()).unwrap().unwrap().secret.expose(), "a.b.c");
    let scene = Scene::new(&with(good(), "id_token", json!(" ")));
    scene.acquire::<TokenAnswer>(query("mail.read")).unwrap();
    assert!(scene.live.id_token(&client()).unwrap().is_none());
}

#[test]
fn a_token_type_that_is_missing_or_odd_is_bearer_and_no_other_is() {
    let acquired = |token_type: Value| {
        let scene = Scene::new(&with(good(), "token_type", token_type));
        scene.acquire::<TokenAnswer>(query("mail.read")).map(|token| token.token_type)
    };
    for bearer in [
        Value::Null,
        json!(""),
        json!(" "),
        json!(7),
        json!("bearer"),
        json!("BEARER"),
        json!(" Bearer "),
    ] {
        assert_eq!(acquired(bearer).unwrap(), "Bearer");
    }
    // Not what was asked for. It is stored all the same, as is the refresh token.
    assert!(matches!(acquired(json!("DPoP")), Err(AcquireError::InteractionRequired { .. })));
    let scene = Scene::new(&with(good(), "token_type", json!("dpop")));
    let token = scene.acquire::<TokenAnswer>(query("mail.read").token_type("DPoP")).unwrap();
    assert_eq!(
        (token.token_type.as_str(), scene.refresh_token().as_deref()),
        ("DPoP", Some("rt-2"))
    );
    // One that cannot be stored does not cost the refresh token.
    for odd in [json!("x".repeat(65)), json!("a\u{7}b")] {
        let scene = Scene::new(&with(good(), "token_type", odd));
        assert!(matches!(
            scene.acquire::<TokenAnswer>(query("mail.read")),
            Err(AcquireError::Refresh(_))
        ));
        assert_eq!(scene.refresh_token().as_deref(), Some("rt-2"));
    }
}

#[test]
fn scopes_are_read_from_any_list() {
    let given = |scope: Value| read(&with(good(), "scope", scope)).scopes().cloned();
    let of = |scope: Value| {
        scopes_of(&read(&with(good(), "scope", scope))).map(|scopes| scopes.join("|"))
    };
    assert_eq!(of(json!("a b")).as_deref(), Some("a|b"));
    assert_eq!(of(json!(" a  b\n")).as_deref(), Some("a|b"));
    assert_eq!(of(json!(["a", "b c", 1, null])).as_deref(), Some("a|b|c"));
    assert_eq!((of(json!("")).as_deref(), of(json!([])).as_deref()), (Some(""), Some("")));
    // Left to who knows what was asked for.
    assert_eq!(of(json!("repo,gist")).as_deref(), Some("repo,gist"));
    // Not said: those that were asked for (RFC 6749 §5.1).
    assert_eq!([Value::Null, json!(1), json!({})].map(given), [None, None, None]);
    let scene = Scene::new(&with(good(), "scope", json!({"mail.read": true})));
    assert_eq!(
        scene.acquire::<TokenAnswer>(query("mail.read")).unwrap().scopes,
        scopes("mail.read")
    );
}

/// Asked again, the token is found: no refresh at every call.
#[test]
fn scopes_with_commas_between_are_those_scopes() {
    fn found<R: TokenResponse>(asked: &str, given: &str) -> Option<Scopes> {
        let scene = Scene::new(&with(good(), "scope", json!(given)));
        let acquired = scene.acquire::<R>(query(asked));
        assert_eq!(scene.refresh_token().as_deref(), Some("rt-2"));
        let again = scene.acquire::<R>(query(asked));
        assert_eq!(again.is_ok(), acquired.is_ok());
        assert_eq!(scene.asked.get(), if acquired.is_ok() { 1 } else { 2 }, "{asked:?} {given:?}");
        acquired.ok().map(|token| token.scopes)
    }
    let both = |asked: &str, given: &str| {
        let [ours, theirs] =
            [found::<TokenAnswer>(asked, given), found::<BasicTokenResponse>(asked, given)];
        assert_eq!(ours, theirs);
        ours
    };
    assert_eq!(both("repo gist", "repo,gist"), Some(scopes("repo gist")));
    assert_eq!(both("gist", "repo,gist"), Some(scopes("repo gist")));
    assert_eq!(both("repo gist", "repo, gist"), Some(scopes("repo gist")));
    assert_eq!(both("", "repo,gist"), Some(scopes("repo gist")));
    // As GitHub lets them be asked for; and with what is never told back.
    assert_eq!(both("repo,gist", "gist,repo"), Some(scopes("repo gist repo,gist")));
    assert_eq!(both("openid repo", "gist,repo"), Some(scopes("openid repo gist")));
    // Less than was asked for is less.
    assert_eq!(both("repo admin:org", "repo,gist"), None);
    // RFC 6749 §3.3 has commas in scopes: such ones are not taken apart.
    assert_eq!(both("read:a,b", "read:a,b"), Some(scopes("read:a,b")));
    assert_eq!(both("read:a,b c", "c read:a,b"), Some(scopes("read:a,b c")));
    assert_eq!(both("b", "read:a,b c"), None);
    assert_eq!(both("b", "b,c d"), None);
}

/// More than can be stored does not cost the tokens.
#[test]
fn of_too_many_scopes_those_are_stored_that_were_asked_for() {
    let many: Vec<String> = (0..3000).map(|number| format!("scope-{number}")).collect();
    let scene = Scene::new(&with(good(), "scope", json!(many.join(" "))));
    assert_eq!(scene.acquire::<TokenAnswer>(query("scope-7")).unwrap().scopes, scopes("scope-7"));
    assert_eq!(scene.refresh_token().as_deref(), Some("rt-2"));
}

const SLACK: &str = r#"{"ok": true, "app_id": "A0KRD7HC3", "access_token": "xoxb-1", "token_type": "bot",
    "scope": "commands,incoming-webhook", "bot_user_id": "U0KRQLJ9H", "team": {"id": "T9TK3CUKW", "name": "Softball"},
    "enterprise": null, "refresh_token": "xoxe-b", "expires_in": 43200,
    "authed_user": {"id": "U1234", "scope": "chat:write,users:read", "access_token": "xoxp-1", "token_type": "user",
        "refresh_token": "xoxe-u", "expires_in": 600, "authed_user": {"access_token": "no", "refresh_token": "no"}}}"#;

#[test]
fn slacks_tokens_of_the_user_are_found_where_they_are() {
    let both: Value = serde_json::from_str(SLACK).unwrap();
    let answer = read(&both);
    assert_eq!(
        (answer.access_token().secret().as_str(), refresh_of(&answer)),
        ("xoxb-1", Some("xoxe-b"))
    );
    let user = answer.authed_user().unwrap();
    assert_eq!(
        (user.access_token().secret().as_str(), refresh_of(user)),
        ("xoxp-1", Some("xoxe-u"))
    );
    assert_eq!(user.expires_in(), Some(Duration::from_secs(600)));
    assert!(user.authed_user().is_none());
    // If they are the only ones, they are the answer's: all of them.
    let mut alone = both;
    for name in ["access_token", "refresh_token", "expires_in", "scope", "token_type"] {
        alone.as_object_mut().unwrap().remove(name);
    }
    let answer = read(&alone);
    assert_eq!(
        (answer.access_token().secret().as_str(), refresh_of(&answer)),
        ("xoxp-1", Some("xoxe-u"))
    );
    assert_eq!(scopes_of(&answer), Some(vec!["chat:write,users:read"]));
    assert!(
        answer.expires_in() == Some(Duration::from_secs(600)) && answer.authed_user().is_none()
    );
    // Never those of one with what belongs to another.
    let mixed = json!({"access_token": "xoxb-1", "token_type": "bot",
        "authed_user": {"id": "U1", "scope": "chat:write", "expires_in": 60}});
    assert_eq!((scopes_of(&read(&mixed)), read(&mixed).expires_in()), (None, None));
    // But where the token is outside, and its scopes within.
    let outside = json!({"ok": true, "access_token": "xoxp-1", "token_type": "user", "authed_user": {"id": "U1", "scope": "openid,email"}});
    assert_eq!(scopes_of(&read(&outside)), Some(vec!["openid,email"]));
    // What is no object there is nothing.
    assert!(read(&json!({"access_token": "at", "authed_user": "U1"})).has_access_token());
}

/// They are presented as bearer tokens, and found as such: no refresh at every call.
#[test]
fn slacks_tokens_are_bearer_tokens() {
    for token_type in ["bot", "user"] {
        let answer = with(
            with(good(), "token_type", json!(token_type)),
            "scope",
            json!("chat:write,users:read"),
        );
        let scene = Scene::new(&answer);
        let token = scene.acquire::<TokenAnswer>(query("chat:write")).unwrap();
        assert_eq!(
            (token.token_type.as_str(), token.scopes),
            ("Bearer", scopes("chat:write users:read"))
        );
        scene.acquire::<BasicTokenResponse>(query("chat:write users:read")).unwrap();
        assert_eq!(scene.asked.get(), 1);
        // Unless they were asked for as what Slack calls them.
        let scene = Scene::new(&answer);
        let token =
            scene.acquire::<TokenAnswer>(query("chat:write").token_type(token_type)).unwrap();
        assert_eq!(token.token_type, token_type);
    }
}

#[test]
fn what_cannot_be_read_at_all_is_an_error_that_shows_nothing_of_it() {
    let bodies = [
        r#"{"token_type": "needle", "scope": "needle"}"#,
        r#"{"access_token": "", "refresh_token": " ", "id_token": "", "needle": "needle"}"#,
        r#""needle""#,
        r#"["needle"]"#,
        "needle",
        "<html>needle</html>",
        "access_token=needle&token_type=bearer",
        "12345",
        "-5.5",
        "null",
        "true",
        "",
    ];
    for body in bodies {
        let error = TokenAnswer::read(body.as_bytes()).unwrap_err();
        let own = serde_json::from_str::<TokenAnswer>(body).unwrap_err();
        assert!(matches!(error, TokenRequestError::Unreadable { .. }), "{error}");
        let shown = format!("{error} {error:?} {own} {own:?}");
        assert!(!["needle", "12345", "5.5"].iter().any(|text| shown.contains(text)), "{shown}");
    }
    let answer = read(
        &json!({"access_token": "needle", "refresh_token": "needle", "id_token": "needle", "client_info": "needle"}),
    );
    assert!(!format!("{answer:?}").contains("needle"));
    let partly = TokenRequestError::Partly { at: "expires_in".into(), answer: Box::new(answer) };
    assert!(!format!("{partly} {partly:?}").contains("needle"));
}

#[test]
fn json_that_is_not_as_it_should_be_loses_nothing() {
    // A byte-order mark, what comes behind, a name twice, numbers that no type holds, a text in
    // Latin-1.
    let bodies: [&[u8]; 7] = [
        b"\xef\xbb\xbf{\"access_token\": \"at-2\", \"refresh_token\": \"rt-2\"}",
        b" \r\n{\"access_token\": \"at-2\", \"refresh_token\": \"rt-2\"}\n<!-- cached -->",
        br#"{"access_token": "at-2", "refresh_token": "rt-2", "refresh_token": "", "access_token": null}"#,
        br#"{"access_token": "at-2", "refresh_token": "rt-2", "serial": 1e999, "expires_in": 1e999, "refresh_in": 1e999}"#,
        b"{\"name\": \"J\xf6rg\", \"access_token\": \"at-2\", \"refresh_token\": \"rt-2\"}",
        br#"{"access_token": "at-2", "refresh_token": "rt-2", "scope": "\ud800", "token_type": "\ud800"}"#,
        br#"{"access\u005ftoken": "at-2", "refresh_token": "\u0072t-2"}"#,
    ];
    for body in bodies {
        let answer = TokenAnswer::read(body).unwrap();
        let texts = (answer.access_token().secret().as_str(), refresh_of(&answer));
        assert_eq!(texts, ("at-2", Some("rt-2")), "{}", String::from_utf8_lossy(body));
    }
    // Deep inside of what is not known.
    let deep = format!(
        r#"{{"x": {}{}, "refresh_token": "rt-2"}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    assert_eq!(refresh_of(&TokenAnswer::read(deep.as_bytes()).unwrap()), Some("rt-2"));
    // If it breaks off, what stands before is kept, and no more life believed than an hour.
    let whole = r#"{"access_token": "at-2", "refresh_token": "rt-2", "expires_in": 60}"#;
    for end in 0..whole.len() {
        let (body, has) =
            (&whole[..end], |text: &str| whole.find(text).is_some_and(|at| at + text.len() <= end));
        match TokenAnswer::read(body.as_bytes()) {
            Ok(answer) => {
                assert_eq!(
                    (answer.has_access_token(), refresh_of(&answer).is_some()),
                    (has("\"at-2\""), has("\"rt-2\"")),
                    "{body}"
                );
                assert!(answer.expires_in().is_some(), "{body}");
            }
            Err(_) => assert!(!has("\"at-2\""), "{body}"),
        }
    }
    assert!(unreadable(b"{"));
    // Also if it is Slack's user whose tokens stand before.
    let cut = TokenAnswer::read(
        br#"{"authed_user": {"access_token": "xoxp-1", "refresh_token": "xoxe-1"}, "expires_"#,
    )
    .unwrap();
    assert_eq!(
        (refresh_of(&cut), cut.expires_in()),
        (Some("xoxe-1"), Some(Duration::from_secs(3600)))
    );
}

/// A client whose response type cannot read it gives the whole body as an error.
#[test]
fn an_answer_that_breaks_off_loses_no_refresh_token() {
    let mut scene = Scene::new(&Value::Null);
    scene.body = br#"{"access_token": "at-2", "token_type": "Bearer", "refresh_token": "rt-2", "scope": "mail.r"#.to_vec();
    assert_eq!(
        scene.acquire::<TokenAnswer>(query("mail.read")).unwrap().lifetime,
        Some(Duration::from_secs(3600))
    );
    assert_eq!(scene.refresh_token().as_deref(), Some("rt-2"));
    // Not with another type of content: the client keeps that from us, and the body is gone.
    let mut scene = Scene::new(&good());
    scene.content_type = "text/plain";
    assert!(matches!(
        scene.acquire::<TokenAnswer>(query("mail.read")),
        Err(AcquireError::Refresh(_))
    ));
    assert_eq!(scene.refresh_token().as_deref(), Some("rt-1"));
}

/// The app's own error, with the client's as its source.
#[test]
fn tokens_in_the_source_of_the_closures_error_are_stored() {
    #[derive(Debug, thiserror::Error)]
    #[error("the app could not refresh")]
    struct Mine(#[source] TokenRequestError);

    let scene = Scene::new(&Value::Null);
    let answer = || Box::new(read(&with(good(), "access_token", Value::Null)));
    let acquired = Acquirer::new().acquire(&scene.live, query("mail.read"), |_| {
        let partly = TokenRequestError::Partly { at: "access_token".into(), answer: answer() };
        Err(RefreshError::failed(Mine(partly)))
    });
    // The error is the closure's own.
    let Err(AcquireError::Refresh(failed)) = acquired else { panic!("{acquired:?}") };
    assert!(failed.downcast_ref::<Mine>().is_some());
    assert_eq!(scene.refresh_token().as_deref(), Some("rt-2"));
}

/// The types of the client, and each of its requests.
#[test]
fn a_tolerant_client_reads_what_comes_for_a_code_and_for_a_refresh_token() {
    let answer = json!({"access_token": "at", "expires_in": "3600", "refresh_token": "rt", "scope": ["a"], "id_token": "a.b.c",
        "foci": "1"});
    let scene = Scene::new(&answer);
    let client: TolerantClient = TolerantClient::new(oauth2::ClientId::new("client".into()));
    let client =
        client.set_token_uri(TokenUrl::new("https://login.example.com/token".into()).unwrap());
    let code = client
        .exchange_code(oauth2::AuthorizationCode::new("code".into()))
        .request(&scene.http())
        .unwrap();
    let token = oauth2::RefreshToken::new("rt-1".into());
    let refreshed = client.exchange_refresh_token(&token).request(&scene.http()).unwrap();
    let own = client.exchange_client_credentials().request(&scene.http()).unwrap();
    for answer in [code, refreshed, own] {
        assert_eq!(
            (answer.access_token().secret().as_str(), refresh_of(&answer)),
            ("at", Some("rt"))
        );
        assert_eq!(
            (answer.token_type(), answer.expires_in()),
            (&BasicTokenType::Bearer, Some(Duration::from_secs(3600)))
        );
        assert_eq!((answer.id_token(), answer.fields().family_id()), (Some("a.b.c"), Some("1")));
        assert_eq!(scopes_of(&answer), Some(vec!["a"]));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let http = |request: HttpRequest| std::future::ready(scene.http()(request));
    let code = client.exchange_code(oauth2::AuthorizationCode::new("code".into()));
    assert!(runtime.block_on(code.request_async(&http)).unwrap().has_access_token());
}

#[test]
fn an_answer_that_is_written_is_read_as_the_same() {
    let slack: Value = serde_json::from_str(SLACK).unwrap();
    let entra = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 86_399, "ext_expires_in": 90_000,
        "refresh_in": 43_199, "refresh_token": "rt", "foci": "1", "client_info": "eyJ1aWQiOiJhIn0", "id_token": "a.b.c", "scope": "b a"});
    let odd = json!({"refresh_token": "rt", "expires_in": "soon", "token_type": "DPoP"});
    for json in [slack, entra, odd, json!({"id_token": "a.b.c"})] {
        let answer = read(&json);
        let written = serde_json::to_value(&answer).unwrap();
        let again: TokenAnswer = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), written);
        assert_eq!(
            (again.expires_in(), refresh_of(&again)),
            (answer.expires_in(), refresh_of(&answer))
        );
        for name in [
            "access_token",
            "refresh_token",
            "expires_in",
            "ext_expires_in",
            "refresh_in",
            "foci",
            "client_info",
            "id_token",
        ] {
            if let Some(value) = json.get(name).filter(|value| **value != json!("soon")) {
                assert_eq!(written.get(name), Some(value), "{name}");
            }
        }
    }
    // What could not be read does not become "nothing was said".
    let written =
        serde_json::to_string(&read(&json!({"access_token": "at", "expires_in": "soon"}))).unwrap();
    assert!(
        serde_json::from_str::<TokenAnswer>(&written).unwrap().expires_in().is_some(),
        "{written}"
    );
}

/// What the documentation's table says of the crate's own type.
#[test]
fn what_the_crates_own_type_refuses_and_ours_reads() {
    let is_read = |json: &Value| serde_json::from_value::<BasicTokenResponse>(json.clone()).is_ok();
    for (name, value) in [
        ("expires_in", json!("3600")),
        ("expires_in", json!(3600.5)),
        ("expires_in", json!(-1)),
        ("expires_in", json!("soon")),
        ("expires_in", json!(1e300)),
        ("token_type", Value::Null),
        ("scope", json!(["a", "b"])),
        ("access_token", Value::Null),
        ("refresh_token", json!(7)),
    ] {
        let json = with(good(), name, value);
        assert!(
            !is_read(&json) && read(&json).refresh_token().is_some() == (name != "refresh_token"),
            "{json}"
        );
    }
    // It takes these, as what they are not.
    for (name, value) in
        [("refresh_token", json!("")), ("access_token", json!("")), ("scope", json!("repo,gist"))]
    {
        assert!(is_read(&with(good(), name, value)));
    }
    assert!(
        serde_json::from_str::<BasicTokenResponse>(
            r#"{"access_token":"a","token_type":"b","token_type":"b"}"#
        )
        .is_err()
    );
    type OfOpenId = openidconnect::core::CoreTokenResponse;
    assert!(serde_json::from_value::<OfOpenId>(with(good(), "id_token", json!(""))).is_err());
    assert!(
        serde_json::from_value::<ProviderTokenResponse>(with(good(), "id_token", json!("")))
            .is_ok()
    );
}
