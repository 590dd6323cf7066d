//! Chooses the token that was written last among several that the store keeps in one place.

use std::collections::HashMap;
use std::time::SystemTime;

use super::import::Place;
use crate::model::id::TenantId;
use crate::model::scopes::{Partition, Scopes};
use crate::model::token::Token;

/// A token, with where it stands and when it was written.
pub(super) struct Dated {
    pub(super) place: Place,
    pub(super) token: Token,
    /// When the token was written, if that is known.
    pub(super) written: Option<SystemTime>,
}

/// The tokens of one sign-in that are kept, and what becomes of the others.
#[derive(Default)]
pub(super) struct Newest {
    /// The tokens that are kept, in the order in which they came.
    pub(super) kept: Vec<Dated>,
    /// How many tokens were replaced by one of these.
    pub(super) replaced: usize,
    /// The places of tokens for one slot of which none is known to be the newest.
    pub(super) undecided: Vec<Place>,
}

/// What two tokens of a sign-in have in common if the one replaces the other. It agrees with
/// `Token::slot`.
#[derive(PartialEq, Eq, Hash)]
struct Slot {
    kind: u8,
    tenant: Option<TenantId>,
    /// The client or, for a refresh token of a family, the family.
    of: (bool, String),
    token_type: String,
    resource: Option<String>,
    scopes: Scopes,
    partition: Partition,
}

impl Newest {
    pub(super) fn of(tokens: Vec<Dated>) -> Self {
        let mut newest = Self::default();
        let mut slots: HashMap<Slot, usize> = HashMap::new();
        let mut groups: Vec<Vec<Dated>> = Vec::new();
        for token in tokens {
            let number = *slots.entry(Slot::of(&token.token)).or_insert(groups.len());
            match groups.get_mut(number) {
                Some(group) => group.push(token),
                None => groups.push(vec![token]),
            }
        }
        groups.into_iter().for_each(|group| newest.add(group));
        newest
    }

    fn add(&mut self, group: Vec<Dated>) {
        let others = group.len().saturating_sub(1);
        let latest = group.iter().filter_map(|dated| dated.written).max();
        // Any of these may be the newest: those that were written last, and those whose time is not
        // known.
        let mut candidates =
            group.iter().filter(|dated| dated.written.is_none() || dated.written == latest);
        let is_decided = candidates
            .next()
            .is_some_and(|first| candidates.all(|other| is_same(&first.token, &other.token)));
        if is_decided {
            self.replaced += others;
            self.kept.extend(group.into_iter().find(|dated| dated.written == latest));
        } else {
            self.undecided.extend(group.into_iter().map(|dated| dated.place));
        }
    }
}

/// Whether both are the same token, which stands in the file twice.
fn is_same(one: &Token, other: &Token) -> bool {
    match (one, other) {
        (Token::Access(one), Token::Access(other)) => one.secret == other.secret,
        (Token::Refresh(one), Token::Refresh(other)) => one.secret == other.secret,
        (Token::Id(one), Token::Id(other)) => one.secret == other.secret,
        _ => false,
    }
}

impl Slot {
    fn of(token: &Token) -> Self {
        let slot = |kind, client: &str, partition: &Partition| Self {
            kind,
            tenant: token.tenant().cloned(),
            of: (false, client.to_owned()),
            token_type: String::new(),
            resource: None,
            scopes: Scopes::default(),
            partition: partition.clone(),
        };
        match token {
            Token::Id(token) => slot(0, token.client_id.as_str(), &token.partition),
            Token::Access(token) => Self {
                token_type: token.token_type.to_ascii_lowercase(),
                resource: token.resource.clone(),
                scopes: token.scopes.clone(),
                ..slot(1, token.client_id.as_str(), &token.partition)
            },
            Token::Refresh(token) => match &token.family_id {
                Some(family) => {
                    Self { of: (true, family.clone()), ..slot(2, family, &token.partition) }
                }
                None => slot(2, token.client_id.as_str(), &token.partition),
            },
        }
    }
}
