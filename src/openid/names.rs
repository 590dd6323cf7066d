//! The addresses by which a provider is known. One of them is the first name, and everything is
//! filed under that.

use std::borrow::Cow;
#[cfg(feature = "logout")]
use std::collections::HashSet;

use openidconnect::url::Url;

use super::Provider;
use super::provider::{Kind, is_bare};
use crate::model::error::{Error, Result};
use crate::model::id::{MAX_ID_BYTES, check};

impl Provider {
    /// Also accepts tokens that the provider signs under this address (`iss`): its custom domain,
    /// its former one, an alias, or an address inside of a cluster. Session, subject, account and
    /// tenant of such a token are filed under the first name, which is the one that the provider
    /// was made with. It does not matter which name comes at the login and which at the sign-out: a
    /// sign-out by one name counts for all.
    ///
    /// The addresses are compared letter by letter. At Entra only the host counts, and not the
    /// tenant and user flow after it.
    ///
    /// When a provider moves, keep the address under which your sign-ins were made as the first,
    /// and have its documents fetched from the new one (`Keys::discovered_at`). Sign-ins that were
    /// already made under this second address are not renamed, but sign-outs find them.
    ///
    /// ```
    /// use oubliette::openid::Provider;
    /// let provider = Provider::keycloak("https://sso.example.com/realms/contoso")?
    ///     .also_known_as("http://keycloak:8080/realms/contoso")?;
    /// # Ok::<(), oubliette::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the address is not an `https` or `http` URL with only a host and
    /// a path. (Nothing is fetched from it, so it need not have TLS.)
    pub fn also_known_as(mut self, address: &str) -> Result<Self> {
        let is_name = |url: &Url| matches!(url.scheme(), "https" | "http") && is_bare(url);
        let url = Url::parse(address).ok().filter(is_name);
        let url = url
            .ok_or(Error::invalid("address", "it is no https or http URL of a host and a path"))?;
        check("address", address, MAX_ID_BYTES)?;
        if let Kind::Entra(authority) = &mut self.kind {
            authority.add_host(&url)?;
        }
        if address != self.issuer && !self.others.iter().any(|other| other == address) {
            self.others.push(address.into());
        }
        Ok(self)
    }

    /// The issuer under which everything of this one is filed: the provider's first name, if this
    /// is another name of it; otherwise the issuer itself.
    pub(crate) fn first_name<'a>(&'a self, iss: &'a str) -> Cow<'a, str> {
        match &self.kind {
            Kind::Entra(authority) => {
                match Url::parse(iss).as_ref().map(|url| authority.first_name(url)) {
                    Ok(Cow::Owned(first)) => Cow::Owned(first.into()),
                    _ => Cow::Borrowed(iss),
                }
            }
            _ if self.others.iter().any(|other| other == iss) => Cow::Borrowed(&self.issuer),
            _ => Cow::Borrowed(iss),
        }
    }
}

#[cfg(feature = "logout")]
impl Provider {
    /// All names of an issuer of this provider, beginning with the first name.
    pub(crate) fn names(&self, iss: &str) -> Vec<String> {
        let first = self.first_name(iss);
        let others: Vec<String> = match &self.kind {
            Kind::Entra(authority) => authority.others_of(&first),
            _ if first == self.issuer => self.others.clone(),
            _ => Vec::new(),
        };
        std::iter::once(first.into_owned()).chain(others).collect()
    }

    pub(crate) fn has_other_names(&self) -> bool {
        self.names(&self.issuer).len() > 1
    }

    /// Whether both are the same provider.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.first_name(&self.issuer) == other.first_name(&other.issuer)
    }

    /// Whether both are known by one address, but file its tokens under different names.
    pub(crate) fn disputes(&self, other: &Self) -> bool {
        let hosts = match (&self.kind, &other.kind) {
            (Kind::Entra(ours), Kind::Entra(theirs)) => ours.disputes(theirs),
            _ => false,
        };
        let addresses =
            [self, other].into_iter().flat_map(|one| one.others.iter().chain([&one.issuer]));
        let mut taken = addresses.filter(|address| {
            self.takes_issuer(address, None) && other.takes_issuer(address, None)
        });
        hosts || taken.any(|address| self.first_name(address) != other.first_name(address))
    }

    /// The origins of the provider's pages: scheme, host and port (RFC 6454) of each of its names.
    pub(crate) fn origins(&self) -> Vec<String> {
        let origin = |address: &String| {
            Url::parse(address).ok().map(|url| url.origin().ascii_serialization())
        };
        let mut origins: Vec<String> = match &self.kind {
            // The users of a cloud sign out at its hosts, whichever address the authority was given
            // by.
            Kind::Entra(authority) if self.issuer.starts_with("https:") => {
                authority.clouds().collect()
            }
            _ => [&self.issuer].into_iter().chain(&self.others).filter_map(origin).collect(),
        };
        let mut met = HashSet::new();
        origins.retain(|origin| met.insert(origin.clone()));
        origins
    }
}
