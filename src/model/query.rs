//! Which token is wanted.

use crate::model::id::{ClientId, TenantId};
use crate::model::scopes::{Partition, Scopes};

/// Which refresh token is wanted: a client's own, or one of a family.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct RefreshQuery {
    pub(crate) client: Option<ClientId>,
    pub(crate) family: Option<String>,
    pub(crate) partition: Partition,
}

impl RefreshQuery {
    /// The client's own refresh token (one without a family id).
    pub fn client(client: ClientId) -> Self {
        Self { client: Some(client), family: None, partition: Partition::user() }
    }

    /// The refresh token of a family of clients (MSAL's `family_id`).
    pub fn family(family: impl Into<String>) -> Self {
        Self { client: None, family: Some(family.into()), partition: Partition::user() }
    }

    /// In this partition.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }
}

impl From<&ClientId> for RefreshQuery {
    fn from(client: &ClientId) -> Self {
        Self::client(client.clone())
    }
}

/// Which ID token is wanted.
#[derive(Clone)]
#[must_use]
pub struct IdQuery {
    pub(crate) client: ClientId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) partition: Partition,
}

impl IdQuery {
    /// The client's ID token in the sign-in's own tenant.
    pub fn client(client: ClientId) -> Self {
        Self { client, tenant: None, partition: Partition::user() }
    }

    /// Issued in this tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// In this partition.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }
}

impl From<&ClientId> for IdQuery {
    fn from(client: &ClientId) -> Self {
        Self::client(client.clone())
    }
}

/// Which access token is wanted.
///
/// ```
/// use oubliette::{AccessQuery, ClientId, Scopes};
/// let wanted = AccessQuery::new(ClientId::new("web")?).scopes(Scopes::parse("mail.read")?);
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct AccessQuery {
    pub(crate) client_id: ClientId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) resource: Option<String>,
    pub(crate) scopes: Scopes,
    pub(crate) token_type: String,
    pub(crate) partition: Partition,
    pub(crate) even_if_expired: bool,
}

impl AccessQuery {
    /// Any unexpired bearer token of this client, in the sign-in's own tenant, without a resource.
    pub fn new(client_id: ClientId) -> Self {
        Self {
            client_id,
            tenant: None,
            resource: None,
            scopes: Scopes::default(),
            token_type: "Bearer".into(),
            partition: Partition::user(),
            even_if_expired: false,
        }
    }

    /// Issued in this tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// For this resource.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Allowing at least these scopes. Of several the one that allows least is found.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Of this token type.
    pub fn token_type(mut self, token_type: impl Into<String>) -> Self {
        self.token_type = token_type.into();
        self
    }

    /// In this partition.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }

    /// Also a token past its expiry, up to its extended expiry: for when the provider cannot be
    /// reached.
    pub fn even_if_expired(mut self) -> Self {
        self.even_if_expired = true;
        self
    }
}
