//! A sign-out as a value: what is asked for, and what came of it.

use crate::model::seen::Seen;
use crate::model::tag::TaggedScope;
use std::time::SystemTime;

use crate::model::id::{AccountId, Alias, SessionId, Subject, TenantId};
use crate::model::token::RefreshToken;

/// Which sign-ins end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignOutScope {
    /// Every sign-in of an account.
    Account(AccountId),
    /// The sign-ins of a session at the provider; the [`SessionPolicy`] says what else ends.
    Session(SessionId),
    /// Every sign-in that was made with this subject.
    Subject(Subject),
    /// Every sign-in in a tenant, and every token of it that other sign-ins hold.
    Tenant(TenantId),
    /// One sign-in of an account, by its [id](crate::LiveSignIn::id).
    SignIn(AccountId, [u8; 16]),
    /// Every sign-in.
    Everybody,
}

/// What a session's sign-out ends, beside the session itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionPolicy {
    /// The whole account that the session is of, in every browser: what the providers' documents
    /// ask of an app when a user signs out.
    #[default]
    WholeAccount,
    /// Only the sign-ins of this session.
    OnlySession,
}

/// A request to sign out. Every sign-in in its scope that was made before ends, for ever.
///
/// ```
/// # use oubliette::*;
/// # let store = TokenStore::in_memory()?;
/// let session = SessionId::new("https://idp.example.com", "s-1")?;
/// let receipt = store.sign_out(SignOut::session(&session).taking_refresh_tokens())?;
/// assert_eq!(receipt.refresh_tokens.len(), 0); // No user was signed in: it is recorded anyway.
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SignOut {
    pub(crate) scopes: Vec<SignOutScope>,
    /// The aliases whose accounts are looked up.
    pub(crate) aliases: Vec<Alias>,
    pub(crate) cutoff: Option<SystemTime>,
    pub(crate) take: bool,
    pub(crate) is_counted: bool,
    pub(crate) policy: Option<SessionPolicy>,
    /// What was already looked up for it.
    pub(crate) seen: Seen,
}

impl SignOut {
    /// In any scope.
    pub fn of(scope: SignOutScope) -> Self {
        let (scopes, aliases) = (vec![scope], Vec::new());
        Self {
            scopes,
            aliases,
            cutoff: None,
            take: false,
            is_counted: false,
            policy: None,
            seen: Seen::default(),
        }
    }

    /// Of an account, wherever it is signed in.
    pub fn account(account: &AccountId) -> Self {
        Self::of(SignOutScope::Account(account.clone()))
    }

    /// Of one sign-in of an account, by its [id](crate::LiveSignIn::id): "sign out this device". The
    /// account's other sign-ins go on. The id of a sign-in of another account ends none, so it can
    /// come from a form of the user's, as long as the account is the user's own.
    ///
    /// ```
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// # let user = AccountId::new("https://login.example.com", "user-1")?;
    /// # let tenant = TenantId::new("contoso")?;
    /// # let [phone, laptop] = ["my phone", "my laptop"]
    /// #     .map(|_| store.sign_in(SignIn::new(user.clone(), tenant.clone())).unwrap());
    /// store.sign_out(SignOut::sign_in(&user, phone.id()))?;
    /// assert!(!phone.is_live()? && laptop.is_live()?);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn sign_in(account: &AccountId, id: [u8; 16]) -> Self {
        Self::of(SignOutScope::SignIn(account.clone(), id))
    }

    /// Of a session at the provider.
    pub fn session(session: &SessionId) -> Self {
        Self::of(SignOutScope::Session(session.clone()))
    }

    /// Of a subject at the provider.
    pub fn subject(subject: &Subject) -> Self {
        Self::of(SignOutScope::Subject(subject.clone()))
    }

    /// Of every account that has a sign-in of this alias: they are looked up, and recorded by their
    /// own names. An alias has no record itself: a login that is in progress is not covered, and if
    /// no account is found, nothing is recorded. The engine has to be readable.
    pub fn alias(alias: &Alias) -> Self {
        Self {
            scopes: Vec::new(),
            aliases: vec![alias.clone()],
            ..Self::of(SignOutScope::Everybody)
        }
    }

    /// Of a tenant: all users that signed in to it, and the tokens of it that guests hold.
    pub fn tenant(tenant: &TenantId) -> Self {
        Self::of(SignOutScope::Tenant(tenant.clone()))
    }

    /// Of everybody.
    pub fn everybody() -> Self {
        Self::of(SignOutScope::Everybody)
    }

    /// And of this scope, at once: for signals that name a user by more than one name.
    pub fn and(mut self, scope: SignOutScope) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Only of sign-ins made by this time, to the millisecond: for signals that say when they were
    /// made, so that a late or repeated one does not end a newer sign-in. Claims such as `iat` are
    /// in whole seconds: give the end of that second, and add what the clocks may differ by.
    pub fn signed_in_before(mut self, time: SystemTime) -> Self {
        self.cutoff = Some(time);
        self
    }

    /// Returns the refresh tokens that it ends, so that they can be revoked (RFC 7009). For an
    /// account, sign-in, session or subject.
    pub fn taking_refresh_tokens(mut self) -> Self {
        self.take = true;
        self
    }

    /// Counts the accounts and sign-ins that it ended, in [`Receipt::counted`]. The sign-out
    /// stands, and is durable, as soon as without counting; but the call returns when all is
    /// counted: for a tenant, or everybody, it goes through all their accounts.
    pub fn counted(mut self) -> Self {
        self.is_counted = true;
        self
    }

    /// The kind of its scope, or of the first of several.
    pub(crate) fn kind(&self) -> SignOutScopeKind {
        self.scopes.first().map_or(SignOutScopeKind::Account, SignOutScopeKind::of)
    }

    /// With what the caller has looked up just before, so that it need not be read again.
    #[cfg(feature = "logout")]
    pub(crate) fn with_seen(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    #[cfg(feature = "logout")]
    pub(crate) fn cutoff(&self) -> Option<SystemTime> {
        self.cutoff
    }

    pub(crate) fn scopes(&self) -> impl Iterator<Item = &SignOutScope> {
        self.scopes.iter()
    }

    /// The policy for this sign-out, instead of the one that the store was built with. It applies
    /// to a subject's sign-out too: with [`WholeAccount`](SessionPolicy::WholeAccount) every
    /// account with a sign-in of that subject ends; without a policy only the sign-ins of the
    /// subject do.
    pub fn policy(mut self, policy: SessionPolicy) -> Self {
        self.policy = Some(policy);
        self
    }
}

