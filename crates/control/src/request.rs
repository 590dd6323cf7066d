//! What an operator can ask of the app, and whom it is about.

use std::fmt;
use std::time::SystemTime;

use oubliette::{
    AccountId, Alias, AliasKind, ClientId, Result, SessionId, SessionPolicy, SignOut, SignOutScope,
    Subject, TenantId,
};
use serde::{Deserialize, Serialize};

/// A request. What is not known of it is refused and never passed over: a word that a newer program
/// adds may be what limits a sign-out.
///
/// Its `Debug` shows the verb alone.
///
/// ```
/// use oubliette_control::{Request, Whom};
///
/// let request = Request::history([Whom::Tenant { tenant: "contoso".into() }]);
/// assert_eq!(format!("{request:?}"), "Request(history)");
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// List the accounts that are signed in.
    #[non_exhaustive]
    Accounts {
        /// Only those with a sign-in in this tenant, or with tokens of it.
        tenant: Option<String>,
        /// At most this number.
        limit: Option<u64>,
    },
    /// End sign-ins.
    #[non_exhaustive]
    SignOut {
        /// Whose.
        whom: Whom,
        /// Only sign-ins that were made by this time.
        signed_in_before: Option<SystemTime>,
        /// Of a session: not the account's other sessions.
        only_session: bool,
    },
    /// Tell what is on record.
    #[non_exhaustive]
    History {
        /// Of these and of everybody; if there are none, how many sign-outs there were.
        of: Vec<Whom>,
    },
    /// Tell figures.
    #[non_exhaustive]
    Stats {},
    /// Delete what has expired or is too old, and compact what is worth it.
    #[non_exhaustive]
    Sweep {
        /// The operator confirms that the clock is right.
        clock_is_right: bool,
    },
    /// Open every row and record.
    #[non_exhaustive]
    Verify {},
    /// Copy what is live into a folder that is empty or does not exist.
    #[non_exhaustive]
    Backup {
        /// The folder. For the app it has to be absolute, and below a folder that the app allows.
        path: String,
    },
    /// Move what is live to a fresh folder.
    #[non_exhaustive]
    Compact {},
}

impl Request {
    /// All accounts that are signed in, or those of a tenant, or some of them.
    #[must_use]
    pub fn accounts(tenant: Option<String>, limit: Option<u64>) -> Self {
        Self::Accounts { tenant, limit }
    }

    /// Ends all sign-ins of somebody, as the app's policy says.
    #[must_use]
    pub fn sign_out(whom: Whom) -> Self {
        Self::SignOut { whom, signed_in_before: None, only_session: false }
    }

    /// As [`sign_out`](Self::sign_out), with its limits.
    #[must_use]
    pub fn sign_out_with(
        whom: Whom,
        signed_in_before: Option<SystemTime>,
        only_session: bool,
    ) -> Self {
        Self::SignOut { whom, signed_in_before, only_session }
    }

    /// What is on record of somebody, whose names these are; of none: how much is on record.
    #[must_use]
    pub fn history(of: impl IntoIterator<Item = Whom>) -> Self {
        Self::History { of: of.into_iter().collect() }
    }

    /// Figures.
    #[must_use]
    pub fn stats() -> Self {
        Self::Stats {}
    }

    /// A sweep of all accounts.
    #[must_use]
    pub fn sweep(clock_is_right: bool) -> Self {
        Self::Sweep { clock_is_right }
    }

    /// A look at every row and record.
    #[must_use]
    pub fn verify() -> Self {
        Self::Verify {}
    }

    /// A backup in this folder.
    #[must_use]
    pub fn backup(path: String) -> Self {
        Self::Backup { path }
    }

    /// A compaction.
    #[must_use]
    pub fn compact() -> Self {
        Self::Compact {}
    }

    /// The verb, in one word: what events and errors show of a request.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Accounts { .. } => "accounts",
            Self::SignOut { .. } => "sign_out",
            Self::History { .. } => "history",
            Self::Stats {} => "stats",
            Self::Sweep { .. } => "sweep",
            Self::Verify {} => "verify",
            Self::Backup { .. } => "backup",
            Self::Compact {} => "compact",
        }
    }

    /// Whether it goes over all that the store holds: the app does one of these at a time for its
    /// operator.
    #[must_use]
    pub fn is_long(&self) -> bool {
        matches!(
            self,
            Self::Sweep { .. } | Self::Verify {} | Self::Backup { .. } | Self::Compact {}
        )
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.verb())
    }
}

/// Whom a request is about, in the words that the operator gave. The side that carries the request
/// out makes an identifier of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variant says what its fields are")]
pub enum Whom {
    /// [`AccountId::new`]
    Account { authority: String, id: String },
    /// [`AccountId::msal`]
    MsalAccount { environment: String, id: String },
    /// [`AccountId::of_subject`]
    OidcAccount { issuer: String, sub: String },
    /// [`AccountId::app`]
    AppAccount { tenant: String, client: String },
    /// [`SessionId::new`]
    Session { issuer: String, sid: String },
    /// [`Subject::new`]
    Subject { issuer: String, sub: String },
    /// [`TenantId::new`]
    Tenant { tenant: String },
    /// [`Alias::new`]: an e-mail address if it has an `@`. Only a sign-out can be about one.
    Alias { name: String },
    /// Everybody.
    Everybody {},
}

