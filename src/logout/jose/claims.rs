//! The claims of a token, read strictly (RFC 7519 §4). Nothing in them is trusted here.

use std::time::Duration;

use serde_json::{Number, Value};

use super::unique_object::{UniqueObject, WrongType};
use crate::logout::rejected::Rejected;

/// The claims that are used.
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: Vec<String>,
    /// Times here count from the epoch.
    pub(crate) iat: Duration,
    pub(crate) exp: Option<Duration>,
    pub(crate) nbf: Option<Duration>,
    pub(crate) sub: Option<String>,
    pub(crate) sid: Option<String>,
    /// The tenant; Entra sends it.
    pub(crate) tid: Option<String>,
    pub(crate) events: Events,
}

/// The events that a token reports (RFC 8417 §2.2).
pub(crate) struct Events {
    names: Vec<String>,
    pub(crate) revokes_offline_access: bool,
}

/// The year 10000. A later time is read as this one.
const END_OF_TIME: f64 = 253_402_300_800.0;

impl Claims {
    pub(crate) fn read(members: &UniqueObject<'_>) -> Result<Self, Rejected> {
        Ok(Self {
            iss: text(members, "iss")?.ok_or(missing("iss"))?,
            aud: audience(members)?,
            iat: time(members, "iat")?.ok_or(missing("iat"))?,
            exp: time(members, "exp")?,
            nbf: time(members, "nbf")?,
            sub: text(members, "sub")?,
            sid: text(members, "sid")?,
            tid: text(members, "tid")?,
            events: Events::read(members)?,
        })
    }
}

impl Events {
    fn read(members: &UniqueObject<'_>) -> Result<Self, Rejected> {
        let wrong = |_: WrongType| Rejected::claim("events", "it is no object with each name once");
        let events: UniqueObject<'_> =
            members.get("events").map_err(wrong)?.ok_or(missing("events"))?;
        // The value of an event is an object, and mostly an empty one.
        let happened = |name: &&str| matches!(events.get::<UniqueObject<'_>>(name), Ok(Some(_)));
        let names = events.names().filter(happened).map(Into::into).collect();
        // Keycloak writes this beside the event.
        let revokes_offline_access = matches!(events.get("revoke_offline_access"), Ok(Some(true)));
        Ok(Self { names, revokes_offline_access })
    }

    pub(crate) fn check_has(&self, event: &str) -> Result<(), Rejected> {
        let is_there = self.names.iter().any(|name| name == event);
        if is_there {
            Ok(())
        } else {
            Err(Rejected::claim("events", "the event is not there, or its value is no object"))
        }
    }
}

fn missing(claim: &'static str) -> Rejected {
    Rejected::claim(claim, "it is missing")
}

/// A text; an empty one counts as absent.
fn text(members: &UniqueObject<'_>, claim: &'static str) -> Result<Option<String>, Rejected> {
    let text = members.text(claim).map_err(|_| Rejected::claim(claim, "it is no text"))?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// One text or several (RFC 7519 §4.1.3).
fn audience(members: &UniqueObject<'_>) -> Result<Vec<String>, Rejected> {
    match members.get::<Value>("aud") {
        Ok(None) => Err(missing("aud")),
        Ok(Some(Value::String(one))) => Ok(vec![one]),
        Ok(Some(Value::Array(several))) => {
            let texts = several
                .into_iter()
                .map(|value| if let Value::String(text) = value { Some(text) } else { None });
            texts
                .collect::<Option<Vec<_>>>()
                .ok_or(Rejected::claim("aud", "it is no list of texts"))
        }
        Ok(Some(_)) | Err(WrongType) => {
            Err(Rejected::claim("aud", "it is neither a text nor a list of texts"))
        }
    }
}

/// Seconds since the epoch, perhaps with a fraction (RFC 7519 §2, NumericDate).
fn time(members: &UniqueObject<'_>, claim: &'static str) -> Result<Option<Duration>, Rejected> {
    let number =
        members.get::<Number>(claim).map_err(|_| Rejected::claim(claim, "it is no number"))?;
    let Some(number) = number else { return Ok(None) };
    let seconds = number
        .as_f64()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds.min(END_OF_TIME)).ok());
    seconds.map(Some).ok_or(Rejected::claim(claim, "it is no time"))
}
