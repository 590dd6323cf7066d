//! The kinds of token that are told apart, and which claims each must and must not have.

use crate::logout::jose::claims::Claims;
use crate::logout::jose::jws::Header;
use crate::logout::jose::unique_object::UniqueObject;
use crate::logout::rejected::Rejected;

/// Whether a claim may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
    Forbidden,
}

/// A kind of token: the type and claims that its specification demands, so that no token of one
/// kind passes as one of another (RFC 8725 §3.12).
#[derive(Debug)]
pub(crate) struct Profile {
    /// The `typ` of this kind.
    pub(crate) own_type: &'static str,
    /// Other values of `typ` that are accepted, as is none. If this is empty, only its own is.
    pub(crate) other_types: &'static [&'static str],
    pub(crate) exp: Presence,
    pub(crate) sub: Presence,
    pub(crate) nonce: Presence,
    pub(crate) jti: Presence,
    /// Whether a token must name a user or session, by `sub` or `sid`.
    pub(crate) is_user_required: bool,
    /// The event that the token must report; `None` accepts any.
    pub(crate) event: Option<&'static str>,
}

/// The event of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).
pub(crate) const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6). An ID token differs by its
/// `nonce`, or at least by having no such event.
pub(crate) const LOGOUT: Profile = Profile {
    own_type: "logout+jwt",
    // "Requiring explicitly typed Logout Tokens will break most existing deployments" (§2.4). Old
    // IdentityServers write that of an access token.
    other_types: &["jwt", "at+jwt"],
    // For an issuer that leaves it out, the app can set an age: `Issuer::without_expiry_for`.
    exp: Presence::Required,
    sub: Presence::Optional,
    nonce: Presence::Forbidden,
    // Required of the sender (§2.4), but the validation (§2.6) needs it only where replays are
    // recognised by it, which they are not here. To refuse a token without it would keep tokens.
    jti: Presence::Optional,
    is_user_required: true,
    event: Some(LOGOUT_EVENT),
};

impl Profile {
    /// Checks the header's type; `strictly` accepts the kind's own name alone.
    pub(crate) fn check_type(&self, header: &Header, strictly: bool) -> Result<(), Rejected> {
        let is_own_required = strictly || self.other_types.is_empty();
        let is_right = match header.typ.as_deref() {
            None => !is_own_required,
            Some(typ) => {
                // The prefix may be missing, and case is ignored (RFC 7515 §4.1.9).
                let prefix = "application/";
                let typ = match typ.split_at_checked(prefix.len()) {
                    Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => rest,
                    _ => typ,
                };
                let is = |name: &str| typ.eq_ignore_ascii_case(name);
                is(self.own_type)
                    || (!is_own_required && self.other_types.iter().any(|name| is(name)))
            }
        };
        if is_right { Ok(()) } else { Err(Rejected::WrongType) }
    }

