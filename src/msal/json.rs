//! Reads the bytes of a cache file as entries, and keeps every `secret` apart from the other
//! fields.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{MsalError, look};
use crate::model::secret::Secret;

/// A larger input is refused, because it cannot be a token cache.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// The top level of a cache file.
#[derive(Default)]
pub(super) struct Document {
    pub(super) accounts: Node,
    pub(super) id_tokens: Node,
    pub(super) access_tokens: Node,
    pub(super) refresh_tokens: Node,
    /// Every other node, unchanged.
    pub(super) other: Map<String, Value>,
}

/// The entries of one node in the order of the file. Their keys are not even read: the fields say
/// the same, and where they differ the fields are right.
#[derive(Default)]
pub(super) struct Node {
    /// `None` stands for an entry that is not an object.
    pub(super) entries: Vec<Option<Entry>>,
    /// The node was something other than an object or null.
    pub(super) broken: bool,
}

/// One entry.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) secret: SecretField,
    pub(super) fields: Map<String, Value>,
}

#[derive(Default)]
pub(super) enum SecretField {
    #[default]
    Missing,
    NotText,
    Text(Secret),
}

/// Reads a file strictly. If that fails, reads it again and tolerates what MSAL.NET tolerates.
pub(super) fn read(bytes: &[u8]) -> Result<Document, MsalError> {
    if bytes.len() > MAX_BYTES {
        return Err(MsalError::TooLarge);
    }
    if let Some(other) = look::encoding(bytes) {
        return Err(other);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Document::default());
    }
    match parse(text) {
        Err(MsalError::NotJson { .. } | MsalError::NotAnObject) => parse(&forgiven(text)),
        read => read,
    }
}

fn parse(text: &[u8]) -> Result<Document, MsalError> {
    if let Some(other) = look::content(text) {
        return Err(other);
    }
    // serde_json's own message is dropped: it may quote the content.
    serde_json::from_slice(text).map_err(|error| {
        if error.is_data() {
            MsalError::NotAnObject
        } else {
            MsalError::NotJson { line: error.line(), column: error.column() }
        }
    })
}

/// Returns a copy in which each comma before a closing bracket is a space, and each number that is
/// too large for serde_json is the largest power of ten that is not. So the entry with the number
/// is reported, and the rest of the file can still be read.
///
/// No byte moves, so that positions in errors stay right, and the copy, which holds tokens, is
/// never reallocated.
fn forgiven(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut copy = Zeroizing::new(text.to_vec());
    let (mut in_string, mut escaped) = (false, false);
    let (mut comma, mut number) = (None, None);
    for (at, &byte) in text.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        if matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') {
            number.get_or_insert(at);
        } else if let Some(digits) = number.take().and_then(|start| copy.get_mut(start..at)) {
            cap(digits);
        }
        match byte {
            b',' => comma = Some(at),
            b'}' | b']' => {
                if let Some(comma) = comma.take().and_then(|at: usize| copy.get_mut(at)) {
                    *comma = b' ';
                }
            }
            _ if byte.is_ascii_whitespace() => {}
            _ => {
                comma = None;
                in_string = byte == b'"';
            }
        }
    }
    copy
}

/// Replaces a number that overflows. Such a number has at least the five bytes of `1e309`, so the
/// replacement fits.
fn cap(number: &mut [u8]) {
    let overflows =
        std::str::from_utf8(number).is_ok_and(|text| text.parse().is_ok_and(f64::is_infinite));
    if overflows {
        let capped = b"1e308".iter().copied().chain(std::iter::repeat(b' '));
        number.iter_mut().zip(capped).for_each(|(old, new)| *old = new);
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        while let Some(name) = map.next_key::<String>()? {
            let node = match name.as_str() {
                "Account" => &mut document.accounts,
                "IdToken" => &mut document.id_tokens,
                "AccessToken" => &mut document.access_tokens,
                "RefreshToken" => &mut document.refresh_tokens,
                _ => {
                    document.other.insert(name, map.next_value()?);
                    continue;
                }
            };
            let Node { entries, broken } = map.next_value()?;
            node.entries.extend(entries);
            node.broken |= broken;
        }
        Ok(document)
    }
}

