//! Damaged caches: what can be read is, what cannot is reported, and nothing of it is printed.

use proptest::prelude::*;

use super::*;
use crate::samples::{DOTNET, JAVA};

#[test]
fn every_field_broken_in_turn_is_reported_and_nothing_else_lost() {
    const OTHER: &str = "99999999-0000-4000-8000-000000000009";
    const NODES: [&str; 4] = ["Account", "IdToken", "AccessToken", "RefreshToken"];
    let breakages: [(&str, Option<Value>); 8] = [
        ("missing", None),
        ("null", Some(json!(null))),
        ("empty", Some(json!(""))),
        ("control", Some(json!("needle\u{7}"))),
        ("long", Some(json!("needle".repeat(20_000)))),
        ("list", Some(json!([["needle"]]))),
        ("object", Some(json!({"needle": {"needle": "needle"}}))),
        ("truth", Some(json!(true))),
    ];
    // Which of them are no faults: fields that may be absent, and those that only the library
    // itself uses.
    let harmless = |node: &str, field: &str, how: &str| match (node, field, how) {
        (_, "local_account_id", _) => how != "long",
        ("AccessToken", "target", "empty") | (_, "realm", "empty") => true,
        ("RefreshToken" | "Account", "realm", "missing" | "null") => true,
        (_, "home_account_id" | "environment" | "client_id" | "secret" | "realm" | "target", _) => {
            false
        }
        ("AccessToken", "expires_on", _) => false,
        // A type that no version has had may be one of a later.
        (_, "credential_type", "control" | "long") => true,
        _ => matches!(how, "missing" | "null" | "empty"),
    };
    let mut tried = 0;
    for node in NODES {
        for field in whole(node, USER).as_object().unwrap().keys() {
            for (how, value) in &breakages {
                let mut cache = json!({});
                for name in NODES {
                    cache[name] = json!({"broken": whole(name, USER), "other": whole(name, OTHER)});
                }
                let broken = cache[node]["broken"].as_object_mut().unwrap();
                match value {
                    None => broken.remove(field),
                    Some(value) => broken.insert(field.clone(), value.clone()),
                };
                let cache = read(&cache.to_string());
                let case = format!("{node}.{field} {how}: {:?}", cache.problems);
                tried += 1;

                assert!(!format!("{cache:?}{:?}", problems(&cache)).contains("needle"), "{case}");
                let untouched = cache.sign_ins.iter().find(|s| {
                    s.sign_in.account().home_account_id() == Some(&format!("{OTHER}.{TENANT_A}"))
                });
                assert_eq!(
                    untouched.map(|s| (s.tokens.len(), s.accounts.len())),
                    Some((3, 1)),
                    "{case}"
                );
                let left_out = cache.problems.iter().filter(|problem| problem.left_out).count();
                let kept: usize =
                    cache.sign_ins.iter().map(|s| s.tokens.len() + s.accounts.len()).sum();
                assert_eq!(kept + left_out, 8, "{case}");
                if harmless(node, field, how) {
                    // Without the time at which a token was cached another field cannot be read.
                    let follows = usize::from(field == "cached_at");
                    assert_eq!(cache.problems.len(), follows, "{case}");
                    assert!(cache.problems.iter().all(|problem| !problem.left_out), "{case}");
                } else if field != "local_account_id" {
                    // Or it follows that there is no account entry for a user, or no token.
                    let follows = [MsalProblemKind::NoAccount, MsalProblemKind::NoToken];
                    let about_it = |problem: &MsalProblem| {
                        problem.entry == Some(1)
                            && (problem.node == node || follows.contains(&problem.kind))
                    };
                    assert!(cache.problems.iter().all(about_it), "{case}");
                    let mut own =
                        cache.problems.iter().filter(|problem| !follows.contains(&problem.kind));
                    assert_eq!(
                        own.next().and_then(|problem| problem.field),
                        Some(field.as_str()),
                        "{case}"
                    );
                }
            }
        }
    }
    assert!(tried > 250, "{tried}");
}

#[test]
fn nothing_that_can_be_printed_carries_a_secret_or_an_id() {
    for sample in [PYTHON, NODE, DOTNET, JAVA] {
        // With the ids of accounts broken, so that there are problems to print.
        let broken = sample
            .replace("\"expires_on\"", "\"expires\"")
            .replace("\"username\": \"", "\"username\": \"\\u0007");
        for cache in [read(sample), read(&broken)] {
            let text = format!(
                "{cache:?} {:#?} {:?} {:?}",
                cache.problems,
                problems(&cache),
                cache.sign_ins
            );
            for needle in ["FAKE", "1111", "aaaa", "user-", "login.", "c100"] {
                assert!(!text.contains(needle), "{needle} in {text}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_cache_is_read_or_refused_and_never_printed(
        sample in 0..4_usize,
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..9_usize, 0..40_usize), 1..8),
    ) {
        const PIECES: [&str; 9] = ["", "\"", "null", "-1", "1e999", "[", "}", ",", "\u{0}\u{e9}"];
        let mut bytes = [PYTHON, NODE, DOTNET, JAVA][sample].as_bytes().to_vec();
        for (at, piece, length) in damages {
            let start = at.index(bytes.len());
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, PIECES[piece].bytes());
        }
        let text = match MsalCache::read(&bytes) {
            Ok(cache) => format!("{cache:?} {:?}", problems(&cache)),
            Err(error) => format!("{error} {error:?}"),
        };
        for needle in ["FAKE", "1111", "aaaa", "user-"] {
            prop_assert!(!text.contains(needle), "{}", text);
        }
    }

    /// Damage that leaves it JSON, which goes deeper: any value of any entry swapped for any other.
    #[test]
    fn any_value_in_place_of_any_other_is_survived(
        node in 0..4_usize,
        entry in any::<prop::sample::Index>(),
        field in any::<prop::sample::Index>(),
        value in prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[-A-Za-z0-9_.=]{0,50}".prop_map(Value::from),
            prop::collection::vec("[a-z ]{0,5}", 0..3).prop_map(Value::from),
        ],
    ) {
        let mut cache: Value = serde_json::from_str(PYTHON).unwrap();
        let entries = cache[["Account", "IdToken", "AccessToken", "RefreshToken"][node]].as_object_mut().unwrap();
        let entries: Vec<_> = entries.values_mut().collect();
        let chosen = entry.index(entries.len());
        let fields = entries.into_iter().nth(chosen).unwrap().as_object_mut().unwrap();
        let chosen = field.index(fields.len());
        *fields.values_mut().nth(chosen).unwrap() = value;
        let cache = read(&cache.to_string());
        // At worst a user has lost the account entry, or an ID token that told which tenant a
        // domain is.
        prop_assert!(cache.sign_ins.len() >= 6 && cache.problems.len() <= 12, "{:?}", cache);
    }
}
