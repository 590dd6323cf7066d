//! Encrypted logout tokens at the callback: they end what signed ones do, and cost little before
//! they are known to be good.

use std::pin::pin;

use futures::FutureExt as _;
use oubliette::logout::{DecryptionKeys, Issuer, KeyManagement};
use oubliette_testkit::encrypter::Encrypter;

use super::world::{CallbackFixture, done, live, refused};

fn encrypter() -> Encrypter {
    Encrypter::new(KeyManagement::RsaOaep256)
}

fn world() -> CallbackFixture {
    CallbackFixture::with(|issuer: Issuer| issuer.decryption_keys(encrypter().keys()))
}

#[tokio::test]
async fn an_encrypted_token_signs_out() {
    for algorithm in [KeyManagement::RsaOaep256, KeyManagement::EcdhEsA128Kw] {
        let encrypter = Encrypter::new(algorithm);
        let world = CallbackFixture::with(|issuer| issuer.decryption_keys(encrypter.keys()));
        let (jane, john) =
            (world.sign_in("jane", Some("session-1")), world.sign_in("john", Some("session-2")));
        let token = encrypter.encrypt(&world.stub.token(&world.stub.claims()));
        done(&world.post_token(&token).await);
        assert_eq!(live([&jane, &john]), [false, true]);
        assert_eq!(world.told().len(), 1);
    }
}

/// The same token, encrypted again or not at all, is the same token.
#[tokio::test]
async fn a_replay_in_another_envelope_does_nothing() {
    let world = world();
    world.sign_in("jane", Some("session-1"));
    let token = world.stub.token(&world.stub.claims());
    done(&world.post_token(&encrypter().encrypt(&token)).await);
    let recorded = world.recorded();
    assert_eq!(world.told().len(), 1);
    for again in [encrypter().encrypt(&token), token] {
        done(&world.post_token(&again).await);
    }
    assert_eq!((world.recorded(), world.told().len()), (recorded, 0));
}

#[tokio::test]
async fn what_is_made_up_leaves_no_trace() {
    let world = world();
    let jane = world.sign_in("jane", Some("session-1"));
    let recorded = world.recorded();
    let (good, claims) = (world.stub.token(&world.stub.claims()), world.stub.claims());
    let forged = world.other.sign(&world.stub.header(), &claims);
    let other = Encrypter::other(KeyManagement::RsaOaep256);
    for token in [
        encrypter().encrypt(&claims.json().to_string()),
        encrypter().encrypt(&forged),
        encrypter().encrypt(&encrypter().encrypt(&good)),
        other.encrypt(&good),
        Encrypter::new(KeyManagement::RsaOaep).encrypt(&good),
        Encrypter::new(KeyManagement::EcdhEs).encrypt(&good),
        "....".into(),
    ] {
        refused(&world.post_token(&token).await, "invalid_request");
    }
    assert_eq!((live([&jane]), world.recorded(), world.told().len()), ([true], recorded, 0));
}

#[tokio::test]
async fn a_token_without_a_key_for_it_is_told_so() {
    let world = CallbackFixture::new();
    let token = encrypter().encrypt(&world.stub.token(&world.stub.claims()));
    let answer = world.post_token(&token).await;
    refused(&answer, "invalid_request");
    assert!(answer.body().contains("encrypted tokens are not taken here"), "{answer:?}");
}

/// Also the decryption is done for a sender who does not wait.
#[tokio::test]
async fn a_sender_who_hangs_up_has_still_reported() {
    let world = world();
    let jane = world.sign_in("jane", Some("session-1"));
    let token = encrypter().encrypt(&world.stub.token(&world.stub.claims()));
    {
        let mut posted = pin!(world.post_token(&token));
        assert!(posted.as_mut().now_or_never().is_none());
    }
    world.receiver.drain().await;
    assert_eq!(live([&jane]), [false]);
}

/// Each issuer with a route of its own has keys of its own there.
#[tokio::test]
async fn a_key_serves_its_own_route() {
    use oubliette::logout::Issuers;
    let (one, two) = (encrypter(), Encrypter::other(KeyManagement::RsaOaep256));
    let world = CallbackFixture::new();
    let (stub, other) = (&world.stub, &world.other);
    let issuers = [
        stub.issuer().named("one").decryption_keys(one.keys()),
        other.issuer().named("two").decryption_keys(DecryptionKeys::new([two.key()]).unwrap()),
    ];
    let receiver =
        oubliette::logout::Receiver::new(world.store.clone(), Issuers::new(issuers).unwrap());
    let jane = world.sign_in("jane", Some("session-1"));
    let token = stub.token(&stub.claims());
    let post = async |route: Option<&str>, token: String| {
        receiver.back_channel(route, None, format!("logout_token={token}").as_bytes()).await
    };
    refused(&post(None, one.encrypt(&token)).await, "invalid_request");
    refused(&post(Some("two"), one.encrypt(&token)).await, "invalid_request");
    refused(&post(Some("two"), two.encrypt(&token)).await, "invalid_request");
    refused(&post(Some("one"), two.encrypt(&token)).await, "invalid_request");
    assert_eq!(live([&jane]), [true]);
    done(&post(Some("one"), one.encrypt(&token)).await);
    assert_eq!(live([&jane]), [false]);
}
