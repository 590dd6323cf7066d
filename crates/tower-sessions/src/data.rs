//! A session's data as it is kept: JSON in a buffer that is wiped, without the binding, which the
//! place says.

use std::collections::HashMap;
use std::io;
use std::time::SystemTime;

use oubliette::{WebBinding, WebSession, Zeroizing};
use serde::Serializer as _;
use serde_json::Value;
use time::OffsetDateTime;

use crate::BINDING;

pub(crate) const UNREADABLE: &str = "the session's binding to a sign-in is not readable";

type Data = HashMap<String, Value>;

/// Why data cannot be kept, or is not as it was.
pub(crate) enum Fault {
    Encode(&'static str),
    Decode(&'static str),
}

/// A binding as it stands in the data of a session.
pub(crate) fn mark(binding: &WebBinding) -> Value {
    Value::String(base16ct::lower::encode_string(&binding.to_bytes()))
}

/// The binding that is marked so.
pub(crate) fn binding(mark: &Value) -> Option<WebBinding> {
    let mut bytes = [0; 32];
    let decoded = base16ct::lower::decode(mark.as_str()?, &mut bytes).ok()?;
    Some(WebBinding::from_bytes(decoded.try_into().ok()?))
}

/// A session as it is stored: its data as JSON, without the binding, in one buffer of the right
/// size that is wiped.
pub(crate) fn kept(data: &Data, expires_at: OffsetDateTime) -> Result<WebSession, Fault> {
    let write = |to: &mut dyn io::Write| {
        let data = data.iter().filter(|(key, _)| *key != BINDING);
        // Its texts hold pieces of the data, perhaps.
        serde_json::Serializer::new(to)
            .collect_map(data)
            .map_err(|_| Fault::Encode("the data is no JSON"))
    };
    let mut length = Length(0);
    write(&mut length)?;
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    write(&mut *json)?;
    let session = WebSession::new(SystemTime::from(expires_at), std::mem::take(&mut *json));
    // What cannot be read is not "none".
    let bound = match data.get(BINDING) {
        None => None,
        Some(mark) => Some(binding(mark).ok_or(Fault::Encode(UNREADABLE))?),
    };
    Ok(session.with_binding(bound))
}

/// The data and the expiry of a session that was kept.
pub(crate) fn read(kept: &WebSession) -> Result<(Data, OffsetDateTime), Fault> {
    let data = serde_json::from_slice(kept.data());
    let mut data: Data = data.map_err(|_| Fault::Decode("the data is no JSON"))?;
    if let Some(binding) = kept.binding() {
        data.insert(BINDING.into(), mark(binding));
    }
    let expires_at = date_of(kept.expires_at());
    Ok((data, expires_at.ok_or(Fault::Decode("it expires beyond the year 9999"))?))
}

fn date_of(time: SystemTime) -> Option<OffsetDateTime> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    OffsetDateTime::UNIX_EPOCH.checked_add(since.try_into().ok()?)
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
