//! Reads the fields of one entry as the crate's own types.

use std::time::{Duration, SystemTime};

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::json::{Entry, SecretField};
use crate::model::entra_cloud;
use crate::model::error::Error;
use crate::model::id::{AccountId, ClientId, SessionId, Subject, TenantId, is_guid};
use crate::model::scopes::{Partition, Scopes};
use crate::model::secret::Secret;
use crate::model::token::MAX_EXTRA_BYTES;

/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

const ID: &str = "home_account_id";

/// The nodes that the import reads, in this order.
pub(super) const NODES: [&str; 4] = ["Account", "IdToken", "AccessToken", "RefreshToken"];

/// The fields by which a library sets apart tokens that are otherwise the same.
const SET_APART_BY: [&str; 3] = ["ext", "ext_cache_key", "additionalCacheKeyComponents"];

/// Why an entry cannot be read. It names a field, never its value.
#[derive(Clone, Copy)]
pub(super) struct Wrong {
    pub(super) field: &'static str,
    pub(super) problem: &'static str,
}

/// The owner of the token in an entry.
pub(super) enum Owner {
    User(User),
    App {
        /// The server as the entry spells it, in lower case; empty if the entry names none.
        environment: String,
    },
}

/// The user that an entry belongs to.
pub(super) struct User {
    pub(super) account: AccountId,
    /// The server, as it is written, in lower case.
    pub(super) environment: String,
    /// Whether the user belongs to a B2C directory, which is the home tenant of all its users.
    pub(super) is_b2c: bool,
}

/// What an entry says of its tenant.
#[derive(Default)]
pub(super) enum Realm {
    /// The entry names this tenant: a GUID, in lower case.
    Tenant(TenantId),
    /// The entry has this name for its tenant, in lower case. Only other entries can tell which
    /// tenant the name means: see [`super::realm`].
    Name(String),
    /// The entry says that there is none: an empty text, or a B2C user flow.
    Empty,
    #[default]
    Missing,
}

impl Realm {
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Tenant(tenant) => Some(tenant.as_str()),
            Self::Name(name) => Some(name),
            Self::Empty | Self::Missing => None,
        }
    }
}

/// What an ID token says of the sign-in.
#[derive(Default)]
pub(super) struct Claims {
    pub(super) subject: Option<Subject>,
    pub(super) session: Option<SessionId>,
    /// The tenant that issued it: a GUID, in lower case.
    pub(super) tenant: Option<TenantId>,
    pub(super) signed_in_at: Option<SystemTime>,
    pub(super) issued_at: Option<SystemTime>,
}

pub(super) const fn missing(field: &'static str) -> Wrong {
    Wrong { field, problem: "it is missing" }
}

/// Converts the problem that an [`Error`] of this crate names into a problem of `field`.
pub(super) fn wrong(field: &'static str) -> impl FnOnce(Error) -> Wrong {
    move |error| match error {
        Error::InvalidInput { problem, .. } => Wrong { field, problem },
        _ => Wrong { field, problem: "it cannot be stored" },
    }
}

impl User {
    fn new(environment: String, id: &str) -> Result<Self, Wrong> {
        if environment.is_empty() {
            return Err(missing("environment"));
        }
        let account = AccountId::msal(&environment, id).map_err(|error| match &error {
            Error::InvalidInput { field: "authority", .. } => wrong("environment")(error),
            _ => wrong(ID)(error),
        })?;
        let is_b2c =
            entra_cloud::is_b2c(&environment) || id.to_ascii_lowercase().contains("-b2c_1");
        Ok(Self { account, environment, is_b2c })
    }
}

impl Entry {
    /// Takes out a field by its name or, as MSAL for Node has written some, by its name in camel
    /// case. Returns `None` if the field is missing or null.
    fn take(&mut self, name: &str) -> Option<Value> {
        let found = self.fields.remove(name).filter(|value| !value.is_null());
        found.or_else(|| self.fields.remove(&camel_case(name)).filter(|value| !value.is_null()))
    }

