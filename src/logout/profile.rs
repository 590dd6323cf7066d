//! The kinds of token that are told apart, and what each must and must not have.

use super::claims::Claims;
use super::json::Members;
use super::jws::Header;
use super::rejected::Rejected;

/// Whether a claim may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
    Forbidden,
}

/// A kind of token: what the specifications write in its type and claims, so that no token of one kind passes as one of another
/// (RFC 8725 §3.12).
#[derive(Debug)]
pub(super) struct Profile {
    /// The `typ` that says that a token is of this kind.
    pub(super) own_type: &'static str,
    /// Others that are taken for it; none at all, if this is empty.
    pub(super) other_types: &'static [&'static str],
    pub(super) exp: Presence,
    pub(super) sub: Presence,
    pub(super) nonce: Presence,
    pub(super) jti: Presence,
    /// Whether a token must say whose it is by `sub` or `sid`.
    pub(super) is_user_required: bool,
    /// What must have happened; anything, if this is none.
    pub(super) event: Option<&'static str>,
}

/// The event of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).
pub(super) const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6). An ID token differs by its `nonce`, or at least by having no such event.
pub(super) const LOGOUT: Profile = Profile {
    own_type: "logout+jwt",
    // "Requiring explicitly typed Logout Tokens will break most existing deployments" (§2.4).
    other_types: &["jwt"],
    // An issuer that leaves it out can be given an age instead: `Issuer::without_expiry_for`.
    exp: Presence::Required,
    sub: Presence::Optional,
    nonce: Presence::Forbidden,
    // Required of the sender (§2.4), but no part of the validation (§2.6) unless replays are told by it, which they are not here. To refuse
    // a sign-out for its lack would keep tokens.
    jti: Presence::Optional,
    is_user_required: true,
    event: Some(LOGOUT_EVENT),
};

impl Profile {
    /// Whether the header's type is of this kind; `strictly` by its own name alone.
    pub(super) fn check_type(&self, header: &Header, strictly: bool) -> Result<(), Rejected> {
        let is_own_required = strictly || self.other_types.is_empty();
        let is_right = match header.typ.as_deref() {
            None => !is_own_required,
            Some(typ) => {
                // The prefix may be left out, and case does not count (RFC 7515 §4.1.9).
                let prefix = "application/";
                let typ = match typ.split_at_checked(prefix.len()) {
                    Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => rest,
                    _ => typ,
                };
                let is = |name: &str| typ.eq_ignore_ascii_case(name);
                is(self.own_type) || (!is_own_required && self.other_types.iter().any(|name| is(name)))
            }
        };
        if is_right { Ok(()) } else { Err(Rejected::WrongType) }
    }

    /// Whether what must be there is, and what must not is not.
    pub(super) fn check_claims(&self, claims: &Claims, members: &Members<'_>) -> Result<(), Rejected> {
        let presences =
            [("sub", self.sub, claims.sub.is_some()), ("nonce", self.nonce, false), ("jti", self.jti, members.has("jti"))];
        for (name, presence, is_there) in presences {
            match presence {
                Presence::Required if !is_there => return Err(Rejected::claim(name, "it is missing")),
                // Whatever its value: `null` too.
                Presence::Forbidden if members.has(name) => return Err(Rejected::claim(name, "it must not be there")),
                _ => {}
            }
        }
        // When it is required can depend on the issuer.
        if self.exp == Presence::Forbidden && members.has("exp") {
            return Err(Rejected::claim("exp", "it must not be there"));
        }
        if self.is_user_required && claims.sub.is_none() && claims.sid.is_none() {
            return Err(Rejected::claim("sub", "neither it nor sid is there"));
        }
        match self.event {
            Some(event) => claims.events.check_has(event),
            None => Ok(()),
        }
    }
}
