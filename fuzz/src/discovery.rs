//! Discovery documents: of any bytes, the only keys that are fetched are those of a document of the provider's own, and over a connection that can be
//! trusted.

use arbitrary::{Arbitrary, Unstructured};
use oubliette::fuzzing::discovered;
use serde_json::{Value, json};

use crate::bounds::within;
use crate::input::Encode;
use crate::members::{Change, Members};

crate::plans! {
    /// The document.
    pub enum Plan {
        /// The rest of the bytes. The issuer is a loopback host's, or not.
        Raw { is_local: bool },
        /// A good one, changed.
        Built { is_local: bool, changes: Vec<Change> },
    }
}

const ISSUERS: [&str; 2] = ["https://login.example.com", "http://127.0.0.1:8080"];
const NAMES: [&str; 5] =
    ["issuer", "jwks_uri", "end_session_endpoint", "authorization_endpoint", "unknown"];
/// As they stand in a document; and whether keys may come from there: never, always, or if the issuer is a loopback host's.
const VALUES: [(&str, Taken); 27] = [
    ("null", Taken::Never),
    ("7", Taken::Never),
    ("{}", Taken::Never),
    ("[\"https://login.example.com\"]", Taken::Never),
    ("\"\"", Taken::Never),
    ("\"https://login.example.com\"", Taken::Always),
    ("\"https://login.example.com/\"", Taken::Always),
    ("\"https://LOGIN.example.com\"", Taken::Always),
    ("\"https:\\/\\/login.example.com\"", Taken::Always),
    ("\"http://127.0.0.1:8080\"", Taken::IfLocal),
    ("\"http://127.0.0.1:8081/keys\"", Taken::IfLocal),
    ("\"http://localhost/keys?a=b\"", Taken::IfLocal),
    ("\"http://[::1]:80/keys\"", Taken::IfLocal),
    ("\"http://127.0.0.2/keys\"", Taken::Never),
    ("\"http://localhost.evil.example.com/keys\"", Taken::Never),
    ("\"http://login.example.com/keys\"", Taken::Never),
    ("\"https://keys.example.net:8443/keys?a=b\"", Taken::Always),
    ("\"https://login.example.com/keys#a\"", Taken::Never),
    ("\"https://user@login.example.com/keys\"", Taken::Never),
    ("\"https://:secret@login.example.com/keys\"", Taken::Never),
    ("\"http://127.0.0.1@evil.example.com/keys\"", Taken::Never),
    ("\"file:///etc/passwd\"", Taken::Never),
    ("\"data:application/json,{}\"", Taken::Never),
    ("\"//login.example.com/keys\"", Taken::Never),
    ("\"/keys\"", Taken::Never),
    ("\"ftp://login.example.com/keys\"", Taken::Never),
    ("\"https://\"", Taken::Never),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Never,
    Always,
    IfLocal,
}

/// The bytes of a run.
pub fn input(plan: &Plan, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(rest);
    bytes
}

/// One with which all is right.
pub fn document(is_local: bool) -> Value {
    let issuer = ISSUERS[usize::from(is_local)];
    json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "end_session_endpoint": format!("{issuer}/end")})
}

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    match plan {
        Plan::Raw { is_local } => {
            let document = data.take_rest();
            let issuer = ISSUERS[usize::from(is_local)];
            // (A name and a place for each member, of which the shortest has five bytes; and a host
            // in other letters than ASCII is taken apart into its characters, more than once.)
            let Some((keys, end)) =
                within((64 << 10) + 64 * document.len(), || discovered(document, issuer))
            else {
                return;
            };
            let members = std::str::from_utf8(document)
                .ok()
                .and_then(Members::parse)
                .expect("no object was taken");
            assert_eq!(
                members.value("issuer"),
                Some(issuer.into()),
                "another issuer's document was taken"
            );
            for url in [Some(keys), end].into_iter().flatten() {
                assert!(is_trusted(&url, is_local), "{url}");
            }
        }
        Plan::Built { is_local, changes } => {
            let mut document = Members::of(&document(is_local));
            let values = VALUES.map(|(text, _)| text);
            changes.iter().for_each(|change| document.apply(*change, &NAMES, &values));
            let issuer = ISSUERS[usize::from(is_local)];
            let found = discovered(document.text().as_bytes(), issuer);
            let taken = |name: &str| match document.text_of(name) {
                None => false,
                // As it was.
                Some(text)
                    if text.starts_with(&format!("\"{issuer}/"))
                        && text.len() > issuer.len() + 3
                        && !values.contains(&text) =>
                {
                    true
                }
                Some(text) => VALUES.iter().any(|(value, taken)| {
                    *value == text
                        && (*taken == Taken::Always || (*taken == Taken::IfLocal && is_local))
                }),
            };
            let is_ours = document.value("issuer") == Some(issuer.into());
            // Whichever name it is: an object that has one twice is none.
            if NAMES.iter().any(|name| document.count(name) > 1) {
                assert!(
                    found.is_none(),
                    "two readers could take different ones of {}",
                    document.text()
                );
                return;
            }
            assert_eq!(found.is_some(), is_ours && taken("jwks_uri"), "{}", document.text());
            if let Some((keys, end)) = found {
                assert!(is_trusted(&keys, is_local));
                assert_eq!(end.is_some(), taken("end_session_endpoint"), "{}", document.text());
            }
        }
    }
}

/// By a plain look at the text of an address.
fn is_trusted(url: &str, is_local: bool) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(authority, |(host, _)| host);
    let is_loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    let is_safe = scheme == "https" || (scheme == "http" && is_local && is_loopback);
    is_safe && !host.is_empty() && !authority.contains('@') && !url.contains('#')
}