/// A sign-out that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its (last) record's place in the ledger.
    pub position: u64,
    /// When it was asked for.
    pub at: SystemTime,
    /// How many accounts a session's sign-out ended (or a subject's, if its policy was to end
    /// them); `None` in other scopes, which look up no accounts.
    pub accounts: Option<usize>,
    /// The refresh tokens that it ended, if they were asked for.
    pub refresh_tokens: Vec<RefreshToken>,
    /// Whether some refresh tokens could not be read, because the engine failed or a row does not
    /// open.
    pub refresh_tokens_missed: bool,
    /// How many accounts and sign-ins it ended, if that was [to be counted](SignOut::counted).
    /// `None` if not, or if the engine cannot be read. A sign-in that another one of the account
    /// has pushed out between the sign-out and the counting is not counted; sweeps and the
    /// reclaimer wait meanwhile.
    pub counted: Option<Counted>,
}

/// How many accounts and sign-ins a sign-out ended: those that were live until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// Accounts of which at least one sign-in ended.
    pub accounts: u64,
    /// Their sign-ins that ended. (Not the tokens of a tenant that sign-ins of others hold, which
    /// end too.)
    pub sign_ins: u64,
}

/// What the store knows of the last sign-out in a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastSignOut {
    /// The newest sign-out that can have ended a sign-in of this scope, if one is known: see
    /// [`TokenStore::last_sign_out`](crate::TokenStore::last_sign_out).
    pub record: Option<Recorded>,
    /// The newest sign-out of exactly this scope, if one is known.
    pub exact: Option<Recorded>,
    /// Sign-outs since this time are all known. Older ones may have been dropped: every sign-in
    /// from before has ended by its age.
    pub known_since: SystemTime,
    /// The kinds of names that could not be looked at: nothing is left of the sign-ins that had
    /// such names, or it cannot be read.
    pub not_looked_at: Vec<SignOutScopeKind>,
}

/// A sign-out, as the ledger keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// Its place in the ledger.
    pub position: u64,
    /// When it was asked for.
    pub at: SystemTime,
    /// What it was the sign-out of.
    pub kind: SignOutScopeKind,
    /// Only sign-ins made by this time ended; `None` if all did.
    pub signed_in_before: Option<SystemTime>,
}

/// The kinds of [`SignOutScope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SignOutScopeKind {
    /// Everybody.
    Everybody,
    /// A tenant.
    Tenant,
    /// An account.
    Account,
    /// A session at the provider.
    Session,
    /// A subject at the provider.
    Subject,
    /// One sign-in.
    SignIn,
}

impl SignOutScopeKind {
    /// The kind of a scope.
    #[must_use]
    pub fn of(scope: &SignOutScope) -> Self {
        match scope {
            SignOutScope::Everybody => Self::Everybody,
            SignOutScope::Tenant(_) => Self::Tenant,
            SignOutScope::Account(_) => Self::Account,
            SignOutScope::Session(_) => Self::Session,
            SignOutScope::Subject(_) => Self::Subject,
            SignOutScope::SignIn(..) => Self::SignIn,
        }
    }

    pub(crate) fn of_rule(scope: TaggedScope) -> Self {
        match scope {
            TaggedScope::Everybody => Self::Everybody,
            TaggedScope::Tenant(_) => Self::Tenant,
            TaggedScope::Account(_) => Self::Account,
            TaggedScope::Session(_) => Self::Session,
            TaggedScope::Subject(_) => Self::Subject,
            TaggedScope::SignIn(_) => Self::SignIn,
        }
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everybody => "everybody",
            Self::Tenant => "tenant",
            Self::Account => "account",
            Self::Session => "session",
            Self::Subject => "subject",
            Self::SignIn => "sign_in",
        }
    }
}

impl std::fmt::Display for SignOutScopeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