impl Whom {
    /// The scope that it names; `None` of an alias, whose accounts the store looks up.
    ///
    /// # Errors
    /// [`InvalidInput`](oubliette::Error::InvalidInput) for words that no identifier is made of.
    pub fn scope(&self) -> Result<Option<SignOutScope>> {
        Ok(Some(match self {
            Self::Account { authority, id } => {
                SignOutScope::Account(AccountId::new(authority.as_str(), id.as_str())?)
            }
            Self::MsalAccount { environment, id } => {
                SignOutScope::Account(AccountId::msal(environment.as_str(), id.as_str())?)
            }
            Self::OidcAccount { issuer, sub } => {
                let subject = Subject::new(issuer.as_str(), sub.as_str())?;
                SignOutScope::Account(AccountId::of_subject(subject))
            }
            Self::AppAccount { tenant, client } => {
                let tenant = TenantId::new(tenant.as_str())?;
                SignOutScope::Account(AccountId::app(tenant, ClientId::new(client.as_str())?))
            }
            Self::Session { issuer, sid } => {
                SignOutScope::Session(SessionId::new(issuer.as_str(), sid.as_str())?)
            }
            Self::Subject { issuer, sub } => {
                SignOutScope::Subject(Subject::new(issuer.as_str(), sub.as_str())?)
            }
            Self::Tenant { tenant } => SignOutScope::Tenant(TenantId::new(tenant.as_str())?),
            Self::Everybody {} => SignOutScope::Everybody,
            Self::Alias { .. } => return Ok(None),
        }))
    }

    /// The alias that it names, if it is one.
    ///
    /// # Errors
    /// As [`Whom::scope`].
    pub fn alias(&self) -> Result<Option<Alias>> {
        let Self::Alias { name } = self else { return Ok(None) };
        let kind = if name.contains('@') { AliasKind::Email } else { AliasKind::Opaque };
        Alias::new(kind, name.as_str()).map(Some)
    }

    /// The sign-out of it.
    pub(crate) fn signed_out(&self, only_session: bool) -> Result<SignOut> {
        let sign_out = match (self.scope()?, self.alias()?) {
            (_, Some(alias)) => SignOut::alias(&alias),
            (scope, None) => SignOut::of(scope.unwrap_or(SignOutScope::Everybody)),
        };
        Ok(if only_session { sign_out.policy(SessionPolicy::OnlySession) } else { sign_out })
    }
}

impl fmt::Debug for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Whom(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may")]

    use super::*;

    #[test]
    fn what_is_not_known_is_refused() {
        let parse = |text: &str| serde_json::from_str::<Request>(text);
        assert_eq!(parse(r#"{"verb":"stats"}"#).unwrap(), Request::stats());
        let sign_out = r#"{"verb":"sign_out","whom":{"kind":"tenant","tenant":"a"},
            "signed_in_before":null,"only_session":false}"#;
        let tenant = Whom::Tenant { tenant: "a".into() };
        assert_eq!(parse(sign_out).unwrap(), Request::sign_out(tenant));
        // A limit of a newer program, which would end more than was asked for without it.
        for more in ["\"only_browser\":true,\"only_session\"", "\"only_session\":true,\"x\""] {
            assert!(parse(&sign_out.replace("\"only_session\"", more)).is_err(), "{more}");
        }
        assert!(parse(&sign_out.replace("\"tenant\":\"a\"", "\"tenant\":\"a\",\"b\":1")).is_err());
        let everybody = sign_out.replace(r#""tenant","tenant":"a""#, r#""everybody""#);
        assert_eq!(parse(&everybody).unwrap(), Request::sign_out(Whom::Everybody {}));
        assert!(parse(&everybody.replace(r#""everybody""#, r#""everybody","but":"b""#)).is_err());
        assert!(parse(r#"{"verb":"stats","x":1}"#).is_err());
        assert!(parse(r#"{"verb":"erase"}"#).is_err());
        // A limit that is left out is no limit that is not wanted.
        assert!(parse(r#"{"verb":"sweep"}"#).is_err());
    }

    #[test]
    fn nothing_shows_a_name() {
        let whom = Whom::Account { authority: "needle".into(), id: "needle".into() };
        let shown = format!("{whom:?} {:?}", Request::sign_out(whom.clone()));
        assert!(!shown.contains("needle"), "{shown}");
    }

    #[test]
    fn every_account_that_is_listed_can_be_named() {
        let named = |whom: Whom| match whom.scope().unwrap() {
            Some(SignOutScope::Account(id)) => id,
            other => panic!("{other:?}"),
        };
        let words = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        for id in [
            AccountId::msal("sts.windows.net", "U.T").unwrap(),
            AccountId::new("https://idp", "a").unwrap(),
            AccountId::of_subject(Subject::new("https://idp/x", "a").unwrap()),
        ] {
            let (authority, name) = words(id.authority().unwrap(), id.home_account_id().unwrap());
            assert!(named(Whom::Account { authority, id: name }) == id);
        }
        let (tenant, client) = words("t", "c");
        let app = named(Whom::AppAccount { tenant, client });
        assert!(app.as_app().is_some());
    }
}
