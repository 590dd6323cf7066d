//! Identifiers as the store keeps them: keyed hashes, from which no reader learns the identifier.

/// Bytes of a tag.
pub(crate) const TAG_LEN: usize = 16;

/// Types of 16 bytes that cannot stand for one another, and that `Debug` does not show.
macro_rules! sixteen_bytes {
    ($($(#[$meta:meta])* $name:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name([u8; 16]);

        impl $name {
            #[inline]
            pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            #[inline]
            #[allow(dead_code, reason = "not of every type on every system")]
            pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// This byte, 16 times.
            #[cfg(test)]
            #[allow(dead_code, reason = "not of every type")]
            pub(crate) const fn filled(byte: u8) -> Self {
                Self([byte; 16])
            }
        }

        $crate::model::id::hidden_debug!($name);
    )+};
}
pub(crate) use sixteen_bytes;

sixteen_bytes! {
    /// The keyed hash of an account's id.
    AccountTag;
    /// The keyed hash of a tenant's id.
    TenantTag;
    /// The keyed hash of the id of a session at the provider.
    SessionTag;
    /// The keyed hash of what a provider calls the user.
    SubjectTag;
    /// The keyed hash of a sign-in's id, and of the account that it is of.
    SignInTag;
    /// The keyed hash of an alias.
    AliasTag;
    /// The keyed hash of the id of a web session.
    WebTag;
    /// The keyed hash of what only one process does at a time.
    LeaseTag;
    /// The keyed hash of what distinguishes the tokens of one sign-in and tenant.
    Slot;
}

impl AccountTag {
    /// For a batch without rows of any account.
    pub(crate) const NONE: Self = Self([0; 16]);

    /// The unbound web session whose lock and changes go by this tag, if the tag is not an
    /// account's: see [`WebTag::as_account`].
    pub(crate) const fn as_web(&self) -> WebTag {
        WebTag(self.0)
    }
}

impl WebTag {
    /// Stands for the account of an unbound web session: its lock, its changes, its life. No
    /// account has this tag, and the session needs no other lock.
    pub(crate) const fn as_account(&self) -> AccountTag {
        AccountTag(self.0)
    }

    /// Stands for the tenant of an unbound web session: no tenant has this tag, so no sign-out of
    /// one covers it.
    pub(crate) const fn as_tenant(&self) -> TenantTag {
        TenantTag(self.0)
    }

    /// Stands for the sign-in of an unbound web session: no sign-in has this tag.
    pub(crate) const fn as_sign_in(&self) -> SignInTag {
        SignInTag(self.0)
    }
}

/// The scope of a fence: which sign-ins it covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TaggedScope {
    Everybody,
    Tenant(TenantTag),
    Account(AccountTag),
    Session(SessionTag),
    Subject(SubjectTag),
    SignIn(SignInTag),
}
