//! What operators see of the callbacks (`docs/operating.md`).

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use oubliette::logout::EndSession;
use oubliette_testkit::provider::NOW;

use super::world::CallbackFixture;

/// Every outcome of both channels is counted under its own name.
#[test]
fn every_callback_is_counted_by_what_became_of_it() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // On one thread, which has the recorder: what is counted is counted where the answer is made.
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let world = CallbackFixture::new();
            for sid in ["session-1", "session-2"] {
                world.sign_in("jane", Some(sid));
            }
            let claims = world.stub.claims();
            let _ = world.post(&claims).await;
            let _ = world.post(&claims).await;
            let _ = world.post(&claims.clone().with("aud", "x")).await;
            let _ = world.post(&claims.clone().with("exp", NOW - 3600)).await;
            let _ = world.post(&claims.clone().with("iat", NOW + 3600)).await;
            let joe = world.sign_in("joe", Some("session-3"));
            for query in ["sid=session-3", "sid=session-3", "sid=session-3&iss=x", "x"] {
                let query =
                    query.replace("sid=session-3", "sid=session-3&iss=https://login.example.com");
                let _ = world.get(&query).await;
            }
            assert!(!joe.is_live().unwrap());
            // Of a session that nobody has, the app's operator learns; whoever asks does not.
            let unknown = world.get("sid=session-8&iss=https://login.example.com").await;
            assert_eq!(unknown, world.get("sid=session-3&iss=https://login.example.com").await);
            world.store.clone().close().unwrap();
            let _ = world.post(&claims.with("jti", "another")).await;
            let _ = world.get("sid=session-9&iss=https://login.example.com").await;
        });
    });
    let mut found = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        if let (DebugValue::Counter(count), "oubliette_callbacks_total") = (value, key.key().name())
        {
            let label = |name| {
                key.key().labels().find(|label| label.key() == name).unwrap().value().to_owned()
            };
            found.insert((label("channel"), label("outcome")), count);
        }
    }
    let expected = [
        ("back", "done", 1),
        ("back", "failed", 1),
        ("back", "refused", 1),
        ("back", "repeated", 1),
        ("back", "untimely", 2),
        ("front", "done", 1),
        ("front", "failed", 1),
        ("front", "nobody", 2),
        ("front", "refused", 2),
        ("front", "unknown", 1),
    ];
    let expected =
        expected.map(|(channel, outcome, count)| ((channel.to_owned(), outcome.to_owned()), count));
    assert_eq!(found, expected.into());
}

/// What became of front-channel requests: their outcomes, how often each.
fn front(run: impl AsyncFnOnce(&CallbackFixture)) -> BTreeMap<String, u64> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async { run(&CallbackFixture::new()).await })
    });
    let front = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
        let label = |name| {
            key.key()
                .labels()
                .find(|label| label.key() == name)
                .map(|label| label.value().to_owned())
        };
        let DebugValue::Counter(count) = value else { return None };
        (key.key().name() == "oubliette_callbacks_total" && label("channel")? == "front")
            .then_some((label("outcome")?, count))
    });
    front.collect()
}

/// A provider whose `sid` is none that sign-ins have is told from one whose users have all signed
/// out before.
#[test]
fn a_session_that_no_sign_in_has_is_told_from_one_that_has_ended() {
    let query = "sid=session-1&iss=https://login.example.com";
    let once = |outcome: &str| BTreeMap::from([(outcome.to_owned(), 1)]);
    let unknown = front(async |world| {
        world.sign_in("jane", Some("session-2"));
        let _ = world.get(query).await;
    });
    assert_eq!(unknown, once("unknown"));
    // Whether by the back channel, or from here, of which the provider tells just after, though
    // nothing is left of the sign-in.
    let ended = front(async |world| {
        let jane = world.sign_in("jane", Some("session-1"));
        let _ = world.post(&world.stub.claims()).await;
        assert!(!jane.is_live().unwrap());
        world.store.wait_reclaimed().unwrap();
        let _ = world.get(query).await;
    });
    assert_eq!(ended, once("nobody"));
    let ended = front(async |world| {
        let jane = world.sign_in("jane", Some("session-1"));
        let _ = world.receiver.sign_out(&jane.into(), EndSession::new()).await.unwrap();
        world.store.wait_reclaimed().unwrap();
        let _ = world.get(query).await;
    });
    assert_eq!(ended, once("nobody"));
}