    fn text(&mut self, field: &'static str) -> Result<Option<String>, Wrong> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Wrong { field, problem: "it is not a text" }),
        }
    }

    /// Takes out a text. An empty one counts as missing.
    pub(super) fn some_text(&mut self, field: &'static str) -> Result<Option<String>, Wrong> {
        Ok(self.text(field)?.filter(|text| !text.is_empty()))
    }

    /// Returns the user; or the app, if no user is named and all scopes end in `/.default`, which
    /// is how an app has to ask for its own tokens.
    ///
    /// MSAL for Python writes an app's token with a null id, MSAL for Node with an empty one, and
    /// MSAL.NET without one. But Node also writes an empty id for a user about whom the provider
    /// said nothing, and an id can be lost. Then the scopes keep a user's token from being handed
    /// to the app.
    pub(super) fn owner(&mut self) -> Result<Owner, Wrong> {
        let is_default = self.has_default_scopes_only();
        match self.named_user() {
            (Some(user), _) => user.map(Owner::User),
            (None, environment) if is_default => Ok(Owner::App { environment }),
            _ => Err(Wrong {
                field: ID,
                problem: "it is missing, and the scopes are not those of an app's own token",
            }),
        }
    }

    /// Returns the user, of an entry that cannot belong to an app.
    pub(super) fn user(&mut self) -> Result<User, Wrong> {
        self.named_user().0.unwrap_or(Err(missing(ID)))
    }

    /// Returns the user, if one is named, and the server as the entry spells it, in lower case.
    fn named_user(&mut self) -> (Option<Result<User, Wrong>>, String) {
        let environment =
            self.some_text("environment").map(|text| text.unwrap_or_default().to_ascii_lowercase());
        let server = environment.as_ref().cloned().unwrap_or_default();
        let user = match self.some_text(ID) {
            Ok(None) => None,
            Ok(Some(id)) => Some(environment.and_then(|environment| User::new(environment, &id))),
            Err(wrong) => Some(Err(wrong)),
        };
        (user, server)
    }

    fn has_default_scopes_only(&self) -> bool {
        let is_default = |scope: &str| scope.ends_with("/.default");
        match self.fields.get("target") {
            Some(Value::String(list)) => {
                let mut scopes = list.split(' ').filter(|scope| !scope.is_empty()).peekable();
                scopes.peek().is_some() && scopes.all(is_default)
            }
            Some(Value::Array(list)) => {
                !list.is_empty() && list.iter().all(|scope| scope.as_str().is_some_and(is_default))
            }
            _ => false,
        }
    }

    /// Refuses an entry that says it belongs to another node: a refresh token must not be taken for
    /// an access token.
    pub(super) fn check_type(&mut self, node: &str) -> Result<(), Wrong> {
        const FIELD: &str = "credential_type";
        let other =
            |said: &str| NODES.iter().any(|name| *name != node && name.eq_ignore_ascii_case(said));
        match self.some_text(FIELD)? {
            Some(said) if other(&said) => {
                Err(Wrong { field: FIELD, problem: "it is that of another node" })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a token that its library sets apart from others by a field that the store does not
    /// know: in the store they would all be one token.
    pub(super) fn check_not_set_apart(&self) -> Result<(), Wrong> {
        let field = SET_APART_BY.into_iter().find(|field| {
            self.fields.get(*field).is_some_and(|value| match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Object(map) => !map.is_empty(),
                _ => true,
            })
        });
        field.map_or(Ok(()), |field| {
            Err(Wrong { field, problem: "the store cannot set tokens apart by it" })
        })
    }

    pub(super) fn client(&mut self) -> Result<ClientId, Wrong> {
        ClientId::new(self.some_text("client_id")?.ok_or(missing("client_id"))?)
            .map_err(wrong("client_id"))
    }

    /// Returns what the entry says of its tenant.
    ///
    /// MSAL for Node writes the B2C user flow into this field. A user flow is not a tenant, so it
    /// goes into `extra`.
    pub(super) fn realm(&mut self) -> Result<Realm, Wrong> {
        const FIELD: &str = "realm";
        match self.text(FIELD)? {
            None => Ok(Realm::Missing),
            Some(realm) if realm.is_empty() => Ok(Realm::Empty),
            Some(realm)
                if realm.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("b2c_1")) =>
            {
                self.fields.insert(FIELD.into(), Value::String(realm));
                Ok(Realm::Empty)
            }
            Some(realm) => {
                let tenant = TenantId::new(realm.to_ascii_lowercase()).map_err(wrong(FIELD))?;
                Ok(if is_guid(&realm) {
                    Realm::Tenant(tenant)
                } else {
                    Realm::Name(tenant.as_str().to_owned())
                })
            }
        }
    }

    /// The scopes: a text, or a list in old caches. They may be empty (AD FS does so), but not
    /// missing.
    pub(super) fn scopes(&mut self) -> Result<Scopes, Wrong> {
        const FIELD: &str = "target";
        match self.take(FIELD) {
            None => Err(missing(FIELD)),
            Some(Value::String(list)) => Scopes::parse(&list).map_err(wrong(FIELD)),
            Some(Value::Array(list)) => {
                let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                Scopes::new(
                    texts.ok_or(Wrong { field: FIELD, problem: "it is not a list of texts" })?,
                )
                .map_err(wrong(FIELD))
            }
            Some(_) => Err(Wrong { field: FIELD, problem: "it is neither a text nor a list" }),
        }
    }

    /// The on-behalf-of partition: base64 or base64url, padded or not, of a SHA-256.
    pub(super) fn partition(&mut self) -> Result<Partition, Wrong> {
        const FIELD: &str = "user_assertion_hash";
        let Some(hash) = self.some_text(FIELD)? else { return Ok(Partition::user()) };
        let digits = hash.trim_end_matches('=');
        let bytes = Base64UrlUnpadded::decode_vec(digits)
            .or_else(|_| Base64Unpadded::decode_vec(digits))
            .unwrap_or_default();
        let sha256 = bytes
            .try_into()
            .map_err(|_| Wrong { field: FIELD, problem: "it is not the base64 of a SHA-256" })?;
        Ok(Partition::on_behalf_of_hash(sha256))
    }

    /// A time in seconds since 1970: a text or a number, whole or not.
    pub(super) fn time(&mut self, field: &'static str) -> Result<Option<SystemTime>, Wrong> {
        let value = self.take(field).filter(|value| value.as_str() != Some(""));
        value.map(|value| time(field, &value)).transpose()
    }

    /// As [`Entry::time`], for a time that an entry need not have. Libraries then write 0.
    pub(super) fn optional_time(
        &mut self,
        field: &'static str,
    ) -> Result<Option<SystemTime>, Wrong> {
        Ok(self.time(field)?.filter(|time| *time != SystemTime::UNIX_EPOCH))
    }

    /// As [`Entry::optional_time`], but the field stays in the entry, so that it goes into `extra`.
    pub(super) fn peek_time(&self, field: &'static str) -> Result<Option<SystemTime>, Wrong> {
        let value =
            self.fields.get(field).filter(|value| !value.is_null() && value.as_str() != Some(""));
        Ok(value
            .map(|value| time(field, value))
            .transpose()?
            .filter(|time| *time != SystemTime::UNIX_EPOCH))
    }

    pub(super) fn secret(&mut self) -> Result<Secret, Wrong> {
        match std::mem::take(&mut self.secret) {
            SecretField::Text(secret) => Ok(secret),
            SecretField::Missing => Err(missing("secret")),
            SecretField::NotText => Err(Wrong { field: "secret", problem: "it is not a text" }),
        }
    }

    /// Returns the fields that are left once all others have been taken, as a JSON object; it is
    /// empty if no field is left.
    pub(super) fn extra(mut self) -> Result<Vec<u8>, Wrong> {
        self.fields.retain(|_, value| !value.is_null());
        if self.fields.is_empty() {
            return Ok(Vec::new());
        }
        let json = serde_json::to_vec(&self.fields).unwrap_or_default();
        if json.len() > MAX_EXTRA_BYTES {
            return Err(Wrong {
                field: "extra",
                problem: "the other fields are too long together, and were left out",
            });
        }
        Ok(json)
    }
}

