//! Of several tokens for one place the newest is kept, or none.

use super::*;

const UNDECIDED: &str =
    "there are several for its place, and which of them is the newest cannot be told";

/// A refresh token, written at this time if one is given, in an environment.
fn refresh(secret: &str, environment: &str, written: Option<u64>) -> Value {
    let written = written.map(|at| at.to_string());
    changed(
        whole("RefreshToken", USER),
        json!({"secret": secret, "environment": environment, "last_modification_time": written, "family_id": null, "expires_on": null}),
    )
}

/// An access token of its own place, cached at this time in an environment.
fn access(scope: &str, client: &str, environment: &str, cached_at: u64) -> Value {
    let changes = json!({"secret": scope, "target": scope, "client_id": client, "environment": environment,
        "cached_at": cached_at.to_string(), "user_assertion_hash": null});
    changed(whole("AccessToken", USER), changes)
}

/// Which of the refresh tokens are kept beside these access tokens, how many gave way to them, and
/// what is reported.
fn kept(refresh: [Value; 2], mut dates: Vec<Value>) -> (Vec<String>, usize, Vec<String>) {
    // One more, of another client, so that something is taken over in any case.
    dates.push(access("bystander", "bystander", PYTHONS, NOW));
    let node = |entries: &[Value]| {
        entries
            .iter()
            .enumerate()
            .map(|(n, entry)| (n.to_string(), entry.clone()))
            .collect::<serde_json::Map<_, _>>()
    };
    let mut found = None;
    // Their order in the file does not count.
    for refresh in
        [[refresh[0].clone(), refresh[1].clone()], [refresh[1].clone(), refresh[0].clone()]]
    {
        let cache = read_with_accounts(
            json!({"RefreshToken": node(&refresh), "AccessToken": node(&dates)}),
        );
        let mut tokens: Vec<String> =
            refresh_tokens(&cache).iter().map(|token| token.secret.expose().to_owned()).collect();
        tokens.sort();
        let replaced = cache.sign_ins.iter().map(|sign_in| sign_in.replaced).sum();
        let this = (tokens, replaced, problems(&cache));
        assert!(found.is_none() || found.as_ref() == Some(&this), "{found:?} {this:?}");
        found = Some(this);
    }
    found.unwrap()
}

fn only(secret: &str) -> (Vec<String>, usize, Vec<String>) {
    (vec![secret.into()], 1, vec![])
}

fn neither() -> (Vec<String>, usize, Vec<String>) {
    (
        vec![],
        0,
        vec![
            format!("RefreshToken entry 1: {UNDECIDED}"),
            format!("RefreshToken entry 2: {UNDECIDED}"),
        ],
    )
}

const PYTHONS: &str = "login.microsoftonline.com";
const NODES: &str = "login.windows.net";

#[test]
fn a_refresh_token_without_a_time_is_dated_by_its_access_tokens() {
    let old = || refresh("old", PYTHONS, Some(NOW - 500));
    let nodes = || refresh("nodes", NODES, None);
    // Node's is the newer one, and the older one.
    assert_eq!(kept([old(), nodes()], vec![access("a", "web", NODES, NOW - 100)]), only("nodes"));
    assert_eq!(kept([old(), nodes()], vec![access("a", "web", NODES, NOW - 900)]), only("old"));
    // The newest of the access tokens counts.
    let several = || {
        vec![
            access("a", "web", NODES, NOW - 900),
            access("b", "web", NODES, NOW - 100),
            access("c", "web", NODES, NOW - 800),
        ]
    };
    assert_eq!(kept([old(), nodes()], several()), only("nodes"));
    // Both without a time of their own.
    let both = || [refresh("pythons", PYTHONS, None), nodes()];
    assert_eq!(
        kept(
            both(),
            vec![access("a", "web", PYTHONS, NOW - 5), access("b", "web", NODES, NOW - 4)]
        ),
        only("nodes")
    );
    assert_eq!(
        kept(
            both(),
            vec![access("a", "web", PYTHONS, NOW - 3), access("b", "web", NODES, NOW - 4)]
        ),
        only("pythons")
    );
    // The environment's case is none of another.
    assert_eq!(
        kept(
            [old(), refresh("nodes", "LOGIN.windows.net", None)],
            vec![access("a", "web", NODES, NOW - 100)]
        ),
        only("nodes")
    );
    // Its own time comes first.
    assert_eq!(
        kept(
            [old(), refresh("nodes", NODES, Some(NOW - 600))],
            vec![access("a", "web", NODES, NOW)]
        ),
        only("old")
    );
}

