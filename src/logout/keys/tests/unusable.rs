//! A key that a token names, that its provider has published, and that cannot be used: the log says
//! which one it is, and why.

use super::*;

/// What is told while a token of this key comes to a provider whose key set has these.
async fn told(token: String, keys: &[Value]) -> (Result<(), Rejected>, Vec<String>) {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let server = Server::default();
    server.json(DISCOVERY, &document());
    server.json(JWKS, &json!({ "keys": keys }));
    let cache = discovered(&server);
    let verified = verify(&cache, &token).await;
    for _ in 0..20 {
        assert_eq!(verify(&cache, &token).await, verified);
    }
    let lines = lines.0.lock().unwrap().clone();
    (verified, lines)
}

fn jwk(signer: &Signer) -> Value {
    serde_json::to_value(signer.key.as_verification_key()).unwrap()
}

fn with(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value;
    jwk
}

#[tokio::test(start_paused = true)]
async fn a_needed_key_that_is_malformed_is_told_of_by_its_kid() {
    let (needed, other) = (Signer::new(1, "needed-1"), Signer::new(2, "other"));
    let short = Base64UrlUnpadded::encode_string(&[0xff; 128]);
    for (broken, why) in [
        (with(&jwk(&needed), "use", json!("enc")), "not for signatures"),
        (with(&jwk(&needed), "key_ops", json!(["encrypt"])), "not for signatures"),
        (with(&jwk(&needed), "x", json!("c2hvcnQ")), "length"),
        (with(&jwk(&needed), "x", json!("*")), "base64url"),
        (with(&jwk(&needed), "x", json!(7)), "wrong type"),
        (with(&jwk(&needed), "alg", json!("RS256")), "alg"),
        (with(&jwk(&needed), "crv", json!("Ed448")), "another kind"),
        (json!({"kty": "RSA", "n": short, "e": "AQAB", "kid": "needed-1"}), "2048"),
        (
            json!({"kty": "EC", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43), "kid": "needed-1"}),
            "no point",
        ),
        // Of use, but not for this token.
        (
            json!({"kty": "RSA", "n": Base64UrlUnpadded::encode_string(&[0xff; 256]), "e": "AQAB", "kid": "needed-1"}),
            "another algorithm",
        ),
        (
            with(
                &jwk(&needed),
                "issuer",
                json!(
                    "https://login.microsoftonline.com/aaaaaaaa-0000-4000-8000-00000000000a/v2.0"
                ),
            ),
            "another issuer",
        ),
    ] {
        let (verified, lines) = told(needed.token(), &[broken.clone(), jwk(&other)]).await;
        assert_eq!(verified, Err(Rejected::UnknownKey), "the sender is told no more than before");
        assert_eq!(lines.len(), 1, "once, however often it comes: {lines:?}");
        assert!(lines[0].contains("needed-1") && lines[0].contains(why), "{why}: {lines:?}");
        // Beside one without a name, which might have been meant.
        let mut nameless = jwk(&other);
        nameless.as_object_mut().unwrap().remove("kid");
        let (verified, lines) = told(needed.token(), &[broken, nameless]).await;
        assert_eq!((verified, lines.len()), (Err(Rejected::BadSignature), 1), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_key_is_told_of_too_if_it_is_malformed() {
    let needed = Signer::new(1, "needed-1");
    let (verified, lines) = told(needed.token(), &[with(&jwk(&needed), "use", json!("enc"))]).await;
    assert_eq!(verified, Err(Rejected::KeysUnavailable));
    assert!(lines[0].contains("needed-1") && lines[0].contains("not for signatures"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_there_or_is_good_is_not_told_of() {
    let (needed, other, forged) =
        (Signer::new(1, "needed-1"), Signer::new(2, "other"), Signer::new(3, "needed-1"));
    let broken = with(&jwk(&other), "use", json!("enc"));
    assert_eq!(told(needed.token(), &[jwk(&needed), broken.clone()]).await, (Ok(()), vec![]));
    assert_eq!(
        told(forged.token(), &[jwk(&needed), broken.clone()]).await,
        (Err(Rejected::BadSignature), vec![])
    );
    // Nobody but the provider has a name written into a log.
    assert_eq!(
        told(Signer::new(1, "made-up").token(), &[jwk(&needed), broken]).await,
        (Err(Rejected::UnknownKey), vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_stand_in_a_log_does_not() {
    let long: &'static str = "k".repeat(65).leak();
    for kid in [long, "two\nlines", "\u{1b}[2J", "a b", "\u{202e}"] {
        let needed = Signer::new(1, kid);
        let (_, lines) = told(
            needed.token(),
            &[with(&jwk(&needed), "use", json!("enc")), jwk(&Signer::new(2, "other"))],
        )
        .await;
        assert!(
            lines.len() == 1 && !lines[0].contains(kid) && lines[0].contains("not for signatures"),
            "{lines:?}"
        );
    }
}

#[test]
fn a_set_that_the_app_gives_tells_it_as_well() {
    use crate::logout::{Issuer, KeySet};
    use crate::model::id::ClientId;
    let lines = Lines::default();
    let needed = Signer::new(1, "needed-1");
    let keys =
        json!({"keys": [with(&jwk(&needed), "use", json!("enc")), jwk(&Signer::new(2, "other"))]})
            .to_string();
    let issuer = Issuer::new(
        provider(),
        ClientId::new("web").unwrap(),
        Keys::fixed(keys.as_bytes()).unwrap(),
    );
    let issuer = issuer.algorithms([Algorithm::EdDsa]);
    let set = KeySet::parse(keys.as_bytes()).unwrap();
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let token = needed.signed(json!({"iss": ISSUER, "aud": "web", "iat": 1_800_000_000, "exp": 1_800_000_120, "sub": "jane",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}}}));
    tracing::subscriber::with_default(lines.clone(), || {
        assert_eq!(issuer.verify(&token, &set, now).unwrap_err(), Rejected::UnknownKey);
    });
    let lines = lines.0.lock().unwrap().clone();
    assert!(lines.len() == 1 && lines[0].contains("needed-1"), "{lines:?}");
}
