//! What a logout request needs is done once: its token is parsed and checked, and whom it ends is
//! looked up.

use std::cell::Cell;

thread_local! {
    /// How many tokens this thread has parsed, and how many it has checked, but for their
    /// signatures.
    pub(super) static PARSED: Cell<usize> = const { Cell::new(0) };
    pub(super) static CHECKED: Cell<usize> = const { Cell::new(0) };
    /// How often it has used a private key, and how often it has decrypted a content, if only with a
    /// random key.
    #[cfg(feature = "jwe")]
    pub(super) static DECRYPTED: Cell<usize> = const { Cell::new(0) };
    #[cfg(feature = "jwe")]
    pub(super) static OPENED: Cell<usize> = const { Cell::new(0) };
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, SystemTime};

    use base64ct::{Base64UrlUnpadded, Encoding};
    use ed25519_dalek::{Signer as _, SigningKey};
    use serde_json::{Value, json};

    use super::*;
    use crate::api::token_store::TokenStore;
    use crate::logout::token::profile::LOGOUT_EVENT;
    use crate::logout::{Algorithm, Issuer, Issuers, Keys, Receiver};
    use crate::model::id::{AccountId, ClientId, SessionId, Subject, TenantId};
    use crate::model::sign_in::SignIn;
    use crate::openid::Provider;
    use crate::rows::row_key;
    use crate::testing::machine::Machine;

    const ISS: &str = "https://op.example";

    fn text(bytes: &[u8]) -> String {
        Base64UrlUnpadded::encode_string(bytes)
    }

    fn seconds() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    fn body(claims: Value) -> String {
        let mut all = json!({"iss": ISS, "aud": "a", "iat": seconds(), "exp": seconds() + 120, "events": {LOGOUT_EVENT: {}}});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let input =
            [json!({"alg": "EdDSA"}), all].map(|part| text(part.to_string().as_bytes())).join(".");
        let signature = SigningKey::from_bytes(&[1; 32]).sign(input.as_bytes());
        format!("logout_token={input}.{}", text(&signature.to_bytes()))
    }

    /// A receiver over a store, and the accounts that its hook was told of.
    fn receiver(store: &TokenStore) -> (Receiver, Arc<Mutex<Vec<AccountId>>>) {
        let x = text(SigningKey::from_bytes(&[1; 32]).verifying_key().as_bytes());
        let keys = Keys::fixed(
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string().as_bytes(),
        )
        .unwrap();
        let issuer =
            Issuer::new(Provider::generic(ISS).unwrap(), ClientId::new("a").unwrap(), keys)
                .algorithms([Algorithm::EdDsa]);
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let receiver = Receiver::new(store.clone(), Issuers::new([issuer]).unwrap())
            .after_sign_out(move |signed_out| {
                tell.lock().unwrap().extend(signed_out.accounts);
                async { Ok(()) }
            });
        (receiver, told)
    }

    fn sign_in(store: &TokenStore, sub: &str, sid: &str) -> AccountId {
        let subject = Subject::new(ISS, sub).unwrap();
        let account = AccountId::of_subject(subject.clone());
        let at = SystemTime::now().checked_sub(Duration::from_secs(100)).unwrap();
        let sign_in = SignIn::new(account.clone(), TenantId::new("t").unwrap())
            .subject(subject)
            .signed_in_at(at);
        store.sign_in(sign_in.session(SessionId::new(ISS, sid).unwrap())).unwrap();
        account
    }

    /// How often each row of this account, and each place of the index, was read.
    fn reads(
        machine: &Machine,
        store: &TokenStore,
        account: &AccountId,
    ) -> (BTreeMap<Vec<u8>, usize>, BTreeMap<Vec<u8>, usize>) {
        let header = row_key::header(&store.core().tagger.account(account));
        let (mut rows, mut index) = (BTreeMap::new(), BTreeMap::new());
        for key in machine.take_reads() {
            let is_index = key.len() == 17;
            let is_rows = key.starts_with(&header[..17]) && !is_index;
            let counts = if is_rows {
                &mut rows
            } else if is_index {
                &mut index
            } else {
                continue;
            };
            *counts.entry(key).or_insert(0) += 1;
        }
        (rows, index)
    }

    async fn post(receiver: &Receiver, claims: Value) -> u16 {
        receiver.back_channel(None, None, body(claims).as_bytes()).await.status()
    }

    #[tokio::test]
    async fn a_token_is_parsed_and_checked_once() {
        let store = TokenStore::in_memory().unwrap();
        let (receiver, _) = receiver(&store);
        sign_in(&store, "jane", "s-1");
        for (claims, status) in [
            (json!({"sub": "jane", "sid": "s-1"}), 200),
            (json!({"sub": "jane", "sid": "s-1", "aud": "b"}), 400),
            (json!({"sub": "nobody"}), 200),
        ] {
            PARSED.set(0);
            CHECKED.set(0);
            assert_eq!(post(&receiver, claims.clone()).await, status);
            assert_eq!((PARSED.get(), CHECKED.get()), (1, 1), "{claims}");
        }
    }

    #[tokio::test]
    async fn whom_a_sign_out_ends_is_looked_up_once() {
        for (claims, is_front) in [
            (json!({"sub": "jane", "sid": "s-1"}), false),
            (json!({"sid": "s-1"}), false),
            (json!({"sub": "jane"}), false),
            (json!({}), true),
        ] {
            let machine = Machine::new();
            let store = machine.builder().open().unwrap();
            let (receiver, told) = receiver(&store);
            let jane = sign_in(&store, "jane", "s-1");
            sign_in(&store, "jane", "s-2");
            machine.take_reads();
            let status = match is_front {
                true => {
                    receiver.front_channel(None, "iss=https://op.example&sid=s-1").await.status()
                }
                false => post(&receiver, claims.clone()).await,
            };
            let (rows, index) = reads(&machine, &store, &jane);
            assert_eq!(
                (status, told.lock().unwrap().as_slice()),
                (200, std::slice::from_ref(&jane))
            );
            // The header, and both sign-ins.
            assert_eq!((rows.len(), rows.values().max()), (3, Some(&1)), "{claims}");
            // The index is looked into once more, under the locks.
            assert!(
                !index.is_empty() && index.values().all(|times| *times == 2),
                "{claims}: {:?}",
                index.values()
            );
        }
    }

    /// What was looked up before is a hint: whoever signs in after the look, and before the
    /// sign-out stands, goes too.
    #[test]
    fn a_sign_in_between_the_look_and_the_sign_out_ends_too() {
        let store = TokenStore::in_memory().unwrap();
        let session = SessionId::new(ISS, "s-1").unwrap();
        sign_in(&store, "jane", "s-1");
        let sign_out = crate::model::sign_out::SignOut::session(&session);
        let seen = store.outlook(&sign_out).unwrap().seen;
        let joe = sign_in(&store, "joe", "s-1");
        sign_in(&store, "joe", "s-2");
        let receipt = store.sign_out(sign_out.with_seen(seen)).unwrap();
        assert_eq!(receipt.accounts, Some(2));
        assert!(store.account(&joe).unwrap().is_empty());
    }
}
