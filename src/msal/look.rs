//! Recognizes files that are not a cache by their first bytes and by the names in them. No value is
//! copied.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::MsalError;

/// The sections of a cache.
const SECTIONS: [&str; 5] = ["Account", "IdToken", "AccessToken", "RefreshToken", "AppMetadata"];

/// How payloads of ASP.NET Core Data Protection begin, in bytes and in base64url. (Source:
/// Microsoft, "authenticated encryption details".)
const DATA_PROTECTION: [&[u8]; 2] = [b"\x09\xf0\xc9\xf0", b"CfDJ8"];

/// How blobs of `CryptProtectData` begin, in bytes and in base64: a version, and the GUID of the
/// provider.
const DPAPI: [&[u8]; 2] = [
    b"\x01\0\0\0\xd0\x8c\x9d\xdf\x01\x15\xd1\x11\x8c\x7a\x00\xc0\x4f\xc2\x97\xeb",
    b"AQAAANCMnd8BFdERjHoAwE/Cl+",
];

/// Returns what the bytes are, if they are not JSON in UTF-8.
pub(super) fn encoding(bytes: &[u8]) -> Option<MsalError> {
    let begins_with = |starts: [&[u8]; 2]| {
        starts.into_iter().any(|start| bytes.trim_ascii_start().starts_with(start))
    };
    if begins_with(DPAPI) {
        return Some(MsalError::Dpapi);
    }
    // The first byte of such a payload is a tab, so the untrimmed bytes are compared too.
    if bytes.starts_with(DATA_PROTECTION[0]) || begins_with(DATA_PROTECTION) {
        return Some(MsalError::DataProtection);
    }
    let is_text = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'{' | b'[' | b'"');
    // UTF-16 and UTF-32 are recognized by their byte-order marks or, because JSON begins with two
    // ASCII characters, by the places of the zero bytes (RFC 4627 §3).
    let is_wide = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..] => true,
        [0, 0, 0, first, ..] | [first, 0, ..] | [0, first, ..] => is_text(*first),
        _ => false,
    };
    is_wide.then_some(MsalError::Utf16)
}

/// Returns what the JSON is, if it is not a cache. For input that is not JSON it returns `None`:
/// the reader reports that.
pub(super) fn content(json: &[u8]) -> Option<MsalError> {
    match serde_json::from_slice::<Seen>(json).ok()? {
        Seen { is_object: true, is_empty: true, .. } | Seen { has_section: true, .. } => None,
        Seen { is_browsers: true, .. } => Some(MsalError::Browser),
        Seen { is_encrypted: true, .. } => Some(MsalError::EncryptedBrowser),
        Seen { has_browsers_names: true, .. } => Some(MsalError::Browser),
        Seen { is_adals: true, .. } => Some(MsalError::Adal),
        Seen { is_object: true, .. } => Some(MsalError::NoSection),
        _ => Some(MsalError::NotAnObject),
    }
}

/// What was seen in a file that shows which kind of file it is.
#[derive(Default)]
struct Seen {
    is_object: bool,
    is_empty: bool,
    has_section: bool,
    /// There is an entry of msal-browser, as an object or in a text.
    is_browsers: bool,
    /// There is an entry that msal-browser encrypted.
    is_encrypted: bool,
    /// There are names under which msal-browser keeps lists of its entries, and settings.
    has_browsers_names: bool,
    is_adals: bool,
}

impl Seen {
    /// Whether a JSON text has all of these names, as its own or in a text within it.
    fn names(json: &str, names: &[&str]) -> bool {
        names.iter().all(|name| {
            json.contains(&format!("\"{name}\"")) || json.contains(&format!("\\\"{name}\\\""))
        })
    }

    fn look(&mut self, json: &str) {
        self.is_browsers |= Self::names(json, &["homeAccountId", "credentialType"]);
        self.is_encrypted |= Self::names(json, &["id", "nonce", "data"]);
        self.is_adals |= Self::names(json, &["_clientId", "_authority"]);
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeenVisitor)
    }
}

struct SeenVisitor;

impl<'de> Visitor<'de> for SeenVisitor {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let mut seen = Seen { is_object: true, is_empty: true, ..Seen::default() };
        // The file may also be a single entry, which is not a cache either.
        let mut names = String::new();
        while let Some(name) = map.next_key::<String>()? {
            seen.is_empty = false;
            seen.has_section |= SECTIONS.contains(&name.as_str());
            if seen.has_section {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            seen.look(map.next_value::<&RawValue>()?.get());
            seen.has_browsers_names |= name.starts_with("msal.");
            if ["id", "nonce", "data", "homeAccountId", "credentialType"].contains(&name.as_str()) {
                names += &format!("\"{name}\"");
            }
        }
        seen.look(&names);
        Ok(seen)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seen, A::Error> {
        let mut seen = Seen::default();
        while let Some(element) = seq.next_element::<&RawValue>()? {
            seen.look(element.get());
        }
        Ok(seen)
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Seen, E> {
        Ok(Seen::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Seen, E> {
        Ok(Seen::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen::default())
    }
}
