//! The secrets that a keyring holds, and how they go into its body and out of it.

use super::{FIRST_EPOCH, OLD_VERSION, Reader, UNSETTLED, VERSION};
use crate::crypto::keys::{IndexKey, LedgerRootKey, RootKey};
use crate::crypto::seal::{NONCE_BYTES, OVERHEAD_BYTES, fresh};
use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::model::random_id::LedgerId;
use zeroize::Zeroizing;

/// The keys that a store works with.
#[derive(Debug, Clone)]
pub(crate) struct KeyringSecrets {
    /// The key that hides identifiers in row keys and in the ledger.
    pub(crate) index_key: IndexKey,
    /// The key that authenticates the ledger.
    pub(crate) ledger_key: LedgerRootKey,
    /// The id of the only valid ledger.
    pub(crate) ledger_id: LedgerId,
    /// Older root keys with their epochs. Epochs rise, and all are below the newest one.
    pub(crate) older_roots: Vec<(u32, RootKey)>,
    /// The newest root key and its epoch: a field of its own, so that there always is one.
    pub(crate) newest_root: (u32, RootKey),
    /// Openings that the ledger has below this position are of version 1. `None` until that is
    /// settled.
    pub(crate) old_end: Option<Position>,
}

impl KeyringSecrets {
    /// Fresh random keys and a fresh ledger id.
    pub(crate) fn generate() -> Result<Self> {
        Ok(Self {
            index_key: IndexKey::random()?,
            ledger_key: LedgerRootKey::random()?,
            ledger_id: LedgerId::from_bytes(fresh()?),
            older_roots: Vec::new(),
            newest_root: (FIRST_EPOCH, RootKey::random()?),
            old_end: Some(Position::ZERO),
        })
    }

    /// The root key that wraps new account keys, and its epoch.
    pub(crate) fn current_root(&self) -> (u32, &RootKey) {
        (self.newest_root.0, &self.newest_root.1)
    }

    /// The root key of an epoch.
    pub(crate) fn root(&self, epoch: u32) -> Option<&RootKey> {
        self.roots().find(|root| root.0 == epoch).map(|root| &root.1)
    }

    /// All root keys, oldest first.
    fn roots(&self) -> impl Iterator<Item = &(u32, RootKey)> {
        self.older_roots.iter().chain(std::iter::once(&self.newest_root))
    }

    /// `nonce space | body`, with room for the tag, in one buffer that never grows and is wiped.
    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>> {
        let count = self.older_roots.len() + 1;
        let count1 = u8::try_from(count)
            .map_err(|_| Error::invalid("keyring", "it has too many root keys"))?;
        let mut body = Zeroizing::new(Vec::with_capacity(
            OVERHEAD_BYTES + 1 + 32 + 32 + 16 + 1 + count * 36 + 8,
        ));
        body.extend_from_slice(&[0; NONCE_BYTES]);
        body.push(VERSION);
        body.extend_from_slice(self.index_key.bytes());
        body.extend_from_slice(self.ledger_key.bytes());
        body.extend_from_slice(self.ledger_id.as_bytes());
        body.push(count1);
        for (epoch, root) in self.roots() {
            body.extend_from_slice(&epoch.to_be_bytes());
            body.extend_from_slice(root.bytes());
        }
        body.extend_from_slice(&self.old_end.unwrap_or(UNSETTLED).get().to_be_bytes());
        Ok(body)
    }

    pub(super) fn decode(version: u8, body: &[u8]) -> Option<Self> {
        let mut body = Reader(body);
        let [found] = *body.array()?;
        if found != version {
            return None;
        }
        let index_key = body.key()?;
        let ledger_key = body.key()?;
        let ledger_id = LedgerId::from_bytes(*body.array()?);
        let [count] = *body.array()?;
        let mut roots = Vec::with_capacity(count.into());
        for _ in 0..count {
            let epoch = u32::from_be_bytes(*body.array()?);
            if roots.last().is_some_and(|(before, _)| *before >= epoch) {
                return None;
            }
            roots.push((epoch, body.key()?));
        }
        // A keyring has one root at least.
        let newest_root = roots.pop()?;
        let old_end = if version == OLD_VERSION {
            UNSETTLED
        } else {
            Position::new(u64::from_be_bytes(*body.array()?))
        };
        let old_end = Some(old_end).filter(|end| *end != UNSETTLED);
        body.0.is_empty().then_some(Self {
            index_key,
            ledger_key,
            ledger_id,
            older_roots: roots,
            newest_root,
            old_end,
        })
    }
}
