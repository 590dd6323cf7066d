//! Says why nothing of a file is imported, or not all of it.

use std::fmt;

/// Why a file cannot be read as a cache: what it seems to be, and what to do. It carries nothing of
/// the content.
///
/// ```
/// use oubliette::msal::{MsalCache, MsalError};
/// let blob = b"\x09\xf0\xc9\xf0 and so on";
/// assert!(matches!(MsalCache::read(blob), Err(MsalError::DataProtection)));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MsalError {
    /// The file is larger than 256 MiB.
    #[error("not a token cache: it is larger than 256 MiB")]
    TooLarge,
    /// The file is not JSON: it was truncated, or it is encrypted in a way that this crate does not
    /// know, or it is something else.
    #[error(
        "not JSON: line {line}, column {column}; if it is encrypted, have the app that wrote it write it in the clear, and import that"
    )]
    NotJson {
        /// The line of the first error, counted from 1.
        line: usize,
        /// The column of the first error, in bytes, counted from 1.
        column: usize,
    },
    /// The file is JSON, but not an object.
    #[error(
        "not a token cache: its top level is not an object; import what an MSAL library serialized, as it is"
    )]
    NotAnObject,
    /// The file is an object with something in it, but with none of the sections of a cache.
    #[error(
        "not a token cache: it has none of the sections Account, IdToken, AccessToken, RefreshToken and AppMetadata; \
         import what an MSAL library serialized, as it is"
    )]
    NoSection,
    /// The file seems to be text in UTF-16 or UTF-32, which some shells write when output is
    /// redirected to a file.
    #[error(
        "not UTF-8: it looks to be text in UTF-16 or UTF-32; save it as UTF-8, and import that"
    )]
    Utf16,
    /// The file seems to be a payload of [ASP.NET Core Data
    /// Protection](https://learn.microsoft.com/aspnet/core/security/data-protection/implementation/authenticated-encryption-details),
    /// as Microsoft.Identity.Web writes with `Encrypt` switched on.
    #[error(
        "encrypted: it looks to be a payload of ASP.NET Core Data Protection; unprotect it in the app that protected it, \
         with its keys and purpose, and import the JSON inside"
    )]
    DataProtection,
    /// The file seems to be a blob of the Data Protection API of Windows, as MSAL's extensions for
    /// desktop apps write.
    #[error(
        "encrypted: it looks to be a blob of Windows' DPAPI; unprotect it on that machine, as the user who protected it, \
         and import the JSON inside"
    )]
    Dpapi,
    /// The file seems to be a cache of ADAL, the library before MSAL: a list of token responses.
    #[error(
        "not a cache of MSAL: it looks to be a list of ADAL's; have an MSAL library redeem its refresh tokens and import the cache \
         that this gives, or have its users sign in again"
    )]
    Adal,
    /// The file seems to be a browser's storage, as msal-browser fills it.
    #[error(
        "not a server's token cache: it looks to be a browser's storage, written by msal-browser; its tokens are the browser's own: \
         have its users sign in at the server"
    )]
    Browser,
    /// As [`MsalError::Browser`], but encrypted, as msal-browser does from version 4 on.
    #[error(
        "not a server's token cache: it looks to be a browser's storage, written and encrypted by msal-browser; only that browser can \
         read it: have its users sign in at the server"
    )]
    EncryptedBrowser,
}

/// Something in the file that was not imported. It carries neither keys nor values of the file.
///
/// ```
/// use oubliette::msal::MsalCache;
/// let cache = MsalCache::read(br#"{"RefreshToken": {"uid.utid-...": {"home_account_id": "uid.utid"}}}"#)?;
/// assert_eq!(cache.problems[0].to_string(), "RefreshToken entry 1: environment: it is missing");
/// # Ok::<(), oubliette::msal::MsalError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MsalProblem {
    /// The node: `AccessToken`, `RefreshToken`, `IdToken` or `Account`.
    pub node: &'static str,
    /// Which entry of the node it is, counted from 1; `None` if the problem is the node itself.
    pub entry: Option<usize>,
    /// The field, if the problem is about one.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub problem: &'static str,
    /// The kind of problem, for programs.
    pub kind: MsalProblemKind,
    /// Whether the whole entry was left out. If not, only the field was.
    pub left_out: bool,
}

/// The kind of an [`MsalProblem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MsalProblemKind {
    /// A field or an entry is missing, damaged, or of a kind that the store does not take.
    Unreadable,
    /// A token of a user who has no account entry: the library signed them out.
    NoAccount,
    /// An account entry of a user none of whose tokens is imported. If they have no token at all,
    /// the library signed them out.
    NoToken,
    /// A token whose tenant the file names without telling which one it is: a sign-out by tenant
    /// would miss it.
    UnknownTenant,
    /// One of several tokens for one place, none of which is known to be the newest.
    Undecided,
}

impl fmt::Display for MsalProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.node)?;
        if let Some(entry) = self.entry {
            write!(f, " entry {entry}")?;
        }
        if let Some(field) = self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.problem)
    }
}
