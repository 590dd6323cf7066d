//! Reads the members of a token response one by one: a member that cannot be read does not cost the
//! others.

use std::fmt;

use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::life::Life;
use super::{ProviderFields, TokenAnswer};
use crate::acquire::token_response::is_blank;
use crate::model::secret::Secret;
use crate::platform::wipe::Wiped;

/// The members of a response that can be read. A blank token counts as missing.
#[derive(Clone)]
pub(super) struct Members {
    /// Empty if there is none: a getter of the `oauth2` crate's trait has to return one.
    pub(super) access_token: AccessToken,
    pub(super) token_type: BasicTokenType,
    pub(super) life: Life,
    pub(super) refresh_token: Option<RefreshToken>,
    pub(super) scopes: Option<Vec<Scope>>,
    pub(super) id_token: Option<Secret>,
    pub(super) fields: ProviderFields,
    /// Slack's tokens of the user, beside those of its bot.
    pub(super) authed_user: Option<Box<TokenAnswer>>,
    /// The response has an error code.
    has_error: bool,
    /// The response says when the token ends, but in a member of the provider's own.
    ends_otherwise: bool,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            access_token: AccessToken::new(String::new()),
            token_type: BasicTokenType::Bearer,
            life: Life::Unsaid,
            refresh_token: None,
            scopes: None,
            id_token: None,
            fields: ProviderFields::default(),
            authed_user: None,
            has_error: false,
            ends_otherwise: false,
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.set_access_token(String::new());
        self.set_refresh_token(None);
    }
}

impl Members {
    /// Reads the members from JSON that must be complete.
    pub(super) fn of<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let mut members = Self::default();
        Reader { members: &mut members, is_within: false }.deserialize(json)?;
        members.settle();
        Ok(members)
    }

    /// Reads the members up to where the JSON breaks off. Returns `None` if it is not a JSON object
    /// at all.
    pub(super) fn of_bytes(json: &[u8]) -> Option<Self> {
        // A byte-order mark may be ignored (RFC 8259 §8.1).
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let mut members = Self::default();
        let reader = Reader { members: &mut members, is_within: false };
        let read = reader.deserialize(&mut serde_json::Deserializer::from_slice(json));
        if read.is_err() && !json.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        let breaks_off = read.is_err();
        members.settle();
        if breaks_off {
            // The part that is missing may have said how long the token lasts.
            members.life = members.life.and(Life::Unreadable);
        }
        Some(members)
    }

    pub(super) fn has_access_token(&self) -> bool {
        !self.access_token.secret().is_empty()
    }

    pub(super) fn has_token(&self) -> bool {
        self.has_access_token() || self.refresh_token.is_some() || self.id_token.is_some()
    }

    /// Whether it is an error response (RFC 6749 §5.2), whatever its HTTP status was. Beside an
    /// access token, `error` is an unknown name, and so ignored (§5.1).
    pub(super) fn is_error(&self) -> bool {
        self.has_error && !self.has_access_token()
    }

    fn set_access_token(&mut self, text: String) {
        let before = std::mem::replace(&mut self.access_token, AccessToken::new(text));
        drop(Wiped(before.into_secret().into_bytes()));
    }

    fn set_refresh_token(&mut self, token: Option<RefreshToken>) {
        let before = std::mem::replace(&mut self.refresh_token, token);
        drop(before.map(|before| Wiped(before.into_secret().into_bytes())));
    }

    /// Sets one member. If a name is there twice, the last value that can be read counts; for
    /// lives, the least.
    fn set(&mut self, name: &str, json: &str, is_within: bool) {
        match name {
            "access_token" => text(json).into_iter().for_each(|text| self.set_access_token(text)),
            "refresh_token" => text(json)
                .into_iter()
                .for_each(|text| self.set_refresh_token(Some(RefreshToken::new(text)))),
            "id_token" => {
                text(json).into_iter().for_each(|text| self.id_token = Some(Secret::new(text)))
            }
            "token_type" => {
                text(json).into_iter().for_each(|text| self.token_type = token_type(text.trim()))
            }
            "expires_in" => self.life = self.life.and(Life::read(json)),
            "expires_at" | "expires_on" | "expires" => self.ends_otherwise |= json != "null",
            "scope" => self.scopes = scopes(json).or(self.scopes.take()),
            "error" => self.has_error |= text(json).is_some(),
            "authed_user" if !is_within => {
                let mut user = Self::default();
                let reader = Reader { members: &mut user, is_within: true };
                if reader.deserialize(&mut serde_json::Deserializer::from_str(json)).is_ok() {
                    user.settle();
                    self.authed_user = Some(Box::new(TokenAnswer(user)));
                }
            }
            _ => self.fields.set(name, json),
        }
    }

    /// Does what can be done only when all members have been read.
    fn settle(&mut self) {
        if self.ends_otherwise && self.life == Life::Unsaid {
            self.life = Life::Unreadable;
        }
        let Some(mut user) = self.authed_user.take().map(|user| user.0) else { return };
        if user.has_token() {
            // If the app asked only for scopes of the user, Slack's answer has only the user's
            // tokens. (If it has an error too, it stays an error.)
            match self.has_token() {
                true => self.authed_user = Some(Box::new(TokenAnswer(user))),
                false => {
                    user.has_error |= self.has_error;
                    *self = user;
                }
            }
        } else if self.is_user() && self.scopes.is_none() {
            // Here the user's token is in the outer object, and its scopes are in the inner one.
            self.scopes = user.scopes.take();
        }
    }

    fn is_user(&self) -> bool {
        matches!(&self.token_type, BasicTokenType::Extension(name) if name == "user")
    }
}

