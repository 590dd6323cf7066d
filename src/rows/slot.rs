//! Slots: a keyed hash of what distinguishes the tokens of one sign-in and tenant. They are part of
//! the format.

use crate::crypto::Tagger;
use crate::model::id::ClientId;
use crate::model::query::{AccessQuery, RefreshQuery};
use crate::model::scopes::Partition;
use crate::model::tag::{AccountTag, Slot};
use crate::model::token::{AccessToken, RefreshToken, Token};

impl AccessQuery {
    /// The slot of a token that matches this query exactly.
    pub(crate) fn slot(&self, tagger: &Tagger, account: &AccountTag) -> Slot {
        access_slot(tagger, account, &Target::of_query(self))
    }

    /// Whether the token satisfies this query, tenant and expiry aside.
    pub(crate) fn allows(&self, token: &AccessToken) -> bool {
        Target::of_query(self).allows(&Target::of_token(token))
    }
}

impl RefreshToken {
    pub(crate) fn slot(&self, tagger: &Tagger, account: &AccountTag) -> Slot {
        refresh_slot(
            tagger,
            account,
            self.client_id.as_str(),
            self.family_id.as_deref(),
            &self.partition,
        )
    }
}

impl AccessToken {
    pub(crate) fn slot(&self, tagger: &Tagger, account: &AccountTag) -> Slot {
        access_slot(tagger, account, &Target::of_token(self))
    }
}

/// What distinguishes access tokens, beside the tenant.
struct Target<'a> {
    client: &'a ClientId,
    resource: Option<&'a str>,
    scopes: &'a crate::model::scopes::Scopes,
    token_type: &'a str,
    partition: &'a Partition,
}

impl<'a> Target<'a> {
    fn of_token(t: &'a AccessToken) -> Self {
        let (client, resource, token_type) =
            (&t.client_id, t.resource.as_deref(), t.token_type.as_str());
        Self { client, resource, scopes: &t.scopes, token_type, partition: &t.partition }
    }

    fn of_query(q: &'a AccessQuery) -> Self {
        let (client, resource, token_type) =
            (&q.client_id, q.resource.as_deref(), q.token_type.as_str());
        Self { client, resource, scopes: &q.scopes, token_type, partition: &q.partition }
    }

    /// Whether a token of the target `other` satisfies a query for this one.
    fn allows(&self, other: &Self) -> bool {
        self.client == other.client
            && self.resource == other.resource
            && self.token_type.eq_ignore_ascii_case(other.token_type)
            && self.partition == other.partition
            && other.scopes.is_superset(self.scopes)
    }
}

impl Token {
    /// The keyed hash of what distinguishes this token within its sign-in and tenant.
    pub(crate) fn slot(&self, tagger: &Tagger, account: &AccountTag) -> Slot {
        match self {
            Self::Access(t) => t.slot(tagger, account),
            Self::Refresh(t) => t.slot(tagger, account),
            Self::Id(t) => id_slot(tagger, account, t.client_id.as_str(), &t.partition),
        }
    }
}

fn access_slot(tagger: &Tagger, account: &AccountTag, target: &Target<'_>) -> Slot {
    let fields = [
        b"access".as_slice(),
        target.client.as_str().as_bytes(),
        &target.token_type.to_ascii_lowercase().into_bytes(),
        &[u8::from(target.resource.is_some())],
        target.resource.unwrap_or_default().as_bytes(),
        &target.scopes.joined().into_bytes(),
        target.partition.bytes(),
    ];
    tagger.slot(account, &fields)
}

fn refresh_slot(
    tagger: &Tagger,
    account: &AccountTag,
    client: &str,
    family: Option<&str>,
    partition: &Partition,
) -> Slot {
    let (kind, who) = family.map_or(("refresh", client), |family| ("family", family));
    tagger.slot(account, &[kind.as_bytes(), who.as_bytes(), partition.bytes()])
}

pub(crate) fn id_slot(
    tagger: &Tagger,
    account: &AccountTag,
    client: &str,
    partition: &Partition,
) -> Slot {
    tagger.slot(account, &[b"id", client.as_bytes(), partition.bytes()])
}

impl RefreshQuery {
    pub(crate) fn slot(&self, tagger: &Tagger, account: &AccountTag) -> Slot {
        let client = self.client.as_ref().map_or("", ClientId::as_str);
        refresh_slot(tagger, account, client, self.family.as_deref(), &self.partition)
    }
}
