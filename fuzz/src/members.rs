//! JSON objects as lists of members, in the order that they are written: also what a map could not hold, a name twice.

use std::fmt;

use arbitrary::Arbitrary;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::input::Encode;

/// A change of one member: which, and to what. The numbers count round and round.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: u8,
    /// 0 leaves the member out.
    pub value: u8,
    /// Behind the one that is there, not in its place.
    pub again: bool,
}

impl Encode for Change {
    fn encode(&self, out: &mut Vec<u8>) {
        self.name.encode(out);
        self.value.encode(out);
        self.again.encode(out);
    }
}

/// An object: names, and the JSON texts of values.
#[derive(Clone, Debug)]
pub struct Members(Vec<(String, String)>);

impl Members {
    pub fn of(object: &Value) -> Self {
        let object = object.as_object().expect("an object");
        Self(object.iter().map(|(name, value)| (name.clone(), value.to_string())).collect())
    }

    /// `None` if it is no object.
    pub fn parse(json: &str) -> Option<Self> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((name, value.get().to_owned()));
                }
                Ok(members)
            }
        }
        serde_json::Deserializer::from_str(json).deserialize_map(Object).ok().map(Self)
    }

    pub fn apply(&mut self, change: Change, names: &[&str], values: &[&str]) {
        let name = names[usize::from(change.name) % names.len()];
        if !change.again {
            self.0.retain(|(other, _)| other != name);
        }
        if let Some(value) = usize::from(change.value).checked_sub(1) {
            self.0.push((name.into(), values[value % values.len()].into()));
        }
    }

    /// As JSON.
    pub fn text(&self) -> String {
        let members: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// Whether there is something by that name; `null` is nothing.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, value)| other == name && value != "null")
    }

    /// How often a name is there.
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(other, _)| other == name).count()
    }

    /// Whether any name is there twice.
    pub fn has_twice(&self) -> bool {
        self.0
            .iter()
            .enumerate()
            .any(|(at, (name, _))| self.0[..at].iter().any(|(other, _)| other == name))
    }

    /// The JSON texts of all that go by a name.
    pub fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// What is there and can be read.
    pub fn value(&self, name: &str) -> Option<Value> {
        // A number that no number can be is a value that nothing wants.
        self.text_of(name).map(|text| serde_json::from_str(text).unwrap_or(Value::Bool(false)))
    }
}
