//! The session store, for each version of `tower-sessions`.

use std::time::Duration;

use oubliette::{TokenStore, WebSessions};

/// Keeps web sessions in a [`TokenStore`]. Clones share it.
///
/// ```
/// # use std::time::Duration;
/// use oubliette_tower_sessions::OublietteSessions;
/// # let store = oubliette::TokenStore::in_memory()?;
/// let sessions = OublietteSessions::new(&store).unbound_for(Duration::from_secs(15 * 60));
/// let layer = tower_sessions::SessionManagerLayer::new(sessions);
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone)]
pub struct OublietteSessions(pub(crate) WebSessions);

impl OublietteSessions {
    /// Web sessions in this store. From now on, if the store's last handle is dropped on a runtime's
    /// thread, it is closed on another.
    #[must_use]
    pub fn new(store: impl AsRef<TokenStore>) -> Self {
        let store = store.as_ref();
        #[cfg(feature = "runtime")]
        drop(oubliette::AsyncTokenStore::new(store.clone()));
        Self(store.web_sessions())
    }

    /// How long a session that is bound to no sign-in is kept after its last save, at most. One
    /// hour unless told otherwise: enough for a login, and little enough for visitors who leave.
    #[must_use]
    pub fn unbound_for(self, time: Duration) -> Self {
        Self(self.0.unbound_for(time))
    }

    /// Does work that may wait for the disk where that holds up nobody.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WebSessions) -> oubliette::Result<T> + Send + 'static,
    ) -> oubliette::Result<T> {
        let sessions = self.0.clone();
        blocking(move || work(&sessions)).await
    }
}

impl std::fmt::Debug for OublietteSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OublietteSessions(..)")
    }
}

/// Runs it on a thread of the runtime for blocking work. If the runtime shuts down meanwhile, the
/// store counts as closed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> oubliette::Result<T> + Send + 'static,
) -> oubliette::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(oubliette::Error::Closed),
        },
    }
}

/// [`OublietteSessions`] as a store of this version of `tower-sessions`, and the binding of its
/// sessions. (Their types have the same parts.)
macro_rules! for_version {
    ($tower_sessions:ident) => {
        /// Binds a web session to a sign-in: from now on it ends with that. The session gets a new
        /// id (against session fixation, OWASP ASVS 3.2.1), and is stored when the response is made,
        /// or at `Session::save`. If the sign-in has ended by then, it is not stored.
        ///
        /// Call it once at login. Whatever the session was bound to before, it is now bound to this.
        /// There is no way back but `Session::flush`.
        ///
        /// # Errors
        /// As of `Session::insert` and `Session::cycle_id`. Nobody is logged in by the session then;
        /// that from before the login may still be there.
        pub async fn bind(
            session: &$tower_sessions::Session,
            live: &impl AsRef<oubliette::LiveSignIn>,
        ) -> Result<(), $tower_sessions::session::Error> {
            // First the mark: a save under the old id, should it come to that, stores nothing.
            let mark = $crate::data::mark(&live.as_ref().web_binding());
            session.insert_value($crate::BINDING, mark).await?;
            let cycled = session.cycle_id().await;
            if cycled.is_err() {
                // The session has its new id already: what a save makes of it is nobody's.
                session.clear().await;
            }
            cycled
        }

        /// As [`bind`], and ends the sign-in that the session had before, if there is one: for users
        /// who sign in again in the same browser. Without this, the earlier sign-in lives on with
        /// its tokens, out of anybody's reach.
        ///
        /// # Errors
        /// As of [`bind`] and [`bound`]. `Backend` if the earlier sign-in could not be ended: the
        /// session is bound to the new one then.
        pub async fn bind_instead<S: $crate::Resumes>(
            session: &$tower_sessions::Session,
            store: &S,
            live: &S::SignIn,
        ) -> Result<(), $tower_sessions::session::Error> {
            use $tower_sessions::session_store::Error;
            let earlier = bound(session, store).await?;
            bind(session, live).await?;
            match earlier.filter(|earlier| earlier != live) {
                None => Ok(()),
                Some(earlier) => store
                    .end(&earlier)
                    .await
                    .map_err(|error| Error::Backend(error.to_string()).into()),
            }
        }

        /// The live sign-in that the web session is bound to: the way from a browser's cookie to the
        /// tokens. `None` if it is bound to none, or that has ended meanwhile. Of an
        /// `AsyncTokenStore` it is an `AsyncSignIn`.
        ///
        /// # Errors
        /// Those of loading the session; `Decode` if its binding is not as [`bind`] made it;
        /// `Backend` if the store failed.
        pub async fn bound<S: $crate::Resumes>(
            session: &$tower_sessions::Session,
            store: &S,
        ) -> Result<Option<S::SignIn>, $tower_sessions::session::Error> {
            use $tower_sessions::session_store::Error;
            let Some(value) = session.get_value($crate::BINDING).await? else { return Ok(None) };
            let Some(binding) = $crate::data::binding(&value) else {
                return Err(Error::Decode($crate::data::UNREADABLE.into()).into());
            };
            // No error of the store tells an id or a secret.
            store
                .resume_bound(binding)
                .await
                .map_err(|error| Error::Backend(error.to_string()).into())
        }

        const _: () = {
            use $crate::data::{Fault, kept, read};
            use $crate::sessions::OublietteSessions;
            use $tower_sessions::session::{Id, Record};
            use $tower_sessions::session_store::{Error, Result};
            use $tower_sessions::{ExpiredDeletion, SessionStore};

            fn fault(fault: Fault) -> Error {
                match fault {
                    Fault::Encode(problem) => Error::Encode(problem.into()),
                    Fault::Decode(problem) => Error::Decode(problem.into()),
                }
            }

            fn failed(error: oubliette::Error) -> Error {
                Error::Backend(error.to_string())
            }

            #[async_trait::async_trait]
            impl SessionStore for OublietteSessions {
                async fn create(&self, record: &mut Record) -> Result<()> {
                    let id = record.id.0.to_le_bytes();
                    let kept = kept(&record.data, record.expiry_date).map_err(fault)?;
                    let made = self.blocking(move |sessions| sessions.create(id, kept)).await;
                    record.id = Id(i128::from_le_bytes(made.map_err(failed)?));
                    Ok(())
                }

                async fn save(&self, record: &Record) -> Result<()> {
                    let id = record.id.0.to_le_bytes();
                    let kept = kept(&record.data, record.expiry_date).map_err(fault)?;
                    self.blocking(move |sessions| sessions.save(&id, kept)).await.map_err(failed)
                }

                async fn load(&self, session_id: &Id) -> Result<Option<Record>> {
                    let id = *session_id;
                    let load =
                        move |sessions: &oubliette::WebSessions| sessions.load(&id.0.to_le_bytes());
                    let found = self.blocking(load).await.map_err(failed)?;
                    let read = found.map(|kept| read(&kept)).transpose().map_err(fault)?;
                    Ok(read.map(|(data, expiry_date)| Record { id, data, expiry_date }))
                }

                async fn delete(&self, session_id: &Id) -> Result<()> {
                    let id = session_id.0.to_le_bytes();
                    self.blocking(move |sessions| sessions.delete(&id)).await.map_err(failed)
                }
            }

            #[async_trait::async_trait]
            impl ExpiredDeletion for OublietteSessions {
                /// Looks at every web session, and at no token. `TokenStore::sweep` does it too.
                async fn delete_expired(&self) -> Result<()> {
                    self.blocking(oubliette::WebSessions::delete_expired).await.map_err(failed)
                }
            }
        };
    };
}
pub(crate) use for_version;
