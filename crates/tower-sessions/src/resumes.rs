//! The stores whose sign-ins web sessions are bound to.

use std::future::Future;

use oubliette::{LiveSignIn, SignOut, TokenStore, WebBinding};

use crate::sessions::blocking;

/// A [`TokenStore`], or an `AsyncTokenStore`: what [`bound`](crate::bound) finds sign-ins in, each
/// in handles of its own kind.
pub trait Resumes: private::Sealed {
    /// Its handle of a sign-in.
    type SignIn: AsRef<LiveSignIn> + PartialEq + Send + Sync;

    #[doc(hidden)]
    fn resume_bound(
        &self,
        binding: WebBinding,
    ) -> impl Future<Output = oubliette::Result<Option<Self::SignIn>>> + Send;

    #[doc(hidden)]
    fn end(&self, live: &Self::SignIn) -> impl Future<Output = oubliette::Result<()>> + Send;
}

fn sign_out(live: &LiveSignIn) -> SignOut {
    SignOut::sign_in(live.account(), live.id())
}

impl Resumes for TokenStore {
    type SignIn = LiveSignIn;

    async fn resume_bound(&self, binding: WebBinding) -> oubliette::Result<Option<LiveSignIn>> {
        let store = self.clone();
        blocking(move || TokenStore::resume_bound(&store, &binding)).await
    }

    async fn end(&self, live: &LiveSignIn) -> oubliette::Result<()> {
        let (store, sign_out) = (self.clone(), sign_out(live));
        blocking(move || store.sign_out(sign_out).map(drop)).await
    }
}

#[cfg(feature = "runtime")]
impl Resumes for oubliette::AsyncTokenStore {
    type SignIn = oubliette::AsyncSignIn;

    async fn resume_bound(
        &self,
        binding: WebBinding,
    ) -> oubliette::Result<Option<oubliette::AsyncSignIn>> {
        Self::resume_bound(self, &binding).await
    }

    async fn end(&self, live: &oubliette::AsyncSignIn) -> oubliette::Result<()> {
        self.sign_out(sign_out(live.as_ref())).await.map(drop)
    }
}

mod private {
    /// Methods may be added.
    pub trait Sealed {}

    impl Sealed for oubliette::TokenStore {}

    #[cfg(feature = "runtime")]
    impl Sealed for oubliette::AsyncTokenStore {}
}
