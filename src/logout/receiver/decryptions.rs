//! How encrypted tokens take turns: anybody can send them, and to decrypt one takes far longer than to
//! check a signature.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::logout::byte_semaphore::{BytePermit, ByteSemaphore};
use crate::logout::jose::jwe::sealed_token::{OpenedToken, SealedToken};
use crate::logout::rejected::Rejected;

/// How many tokens are decrypted at the same time. A flood of made-up ones keeps so many cores busy
/// at most, and none of the runtime's own threads.
const AT_ONCE: usize = 2;

/// The turns of all tokens of a receiver.
pub(crate) struct Decryptions {
    turns: Arc<Semaphore>,
    waiting: ByteSemaphore,
}

/// A token that waits for its turn.
pub(crate) struct WaitingToken {
    token: SealedToken,
    turns: Arc<Semaphore>,
    _memory: BytePermit,
}

impl Default for Decryptions {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting: ByteSemaphore::default() }
    }
}

impl Decryptions {
    /// Queues a token of this length.
    ///
    /// # Errors
    /// [`Rejected::Busy`] if too many wait already.
    pub(crate) fn queue(&self, token: SealedToken, len: usize) -> Result<WaitingToken, Rejected> {
        let memory = self.waiting.acquire(len).ok_or(Rejected::Busy)?;
        Ok(WaitingToken { token, turns: self.turns.clone(), _memory: memory })
    }

    /// Every turn, so that no token has one while this is held.
    #[cfg(test)]
    pub(crate) async fn hold(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.turns.clone().acquire_many_owned(u32::try_from(AT_ONCE).unwrap()).await.unwrap()
    }
}

impl WaitingToken {
    /// Decrypts the token when its turn has come.
    ///
    /// # Errors
    /// Those of [`SealedToken::open`].
    pub(crate) async fn open(self) -> Result<OpenedToken, Rejected> {
        // The semaphore is never closed; and a thread that cannot be had, as the runtime shuts down,
        // is as good as none.
        let turn = self.turns.acquire_owned().await.map_err(|_| Rejected::Busy)?;
        let token = self.token;
        let opened = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            token.open()
        });
        opened.await.unwrap_or(Err(Rejected::Busy))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;
    use serde_json::Value;

    use super::*;
    use crate::logout::jose::jwe::decryption_key::DecryptionKey;

    /// The first example of the RFCs, of which the content is no token.
    fn sealed() -> SealedToken {
        let vectors: Value =
            serde_json::from_str(include_str!("../jose/jwe/rfc_vectors.json")).unwrap();
        let key = DecryptionKey::from_jwk(vectors[0]["jwk"].to_string().as_bytes()).unwrap();
        SealedToken::parse(vectors[0]["token"].as_str().unwrap(), [&key].into_iter()).unwrap()
    }

    #[test]
    fn a_token_waits_for_its_turn() {
        // On one thread what may block goes in the order in which it came.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.max_blocking_threads(1).build().unwrap().block_on(async {
            let decryptions = Decryptions::default();
            let turns = decryptions.hold().await;
            let mut opened = pin!(decryptions.queue(sealed(), 1000).unwrap().open());
            assert!(opened.as_mut().now_or_never().is_none());
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            assert!(opened.as_mut().now_or_never().is_none(), "it did not wait");
            drop(turns);
            assert_eq!(opened.await.err(), Some(Rejected::OnlyEncrypted));
            assert_eq!(decryptions.waiting.taken(), 0);
        });
    }

    /// What strangers send does not fill the memory.
    #[tokio::test]
    async fn beyond_a_bound_tokens_are_refused() {
        let decryptions = Decryptions::default();
        let queue = || decryptions.queue(sealed(), 512 * 1024);
        let mut waiting: Vec<_> = (0..20).map_while(|_| queue().ok()).collect();
        assert_eq!((queue().err(), waiting.len()), (Some(Rejected::Busy), 10));
        // One that is done makes room for another.
        assert!(waiting.pop().unwrap().open().await.is_err());
        assert!(queue().is_ok());
    }
}
