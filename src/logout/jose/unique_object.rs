//! JSON objects from untrusted senders: each name is there once, and nothing is guessed.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, by name. An object that has a name twice is refused: two readers could
/// take different values of it (RFC 7515 §4 and RFC 7519 §4 let us refuse it; `serde_json`'s own
/// maps keep the last).
pub(crate) struct UniqueObject<'a>(BTreeMap<String, &'a RawValue>);

/// A member is of another type than it should be.
#[derive(Debug)]
pub(crate) struct WrongType;

impl<'a> UniqueObject<'a> {
    pub(crate) fn parse(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there is such a member. `null` counts as absent: some serializers write it for what
    /// is not there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|raw| raw.get() != "null")
    }

    /// A member of the type that it should have; `null` counts as absent.
    pub(crate) fn get<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, WrongType> {
        match self.0.get(name) {
            None => Ok(None),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| WrongType),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, WrongType> {
        self.get(name)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for UniqueObject<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = BTreeMap<String, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name is there twice"));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_there_once() {
        assert!(UniqueObject::parse(br#"{"a":1,"b":{"c":1}}"#).is_some());
        for twice in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":3}"#] {
            assert!(UniqueObject::parse(twice.as_bytes()).is_none(), "{twice}");
        }
    }

    #[test]
    fn only_an_object_is_one() {
        for other in [
            "",
            "[]",
            "null",
            "1",
            "\"a\"",
            "{",
            "{}{}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":01}",
            "\u{feff}{}",
        ] {
            assert!(UniqueObject::parse(other.as_bytes()).is_none(), "{other}");
        }
        assert!(UniqueObject::parse(b"{\"\xff\":1}").is_none());
        assert!(UniqueObject::parse(b" {} \n").is_some());
    }

    #[test]
    fn the_deepest_that_fits_breaks_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(8000), "]".repeat(8000));
        let members = UniqueObject::parse(deep.as_bytes()).unwrap();
        assert!(members.get::<serde_json::Value>("a").is_err());
    }

    #[test]
    fn null_is_none() {
        let members = UniqueObject::parse(br#"{"a": null ,"b":0}"#).unwrap();
        assert!(!members.has("a") && members.text("a").unwrap().is_none());
        assert!(members.has("b") && members.text("b").is_err());
    }
}