#[test]
fn of_two_refresh_tokens_that_cannot_be_ordered_neither_is_kept() {
    let old = || refresh("old", PYTHONS, Some(NOW - 500));
    let nodes = || refresh("nodes", NODES, None);
    assert_eq!(kept([old(), nodes()], vec![]), neither());
    // By access tokens of another client, another name of the cloud, or without a time it is not
    // dated.
    assert_eq!(kept([old(), nodes()], vec![access("a", "other", NODES, NOW)]), neither());
    assert_eq!(kept([old(), nodes()], vec![access("a", "web", PYTHONS, NOW)]), neither());
    assert_eq!(
        kept(
            [old(), nodes()],
            vec![changed(
                access("a", "web", NODES, NOW),
                json!({"cached_at": null, "extended_expires_on": null})
            )]
        ),
        neither()
    );
    // Nor by those of another user.
    let mut other = access("a", "web", NODES, NOW);
    other["home_account_id"] = format!("99999999-0000-4000-8000-000000000009.{TENANT_A}").into();
    assert_eq!(kept([old(), nodes()], vec![other]), neither());
    // Of the same second, either may be the newer.
    assert_eq!(kept([old(), refresh("nodes", NODES, Some(NOW - 500))], vec![]), neither());
    assert_eq!(kept([old(), nodes()], vec![access("a", "web", NODES, NOW - 500)]), neither());
    // Both without any: it is no matter of which library wrote it.
    assert_eq!(
        kept([refresh("one", PYTHONS, None), nodes()], vec![access("a", "other", NODES, NOW)]),
        neither()
    );
}

#[test]
fn one_token_twice_is_no_doubt_and_one_alone_needs_no_time() {
    let old = || refresh("same", PYTHONS, Some(NOW - 500));
    assert_eq!(kept([old(), refresh("same", NODES, None)], vec![]), only("same"));
    assert_eq!(kept([old(), refresh("same", NODES, Some(NOW - 500))], vec![]), only("same"));
    let other_place = changed(refresh("other", NODES, None), json!({"client_id": "other"}));
    let (tokens, replaced, said) = kept([refresh("one", NODES, None), other_place], vec![]);
    assert_eq!((tokens, replaced, said), (vec!["one".into(), "other".into()], 0, vec![]));
    // A family has one place, whatever the client.
    let family = |client: &str, at| {
        changed(refresh(client, NODES, Some(at)), json!({"client_id": client, "family_id": "1"}))
    };
    assert_eq!(kept([family("one", NOW - 2), family("other", NOW - 1)], vec![]), only("other"));
}

#[test]
fn an_undated_third_leaves_none_but_a_copy_of_the_newest_does() {
    let all = |third: Value| {
        let (one, two) =
            (refresh("one", PYTHONS, Some(NOW - 2)), refresh("two", NODES, Some(NOW - 1)));
        read_with_accounts(
            json!({"RefreshToken": {"1": one, "2": two, "3": third}, "AccessToken": {"1": access("x", "x", NODES, NOW)}}),
        )
    };
    assert_eq!(
        (
            all(refresh("three", "sts.windows.net", None)).problems.len(),
            all(refresh("one", "sts.windows.net", None)).problems.len()
        ),
        (3, 3)
    );
    let cache = all(refresh("two", "sts.windows.net", None));
    assert_eq!(
        (problems(&cache), cache.sign_ins[0].replaced, refresh_tokens(&cache)[0].secret.expose()),
        (vec![], 2, "two")
    );
}

/// Access and ID tokens are ordered by when they were written too: one that came later may have
/// been given because the earlier was not to be used any more, though it expires first.
#[test]
fn of_two_access_or_id_tokens_the_later_written_is_kept() {
    let at = |secret: &str, environment: &str, cached_at: Option<u64>, expires_on: u64| {
        let changes = json!({"secret": secret, "environment": environment, "cached_at": cached_at, "expires_on": expires_on, "extended_expires_on": null});
        changed(whole("AccessToken", USER), changes)
    };
    let two = |one: &Value, other: &Value| {
        let cache = read_with_accounts(json!({"AccessToken": {"1": one, "2": other}}));
        (secrets(&cache).join(" "), problems(&cache))
    };
    let late = at("late", NODES, Some(NOW), NOW + 60);
    let early = at("early", PYTHONS, Some(NOW - 600), NOW + 3600);
    assert_eq!(
        (two(&late, &early), two(&early, &late)),
        (("late".into(), vec![]), ("late".into(), vec![]))
    );
    // As the user flows of B2C, and the letters of a GUID, are one place too.
    let spelled = changed(
        early.clone(),
        json!({"home_account_id": format!("{USER}-b2c_1_edit.{}", TENANT_A.to_uppercase())}),
    );
    assert_eq!(two(&late, &spelled), ("late".into(), vec![]));
    for undated in [at("x", PYTHONS, None, NOW + 90), at("x", PYTHONS, Some(NOW), NOW + 90)] {
        let (kept, said) = two(&late, &undated);
        assert!(
            kept.is_empty() && said.contains(&format!("AccessToken entry 1: {UNDECIDED}")),
            "{said:?}"
        );
    }

    let id = |environment: &str, claims: Value| {
        changed(
            whole("IdToken", USER),
            json!({"environment": environment, "secret": id_token(&claims)}),
        )
    };
    let sids = |one: &Value, other: &Value| {
        let cache = read_with_accounts(json!({"IdToken": {"1": one, "2": other}}));
        let tokens = cache.sign_ins.first().map_or(0, |sign_in| sign_in.tokens.len());
        (
            tokens,
            cache.sign_ins.first().and_then(|sign_in| {
                live(&sign_in.sign_in).session().map(|session| session.sid().to_owned())
            }),
        )
    };
    // By `iat`: `auth_time` is that of the session, and the same in all of it.
    let claims = |sid: &str, iat: u64| json!({"iss": "https://op", "sub": "s", "sid": sid, "auth_time": NOW - 900, "iat": iat});
    let (one, other) = (id(NODES, claims("new", NOW - 10)), id(PYTHONS, claims("old", NOW - 20)));
    assert_eq!(
        (sids(&one, &other), sids(&other, &one)),
        ((1, Some("new".into())), (1, Some("new".into())))
    );
    assert_eq!(sids(&one, &id(PYTHONS, json!({"iss": "https://op", "sub": "s"}))).0, 0);
}

