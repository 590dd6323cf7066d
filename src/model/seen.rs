//! What the caller has looked up before a sign-out.

use std::collections::BTreeSet;
use std::fmt;

use crate::model::tag::{AccountTag, TaggedScope};

/// Which accounts have, or may have, a sign-in of a scope.
///
/// The sign-out does not rely on it alone: it looks into the index again, under its locks. It only
/// saves reading once more that an account has a sign-in which it had a moment ago. An account that
/// has come since is read then.
#[derive(Clone, Default)]
pub(crate) struct Seen(BTreeSet<(TaggedScope, AccountTag)>);

impl Seen {
    #[cfg(feature = "logout")]
    pub(crate) fn add(&mut self, scope: TaggedScope, account: AccountTag) {
        self.0.insert((scope, account));
    }

    pub(crate) fn has(&self, scope: TaggedScope, account: &AccountTag) -> bool {
        self.0.contains(&(scope, *account))
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen(..)")
    }
}
