//! Rotation of the operator's key: one small file is written, whatever the store holds.

use crate::crypto::KeySource;
use crate::model::error::{Error, Result};
use crate::store::core::Core;
use crate::store::files::Premises;
use crate::store::location::KEYRING;

/// Writes the keyring anew, wrapped by exactly these keys.
pub(crate) fn rotate_key(core: &Core, premises: &Premises, keys: &KeySource) -> Result<()> {
    let open = core.enter_ledger()?;
    let bytes = open.rows()?.keyring().encode(keys)?;
    premises.disk.prepare(KEYRING, &bytes).map_err(Error::io("write the keyring"))?;
    premises.disk.switch(KEYRING).map_err(Error::io(
        "put the keyring in place; either the old or the new keys open the store",
    ))
}