/// Whether the member of this name is read.
fn is_known(name: &str) -> bool {
    let of_oauth = [
        "access_token",
        "refresh_token",
        "id_token",
        "token_type",
        "scope",
        "error",
        "authed_user",
    ];
    let of_life = ["expires_in", "expires_at", "expires_on", "expires"];
    of_oauth.contains(&name) || of_life.contains(&name) || ProviderFields::NAMES.contains(&name)
}

/// Reads a text that is not blank.
fn text(json: &str) -> Option<String> {
    serde_json::from_str::<String>(json).ok().filter(|text| !is_blank(text))
}

/// Reads a token type as the `oauth2` crate does: without regard to case.
fn token_type(name: &str) -> BasicTokenType {
    match name.to_lowercase().as_str() {
        "bearer" => BasicTokenType::Bearer,
        "mac" => BasicTokenType::Mac,
        other => BasicTokenType::Extension(other.into()),
    }
}

/// Reads scopes separated by white space, or a JSON list of such texts. Elements of the list that
/// are not texts are left out.
fn scopes(json: &str) -> Option<Vec<Scope>> {
    let lists = match serde_json::from_str::<Vec<Box<RawValue>>>(json) {
        Ok(list) => list
            .into_iter()
            .filter_map(|one| serde_json::from_str(one.get()).ok())
            .collect::<Vec<String>>(),
        Err(_) => vec![serde_json::from_str(json).ok()?],
    };
    let each = lists.iter().flat_map(|list| list.split_whitespace());
    Some(each.map(|scope| Scope::new(scope.into())).collect())
}

/// Reads into `members`, so that everything before an error is kept.
struct Reader<'a> {
    members: &'a mut Members,
    /// Whether this is the object inside of Slack's answer, which has no further one in it.
    is_within: bool,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token response, which is a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if is_known(&name) {
                // The value is taken as raw JSON: so even a number that no type can hold is not a
                // JSON error.
                let json = Wiped(
                    String::from(Box::<str>::from(map.next_value::<Box<RawValue>>()?)).into_bytes(),
                );
                self.members.set(
                    &name,
                    std::str::from_utf8(&json).unwrap_or_default(),
                    self.is_within,
                );
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    // serde's own errors would show the value that was found.
    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(no_object())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Err(no_object())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Err(no_object())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Err(no_object())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(no_object())
    }
}

fn no_object<E: Error>() -> E {
    E::custom("a token response is a JSON object")
}