#[test]
fn extended_expiry_is_the_smaller_reading_unless_the_writer_can_be_told() {
    let read = |changes: Value| {
        let cache = access_token_with(changes);
        (access_tokens(&cache)[0].extended_expires_at, problems(&cache))
    };
    // The token lives for an hour. Node writes an hour more than the provider said; of Python's an
    // hour is lost, or all.
    assert_eq!(read(json!({"extended_expires_on": NOW + 10_800})), (Some(at(NOW + 7200)), vec![]));
    assert_eq!(read(json!({"extended_expires_on": NOW + 7201})), (Some(at(NOW + 3601)), vec![]));
    for nothing in [NOW + 7200, NOW + 3600, NOW, 0] {
        assert_eq!(read(json!({"extended_expires_on": nothing})), (None, vec![]), "{nothing}");
    }
    // .NET writes it twice; in early versions under the older name alone.
    assert_eq!(
        read(json!({"extended_expires_on": NOW + 7200, "ext_expires_on": NOW + 7200})),
        (Some(at(NOW + 7200)), vec![])
    );
    assert_eq!(
        read(json!({"extended_expires_on": NOW + 7200, "ext_expires_on": NOW + 7000})),
        (Some(at(NOW + 7000)), vec![])
    );
    assert_eq!(
        read(json!({"extended_expires_on": null, "ext_expires_on": NOW + 7200})),
        (Some(at(NOW + 7200)), vec![])
    );
    // Without a time to count from.
    let (extended, said) = read(json!({"extended_expires_on": NOW + 10_800, "cached_at": null}));
    assert_eq!(
        (extended, said),
        (
            None,
            vec![
                "AccessToken entry 1: extended_expires_on: from when it counts cannot be told"
                    .into()
            ]
        )
    );
    // A token that was cached after it expired has no lifetime to take off.
    let late = json!({"extended_expires_on": NOW + 10_800, "cached_at": NOW + 4000});
    assert_eq!(read(late), (Some(at(NOW + 10_800)), vec![]));
}

/// The two samples tell of the same provider, which said that its tokens may be used for two hours.
#[test]
fn no_token_of_either_library_is_used_for_longer_than_its_provider_said() {
    for sample in [PYTHON, NODE] {
        let cache = read(sample);
        for token in access_tokens(&cache) {
            let cached_at: Value = serde_json::from_slice(&token.extra).unwrap();
            let cached_at: u64 = cached_at["cached_at"].as_str().unwrap().parse().unwrap();
            assert!(
                token.extended_expires_at.is_none_or(|extended| extended <= at(cached_at + 7200))
            );
        }
    }
}

#[test]
fn what_is_counted_is_what_is_stored() {
    for (sample, stored, replaced) in [(PYTHON, 25, 3), (NODE, 22, 0)] {
        let (machine, mut counted, mut given_way) = (Machine::new(), 0, 0);
        let open = || machine.builder().clock(ManualClock::new(at(NOW + 60)));
        let store = open().open().unwrap();
        let cache = read(sample);
        assert_eq!(problems(&cache), [""; 0]);
        for MsalSignIn { sign_in, tokens, replaced, .. } in cache.sign_ins {
            let given = tokens.len();
            let put = store.sign_in(sign_in).unwrap().put(tokens).unwrap();
            assert_eq!(put.stored, given);
            counted += put.stored;
            given_way += replaced;
        }
        assert_eq!((counted, given_way), (stored, replaced));
        let verified = store.verify().unwrap();
        assert_eq!(verified.tokens, stored as u64);
    }
}