    /// Checks that the required claims are there, and the forbidden ones are not.
    pub(crate) fn check_claims(
        &self,
        claims: &Claims,
        members: &UniqueObject<'_>,
    ) -> Result<(), Rejected> {
        for (name, presence) in
            [("exp", self.exp), ("sub", self.sub), ("nonce", self.nonce), ("jti", self.jti)]
        {
            match (presence, members.has(name)) {
                (Presence::Forbidden, true) => {
                    return Err(Rejected::claim(name, "it must not be there"));
                }
                // The issuer decides whether `exp` may be missing all the same.
                (Presence::Required, false) if name != "exp" => {
                    return Err(Rejected::claim(name, "it is missing"));
                }
                _ => {}
            }
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

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};
    use serde_json::{Value, json};

    use super::*;
    use crate::logout::token::unverified::Unverified;

    /// Security event tokens (RFC 8417, OpenID Shared Signals Framework 1.0 §4.1): nearly the
    /// opposite of logout tokens.
    const EVENT: Profile = Profile {
        own_type: "secevent+jwt",
        other_types: &[],
        exp: Presence::Forbidden,
        sub: Presence::Forbidden,
        nonce: Presence::Optional,
        jti: Presence::Required,
        is_user_required: false,
        event: None,
    };

    fn refused(profile: &'static Profile, typ: &str, claims: &Value) -> Option<Rejected> {
        let header = json!({"alg": "RS256", "typ": typ});
        let parts = [header, claims.clone()]
            .map(|part| Base64UrlUnpadded::encode_string(part.to_string().as_bytes()));
        Unverified::parse(&format!("{}.", parts.join(".")), profile).err()
    }

    fn with(claims: &Value, name: &str, value: Value) -> Value {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    }

    fn without(claims: &Value, name: &str) -> Value {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    fn logout_token() -> Value {
        json!({"iss": "i", "aud": "a", "iat": 1, "exp": 2, "jti": "j", "sub": "u", "sid": "s", "events": {LOGOUT_EVENT: {}}})
    }

    fn event_token() -> Value {
        let event = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        json!({"iss": "i", "aud": "a", "iat": 1, "jti": "j", "sub_id": {"format": "opaque", "id": "u"}, "events": {event: {}}})
    }

    #[test]
    fn a_token_is_of_one_kind() {
        assert_eq!(refused(&LOGOUT, "logout+jwt", &logout_token()), None);
        assert_eq!(refused(&EVENT, "secevent+jwt", &event_token()), None);
        // Posted to the other's endpoint: the type tells, and so would the claims.
        assert_eq!(refused(&EVENT, "logout+jwt", &logout_token()), Some(Rejected::WrongType));
        assert_eq!(refused(&LOGOUT, "secevent+jwt", &event_token()), Some(Rejected::WrongType));
        assert!(matches!(
            refused(&EVENT, "secevent+jwt", &logout_token()),
            Some(Rejected::Claim { .. })
        ));
        assert!(matches!(
            refused(&LOGOUT, "logout+jwt", &event_token()),
            Some(Rejected::Claim { .. })
        ));
        // One without a type is a logout token at most.
        assert_eq!(refused(&EVENT, "JWT", &event_token()), Some(Rejected::WrongType));
    }

    #[test]
    fn claims_that_must_and_must_not_be_there() {
        let forbidden = |claim| Some(Rejected::claim(claim, "it must not be there"));
        assert_eq!(
            refused(&EVENT, "secevent+jwt", &with(&event_token(), "exp", json!(2))),
            forbidden("exp")
        );
        assert_eq!(
            refused(&EVENT, "secevent+jwt", &with(&event_token(), "sub", json!("u"))),
            forbidden("sub")
        );
        let missing = |claim| Some(Rejected::claim(claim, "it is missing"));
        assert_eq!(
            refused(&EVENT, "secevent+jwt", &without(&event_token(), "jti")),
            missing("jti")
        );
        assert_eq!(
            refused(&EVENT, "secevent+jwt", &with(&event_token(), "nonce", json!("n"))),
            None
        );
        for nonce in [json!("n"), json!(""), json!(0), json!([])] {
            assert_eq!(
                refused(&LOGOUT, "logout+jwt", &with(&logout_token(), "nonce", nonce)),
                forbidden("nonce")
            );
        }
        for claim in ["iss", "aud", "iat", "events"] {
            assert_eq!(
                refused(&LOGOUT, "logout+jwt", &without(&logout_token(), claim)),
                missing(claim)
            );
            assert_eq!(
                refused(&LOGOUT, "logout+jwt", &with(&logout_token(), claim, Value::Null)),
                missing(claim)
            );
        }
    }

    #[test]
    fn types_by_their_names() {
        for typ in [
            "logout+jwt",
            "LOGOUT+JWT",
            "application/logout+jwt",
            "Application/Logout+JWT",
            "JWT",
            "jwt",
            "application/jwt",
            "at+jwt",
        ] {
            assert_eq!(refused(&LOGOUT, typ, &logout_token()), None, "{typ}");
        }
        for typ in
            ["", "secevent+jwt", "command+jwt", "logout", "logout+jwt ", "text/jwt", "application/"]
        {
            assert_eq!(refused(&LOGOUT, typ, &logout_token()), Some(Rejected::WrongType), "{typ}");
        }
    }
}
