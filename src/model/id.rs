//! Identifiers: of accounts, tenants, clients, sessions, subjects, and aliases.
//!
//! Every identifier is checked when it is made (not empty, at most [`MAX_ID_BYTES`] bytes, no
//! control characters) and never printed: `Debug` hides the value, and there is no `Display`.

mod account;
mod alias;
mod subject;
mod tenant;

pub use account::AccountId;
pub(crate) use account::is_guid;
pub use alias::{Alias, AliasKind};
pub use subject::{SessionId, Subject};
pub use tenant::{ClientId, TenantId};

use crate::model::error::{Error, Result};

/// The longest identifier that can be stored, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 1024;

/// Takes a text that may stand in an identifier, or says which field is wrong, and why.
pub(crate) fn checked(field: &'static str, value: impl Into<String>) -> Result<String> {
    let value = value.into();
    check(field, &value, MAX_ID_BYTES)?;
    Ok(value)
}

pub(crate) fn check(field: &'static str, value: &str, most: usize) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(field, "it is empty"));
    }
    if value.len() > most {
        return Err(Error::invalid(field, "it is too long"));
    }
    if value.chars().any(char::is_control) {
        return Err(Error::invalid(field, "it has control characters"));
    }
    Ok(())
}

/// `Debug` that tells only the type: a log must not identify users.
macro_rules! hidden_debug {
    ($($name:ident),+) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )+};
}
pub(crate) use hidden_debug;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_identifiers_name_the_field_and_not_the_value() {
        for bad in [String::new(), "x".repeat(MAX_ID_BYTES + 1), "sec\u{7}ret".into()] {
            let error = TenantId::new(bad.clone()).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains("tenant") && (bad.is_empty() || !text.contains(&bad)), "{text}");
        }
        assert!(TenantId::new("x".repeat(MAX_ID_BYTES)).is_ok());
    }

    #[test]
    fn debug_hides_identifiers() {
        let all = format!(
            "{:?}{:?}{:?}{:?}{:?}{:?}",
            TenantId::new("needle").unwrap(),
            ClientId::new("needle").unwrap(),
            SessionId::new("needle", "needle").unwrap(),
            Subject::new("needle", "needle").unwrap(),
            AccountId::new("needle", "needle").unwrap(),
            Alias::new(AliasKind::Opaque, "needle").unwrap()
        );
        assert!(!all.contains("needle"), "{all}");
    }
}