/// The methods of a visitor for every kind of value that it does not expect. So a value of the
/// wrong kind is skipped and does not fail the whole file.
macro_rules! anything_else {
    ($value:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value")
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut node = Node::default();
        while map.next_key::<IgnoredAny>()?.is_some() {
            node.entries.push(map.next_value::<MaybeEntry>()?.0);
        }
        Ok(node)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node { broken: true, ..Node::default() })
    }

    anything_else!(Node { broken: true, ..Node::default() });
}

struct MaybeEntry(Option<Entry>);

impl<'de> Deserialize<'de> for MaybeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor).map(Self)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Option<Entry>;

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entry = Entry::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "secret" {
                entry.secret = map.next_value()?;
            } else {
                entry.fields.insert(name, map.next_value()?);
            }
        }
        Ok(Some(entry))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    anything_else!(None);
}

impl<'de> Deserialize<'de> for SecretField {
    /// Takes the text straight from the input into its own wiped buffer. (A text with escapes would
    /// be put together by serde_json in a buffer that it does not wipe.)
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let text = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Ok(match text {
            Some("") => Self::Missing,
            Some(text) => unescaped(text).map_or(Self::NotText, Self::Text),
            None if json == "null" => Self::Missing,
            None => Self::NotText,
        })
    }
}

/// Decodes what is between the quotes of a JSON string (RFC 8259 §7). Returns `None` if half of a
/// surrogate pair is missing: that is not a text.
fn unescaped(text: &str) -> Option<Secret> {
    // The buffer is of the right size or larger, so it never grows.
    let mut secret = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        secret.push_str(before);
        let mut behind = escape.chars();
        let char = match behind.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (unit, next) = utf16_unit(behind.as_str())?;
                behind = next.chars();
                match char::from_u32(unit.into()) {
                    Some(char) => char,
                    None => {
                        let (low, next) = utf16_unit(next.strip_prefix("\\u")?)?;
                        behind = next.chars();
                        char::decode_utf16([unit, low]).next()?.ok()?
                    }
                }
            }
            itself => itself,
        };
        secret.push(char);
        rest = behind.as_str();
    }
    secret.push_str(rest);
    Some(Secret::new(std::mem::take(&mut *secret)))
}

fn utf16_unit(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a secret as it stands in a file.
    fn read(json: &str) -> Option<String> {
        match serde_json::from_str(json).unwrap() {
            SecretField::Text(secret) => Some(secret.expose().to_owned()),
            SecretField::Missing => Some(String::new()),
            SecretField::NotText => None,
        }
    }

    #[test]
    fn secrets_are_read_as_serde_json_reads_texts() {
        let texts = [
            r#""plain""#,
            r#""""#,
            r#""a\\b\/c\"d\b\f\n\r\t""#,
            r#""\u002b\u00E9x\u20ac""#,
            r#""\ud83d\ude00 after""#,
            "\"\u{e9}\u{1f600}\"",
            r#""\\u0041\\""#,
        ];
        for json in texts {
            assert_eq!(read(json), serde_json::from_str(json).unwrap(), "{json}");
        }
        assert_eq!(read("null"), Some(String::new()));
        for json in [
            r#""\ud83d""#,
            r#""\ud83dx\ude00""#,
            r#""\ud83d\u0041""#,
            r#""\ude00""#,
            "5",
            "true",
            "[]",
            r#"{"a": 1}"#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
        for json in [r#""\x""#, r#""\u00g0""#, r#""open"#, "\"\n\""] {
            assert!(serde_json::from_str::<SecretField>(json).is_err(), "{json}");
        }
    }
}
