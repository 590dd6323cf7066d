#![cfg(any(doc, doctest))]
// Links between the pages: here to the modules, and below, in the pages' own files, to the files.
// Of two definitions of a link the first one counts.
//! [first-store]: first_store
//! [sign-in]: sign_in
//! [refresh]: refresh
//! [signals]: sign_out_signals
//! [web-sessions]: web_sessions
//! [async]: async_apps
//! [testing]: testing
//! [msal]: msal_caches
//! [oauth2-only]: oauth2_only
//! [choosing]: choosing
#![doc = include_str!("../docs/guide/README.md")]

#[doc = include_str!("../docs/guide/1-first-store.md")]
pub mod first_store {}

#[doc = include_str!("../docs/guide/2-sign-in.md")]
pub mod sign_in {}

#[doc = include_str!("../docs/guide/3-refresh.md")]
pub mod refresh {}

#[doc = include_str!("../docs/guide/4-sign-out-signals.md")]
pub mod sign_out_signals {}

#[doc = include_str!("../docs/guide/5-web-sessions.md")]
pub mod web_sessions {}

#[doc = include_str!("../docs/guide/6-async.md")]
pub mod async_apps {}

#[doc = include_str!("../docs/guide/7-testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/guide/8-msal-caches.md")]
pub mod msal_caches {}

#[doc = include_str!("../docs/guide/9-oauth2-only.md")]
pub mod oauth2_only {}

#[doc = include_str!("../docs/guide/10-choosing.md")]
pub mod choosing {}

// The code in the other documents compiles, too.
#[cfg(doctest)]
#[doc = include_str!("../docs/operating.md")]
struct Operating;
#[cfg(doctest)]
#[doc = include_str!("../docs/deployment.md")]
struct Deployment;
#[cfg(doctest)]
#[doc = include_str!("../docs/faq.md")]
struct Faq;