fn time(field: &'static str, value: &Value) -> Result<SystemTime, Wrong> {
    let seconds = match value {
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(whole_seconds))
        }
        Value::Number(number) => {
            number.as_u64().or_else(|| number.as_f64().and_then(whole_seconds))
        }
        _ => None,
    };
    seconds
        .filter(|seconds| *seconds <= LAST_SECOND)
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .ok_or(Wrong { field, problem: "it is not a time in seconds between 1970 and 9999" })
}

/// The part before the decimal point. `None` if the number is out of range: it is never wrapped or
/// clamped.
fn whole_seconds(seconds: f64) -> Option<u64> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    (0.0..1e12).contains(&seconds).then_some(seconds as u64)
}

/// Converts `user_assertion_hash` to `userAssertionHash`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// Reads the claims of an ID token. MSAL got it from the provider itself, so its signature need not
/// be checked again. A claim that cannot be read is left out.
pub(super) fn claims(id_token: &Secret) -> Claims {
    let payload = id_token.expose().split('.').nth(1).unwrap_or_default().trim_end_matches('=');
    let json = Zeroizing::new(Base64UrlUnpadded::decode_vec(payload).unwrap_or_default());
    let claims: Map<String, Value> = serde_json::from_slice(&json).unwrap_or_default();
    let text = |name| claims.get(name).and_then(Value::as_str);
    let at = |name| claims.get(name).and_then(|value| time(name, value).ok());
    // B2C leaves `tid` out unless told otherwise, but its issuer names the tenant, as Entra's does.
    let tenant = text("tid")
        .filter(|tid| is_guid(tid))
        .or_else(|| text("iss").and_then(entra_cloud::tenant_of_issuer));
    Claims {
        subject: text("iss").zip(text("sub")).and_then(|(iss, sub)| Subject::new(iss, sub).ok()),
        session: text("iss")
            .zip(text("sid"))
            .and_then(|(iss, sid)| entra_cloud::session(iss, sid).ok()),
        tenant: tenant.and_then(|tenant| TenantId::new(tenant.to_ascii_lowercase()).ok()),
        signed_in_at: at("auth_time").or_else(|| at("iat")),
        issued_at: at("iat"),
    }
}
