//! A sign-in as a value: the account, the tenant, and the other names.

use crate::model::id::{AccountId, Alias, SessionId, Subject, TenantId, hidden_debug};
use crate::model::position::{Opening, Position};
use std::time::{Duration, SystemTime};

/// The most aliases of one sign-in.
pub const MAX_ALIASES: usize = 8;

/// The longest label of a sign-in, in bytes.
pub const MAX_LABEL_BYTES: usize = 64;

/// A user has signed in: the account, the tenant, and the names by which the provider will speak of
/// the sign-in later.
///
/// Give the session and the subject whenever the ID token has them: without them a provider's
/// sign-out by `sid` or `sub` cannot find the account.
#[derive(Clone, Debug)]
#[must_use]
pub struct SignIn {
    pub(crate) account: AccountId,
    pub(crate) tenant: TenantId,
    pub(crate) session: Option<SessionId>,
    pub(crate) subject: Option<Subject>,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) time: Option<SystemTime>,
    pub(crate) is_continued: bool,
    pub(crate) as_of: Option<AsOf>,
    /// When the provider issued the ID token that tells of it, if that was verified.
    pub(crate) told_at: Option<SystemTime>,
    pub(crate) label: Option<Label>,
    pub(crate) age: Option<Duration>,
}

/// What the app calls a sign-in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) String);

hidden_debug!(Label);

/// A moment of a store, between two of its sign-outs:
/// [`TokenStore::as_of`](crate::TokenStore::as_of).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    pub(crate) opening: Opening,
    pub(crate) position: Position,
}

impl SignIn {
    /// A sign-in of an account in a tenant.
    pub fn new(account: AccountId, tenant: TenantId) -> Self {
        Self {
            account,
            tenant,
            session: None,
            subject: None,
            aliases: Vec::new(),
            time: None,
            is_continued: false,
            as_of: None,
            told_at: None,
            label: None,
            age: None,
        }
    }

    /// The provider's session (`iss`, `sid`).
    pub fn session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// The provider's name of the user (`iss`, `sub`).
    pub fn subject(mut self, subject: Subject) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Another name to find the account by. At most [`MAX_ALIASES`].
    pub fn alias(mut self, alias: Alias) -> Self {
        self.aliases.push(alias);
        self
    }

    /// What the app calls this sign-in, for a page of the user's devices. It is sealed like a token,
    /// and in no metric or span. A text longer than [`MAX_LABEL_BYTES`], such as a `User-Agent`, is
    /// cut there, behind a whole character.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        let mut label = label.into();
        label.truncate(label.floor_char_boundary(MAX_LABEL_BYTES));
        self.label = Some(Label(label));
        self
    }

    /// Ends by itself at this age, instead of [the store's](crate::Builder::max_sign_in_age). A
    /// shorter one can always be set; a longer one up to
    /// [`Builder::longest_sign_in_age`](crate::Builder::longest_sign_in_age).
    pub fn lasts_for(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// When the user signed in, if that was a little earlier than now (`auth_time`). A later time
    /// counts as now.
    ///
    /// It is a new sign-in nevertheless: only sign-outs that come after this call end it. For a
    /// sign-in that was made long ago and is imported from elsewhere, see
    /// [`imported_from`](Self::imported_from).
    pub fn signed_in_at(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// As [`signed_in_at`](Self::signed_in_at), by the `iat` of an ID token that was verified: it
    /// confirms our clock, too.
    #[cfg(feature = "openidconnect")]
    pub(crate) fn told_at(mut self, iat: SystemTime) -> Self {
        (self.time, self.told_at) = (Some(iat), Some(iat));
        self
    }

    /// This is not a new sign-in, but one of this time that is imported from elsewhere, such as
    /// another cache. If a sign-out that covers it has been recorded at this time or since, it is
    /// refused with [`Error::SignedOut`](crate::Error::SignedOut), so that importing the same cache
    /// twice does not bring back a user who has signed out.
    pub fn imported_from(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self.is_continued = true;
        self
    }

    /// As [`imported_from`](Self::imported_from), from an unknown time: any sign-out on record
    /// that covers it refuses it.
    #[cfg(feature = "msal")]
    pub(crate) fn continued(mut self) -> Self {
        self.is_continued = true;
        self
    }

    /// The sign-in was begun at this moment: a sign-out that covers it and came since refuses it
    /// with [`Error::Overtaken`](crate::Error::Overtaken).
    ///
    /// Between the provider's ID token and the call that signs in lies a request to the provider.
    /// Should the user sign out of everything just then, that sign-out would come first and find no
    /// sign-in, and this sign-in would stand. So take the [moment](crate::TokenStore::as_of) before
    /// the code is redeemed. (Not before the user is sent to the provider: they may sign out
    /// elsewhere and then, for good reason, sign in here.)
    pub fn as_of(mut self, moment: AsOf) -> Self {
        self.as_of = Some(moment);
        self
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

/// What a [`put`](crate::LiveSignIn::put) did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOutcome {
    /// How many tokens were stored.
    pub stored: usize,
    /// The tokens, by their place in what was given, that were left out because their own tenant
    /// has been signed out.
    pub refused: Vec<usize>,
}
