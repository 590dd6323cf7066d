//! Web sessions for async code.

use std::time::Duration;

use super::Threads;
use super::store::AsyncTokenStore;
use crate::api::web_sessions::{WebSession, WebSessions};
use crate::model::error::Result;

/// [`WebSessions`] for async apps, of any framework: no thread of the runtime waits for the disk.
/// Clones share the store. (For `tower-sessions` there is the crate `oubliette-tower-sessions`.)
///
/// See [`AsyncTokenStore`] for what happens when a future is dropped.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// # use oubliette::*;
/// # async fn example() -> Result<()> {
/// let store = AsyncTokenStore::new(TokenStore::in_memory()?);
/// let sessions = store.web_sessions();
/// let account = AccountId::new("login.example.com", "user-1")?;
/// let live = store.sign_in(SignIn::new(account, TenantId::new("contoso")?)).await?;
/// let session = WebSession::new(SystemTime::now() + Duration::from_secs(3600), b"cart: 3");
/// let id = sessions.create([7; 16], session.bound_to(&live)).await?; // random, in an app
///
/// let found = sessions.load(&id).await?.unwrap();
/// assert_eq!(store.resume_bound(found.binding().unwrap()).await?.as_ref(), Some(&live));
/// # store.close().await }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct AsyncWebSessions {
    sessions: WebSessions,
    threads: Threads,
}

impl AsyncTokenStore {
    /// As [`TokenStore::web_sessions`](crate::TokenStore::web_sessions).
    #[must_use]
    pub fn web_sessions(&self) -> AsyncWebSessions {
        AsyncWebSessions {
            sessions: self.blocking().web_sessions(),
            threads: self.threads().clone(),
        }
    }
}

impl AsyncWebSessions {
    /// As [`WebSessions::unbound_for`].
    #[must_use]
    pub fn unbound_for(self, time: Duration) -> Self {
        Self { sessions: self.sessions.unbound_for(time), ..self }
    }

    /// As [`WebSessions::create`].
    ///
    /// # Errors
    /// As [`WebSessions::create`].
    pub async fn create(&self, id: [u8; 16], session: WebSession) -> Result<[u8; 16]> {
        self.run(move |sessions| sessions.create(id, session)).await
    }

    /// As [`WebSessions::save`].
    ///
    /// # Errors
    /// As [`WebSessions::save`].
    pub async fn save(&self, id: &[u8; 16], session: WebSession) -> Result<()> {
        let id = *id;
        self.run(move |sessions| sessions.save(&id, session)).await
    }

    /// As [`WebSessions::load`].
    ///
    /// # Errors
    /// As [`WebSessions::load`].
    pub async fn load(&self, id: &[u8; 16]) -> Result<Option<WebSession>> {
        let id = *id;
        self.run(move |sessions| sessions.load(&id)).await
    }

    /// As [`WebSessions::delete`].
    ///
    /// # Errors
    /// As [`WebSessions::delete`].
    pub async fn delete(&self, id: &[u8; 16]) -> Result<()> {
        let id = *id;
        self.run(move |sessions| sessions.delete(&id)).await
    }

    /// As [`WebSessions::delete_expired`].
    ///
    /// # Errors
    /// As [`WebSessions::delete_expired`].
    pub async fn delete_expired(&self) -> Result<()> {
        self.run(WebSessions::delete_expired).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WebSessions) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let sessions = self.sessions.clone();
        self.threads.run(move || work(&sessions)).await
    }
}
