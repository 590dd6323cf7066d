//! Every verb, on every engine and backend: one suite, run on a pretended machine, on a folder with
//! sled, and on a place that instances share.

use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

/// A place to open stores at, one after another.
pub(super) trait Engine: 'static {
    /// Whether one process has it to itself; else instances share it.
    const IS_OF_ONE_PROCESS: bool = true;

    fn new() -> Self;
    fn builder(&self) -> Builder;
}

pub(super) struct Memory(Machine);
pub(super) struct Sled(tempfile::TempDir);
pub(super) struct Shared(SharedMachine);

impl Engine for Memory {
    fn new() -> Self {
        Self(Machine::new())
    }
    fn builder(&self) -> Builder {
        self.0.builder()
    }
}

impl Engine for Sled {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn builder(&self) -> Builder {
        TokenStore::builder(self.0.path().join("tokens")).key(KeySource::bytes([7; 32]))
    }
}

impl Engine for Shared {
    const IS_OF_ONE_PROCESS: bool = false;

    fn new() -> Self {
        Self(SharedMachine::new())
    }
    fn builder(&self) -> Builder {
        self.0.builder()
    }
}

/// The store of a place, and a clock that both share.
pub(super) struct EngineFixture<E> {
    pub(super) place: E,
    pub(super) clock: ManualClock,
    pub(super) store: TokenStore,
}

impl<E: Engine> EngineFixture<E> {
    pub(super) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(super) fn with(set: impl FnOnce(Builder) -> Builder) -> Self {
        let (place, clock) = (E::new(), ManualClock::new(now()));
        let store = set(place.builder().clock(clock.clone())).open().unwrap();
        Self { place, clock, store }
    }

    pub(super) fn reopen(self) -> Self {
        self.store.close().unwrap();
        let store = self.place.builder().clock(self.clock.clone()).open().unwrap();
        Self { store, ..self }
    }
}

macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {
        mod memory { $(#[test] fn $name() { super::$name::<crate::verbs::Memory>() })+ }
        mod sled { $(#[test] fn $name() { super::$name::<crate::verbs::Sled>() })+ }
        mod shared { $(#[test] fn $name() { super::$name::<crate::verbs::Shared>() })+ }
    };
}
pub(super) use on_every_engine;

on_every_engine!(
    what_is_put_is_read_also_after_a_restart,
    a_wanted_subset_finds_the_narrowest_superset,
    tokens_are_told_apart,
    expired_tokens_are_never_given,
    every_scope_ends_what_it_covers_and_nothing_else,
    a_cutoff_spares_newer_sign_ins,
    several_cutoffs_do_not_hide_each_other,
    a_session_takes_its_account_or_only_itself,
    nobody_there_is_recorded_all_the_same,
    joining_keeps_what_is_there,
    too_many_sign_ins_push_out_the_oldest,
    a_put_in_flight_fails_after_the_sign_out,
    a_guests_token_dies_with_its_own_tenant,
    refresh_tokens_are_taken,
    listings_show_the_living,
    sign_ins_end_at_their_greatest_age,
    large_tokens_come_back_whole,
    a_put_is_all_or_nothing,
    bad_input_names_the_field,
    the_sweep_deletes_what_expired,
    reclaim_leaves_no_row_behind,
    a_closed_store_refuses_every_verb,
    apps_have_tokens_of_their_own,
    on_behalf_of_tokens_die_with_the_user,
    a_token_is_found_by_what_an_app_keeps_of_a_sign_in,
);

fn what_is_put_is_read_also_after_a_restart<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1).session(session(1)).subject(subject(1))).unwrap();
    let mut access = access("a b", "at-1");
    access.extra = b"extra".to_vec();
    access.refresh_at = Some(now() + Duration::from_secs(600));
    access.resource = Some("https://api.example.com".into());
    let mut id = IdToken::new(client(), "id-1");
    id.extra = vec![0, 255];
    let refresh =
        RefreshToken { expires_at: Some(now() + Duration::from_secs(9000)), ..refresh("rt-1") };
    let all: [Token; 3] = [access.clone().into(), refresh.clone().into(), id.clone().into()];
    assert_eq!(live.put(all).unwrap(), stored(3));
    let check = |live: &LiveSignIn| {
        let wanted = query("b").resource("https://api.example.com");
        assert_eq!(live.access_token(&wanted).unwrap(), Some(access.clone()));
        assert_eq!(live.refresh_token(&client()).unwrap(), Some(refresh.clone()));
        assert_eq!(live.id_token(&client()).unwrap(), Some(id.clone()));
        assert_eq!((live.session(), live.subject()), (Some(&session(1)), Some(&subject(1))));
        assert_eq!(
            (live.account(), live.tenant(), live.signed_in_at()),
            (&account(1), &tenant(1), now())
        );
    };
    check(&live);
    let at = at.reopen();
    let again = at.store.account(&account(1)).unwrap();
    assert_eq!(again, std::slice::from_ref(&live));
    check(&again[0]);
    assert!(
        matches!(live.access_token(&query("b")), Err(Error::Closed)),
        "handles end with their store"
    );
}

fn a_wanted_subset_finds_the_narrowest_superset<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let hours = |h: u64| now() + Duration::from_secs(3600 * h);
    for (scopes, secret, hours) in
        [("a b c d", "wide", hours(9)), ("a b c", "narrow", hours(2)), ("a b C", "short", hours(1))]
    {
        live.put(AccessToken { expires_at: Some(hours), ..access(scopes, secret) }).unwrap();
    }
    let found = |wanted: &str| {
        live.access_token(&query(wanted)).unwrap().map(|token| token.secret.expose().to_owned())
    };
    assert_eq!(found("b a").as_deref(), Some("narrow"));
    assert_eq!(found("a b C").as_deref(), Some("short"), "scopes are case-sensitive");
    assert_eq!(found("").as_deref(), Some("narrow"));
    assert_eq!(found("a e"), None);
    at.clock.advance(Duration::from_secs(3600 * 2));
    assert_eq!(found("b a").as_deref(), Some("wide"), "the narrowest that has not expired");
    assert_eq!(
        found("a b c").as_deref(),
        Some("wide"),
        "an expired exact match does not hide a wider one"
    );
}

fn tokens_are_told_apart<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let other = ClientId::new("other").unwrap();
    let variants = [
        access("a", "plain"),
        AccessToken { client_id: other.clone(), ..access("a", "client") },
        AccessToken { tenant: Some(tenant(2)), ..access("a", "tenant") },
        AccessToken { resource: Some("r".into()), ..access("a", "resource") },
        AccessToken { token_type: "DPoP".into(), ..access("a", "type") },
        AccessToken { partition: Partition::on_behalf_of("x"), ..access("a", "obo") },
    ];
    live.put(variants.clone().map(Token::from)).unwrap();
    let found = |wanted: AccessQuery| {
        live.access_token(&wanted).unwrap().unwrap().secret.expose().to_owned()
    };
    assert_eq!(found(query("a")), "plain");
    assert_eq!(found(AccessQuery::new(other).scopes(scopes("a"))), "client");
    assert_eq!(found(query("a").tenant(tenant(2))), "tenant");
    assert_eq!(found(query("a").resource("r")), "resource");
    assert_eq!(found(query("a").token_type("dpop")), "type");
    assert_eq!(found(query("a").partition(Partition::on_behalf_of("x"))), "obo");
    live.put(access("a", "newer")).unwrap();
    assert_eq!(found(query("a")), "newer");

    let family = RefreshToken { family_id: Some("1".into()), ..refresh("rt-family") };
    live.put([refresh("rt-own").into(), family.into()]).unwrap();
    let rt = |wanted: RefreshQuery| {
        live.refresh_token(wanted).unwrap().unwrap().secret.expose().to_owned()
    };
    assert_eq!(rt(RefreshQuery::client(client())), "rt-own");
    assert_eq!(rt(RefreshQuery::family("1")), "rt-family");
    assert_eq!(live.refresh_token(RefreshQuery::family("2")).unwrap(), None);
}

fn expired_tokens_are_never_given<E: Engine>() {
    let at = EngineFixture::<E>::with(|builder| builder.skew(Duration::from_secs(10)));
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let end = now() + Duration::from_secs(100);
    live.put([
        AccessToken {
            expires_at: Some(end),
            extended_expires_at: Some(end + Duration::from_secs(100)),
            ..access("a", "at")
        }
        .into(),
        RefreshToken { expires_at: Some(end), ..refresh("rt") }.into(),
    ])
    .unwrap();
    let found = || {
        let extended = live.access_token(&query("a").even_if_expired()).unwrap().is_some();
        let plain = live.access_token(&query("a")).unwrap().is_some();
        (plain, extended, live.refresh_token(&client()).unwrap().is_some())
    };
    at.clock.advance(Duration::from_millis(89_999));
    assert_eq!(found(), (true, true, true));
    at.clock.advance(Duration::from_millis(1));
    assert_eq!(found(), (false, true, false));
    at.clock.advance(Duration::from_secs(109));
    assert_eq!(found(), (false, true, false));
    at.clock.advance(Duration::from_secs(1));
    assert_eq!(found(), (false, false, false));
    at.clock.set(now());
    assert_eq!(found(), (false, false, false), "time does not run backwards");
}

fn every_scope_ends_what_it_covers_and_nothing_else<E: Engine>() {
    let only_session = SignOut::session(&session(1)).policy(SessionPolicy::OnlySession);
    let scopes: [(SignOut, &[usize]); 9] = [
        (SignOut::account(&account(1)), &[0, 1]),
        (only_session.clone(), &[0]),
        (only_session.and(SignOutScope::Subject(subject(1))), &[0, 2]),
        (SignOut::session(&session(2)).and(SignOutScope::Tenant(tenant(3))), &[0, 1, 3]),
        (SignOut::session(&session(7)).and(SignOutScope::Subject(subject(7))), &[]),
        (SignOut::subject(&subject(1)), &[0, 2]),
        (SignOut::subject(&subject(1)).policy(SessionPolicy::WholeAccount), &[0, 1, 2]),
        (SignOut::tenant(&tenant(1)), &[0, 1]),
        (SignOut::everybody(), &[0, 1, 2, 3]),
    ];
    for (sign_out, ended) in scopes {
        let at = EngineFixture::<E>::new();
        let lives = [
            sign_in(1).session(session(1)).subject(subject(1)),
            sign_in(1).session(session(2)),
            SignIn::new(account(2), tenant(2)).subject(subject(1)),
            SignIn::new(account(3), tenant(3)).session(SessionId::new("other", "s1").unwrap()),
        ]
        .map(|sign_in| at.store.sign_in(sign_in).unwrap());
        for live in &lives {
            live.put([access("a", "at").into(), refresh("rt").into()]).unwrap();
        }
        at.store.sign_out(sign_out.clone()).unwrap();
        let expect = |lives: &[LiveSignIn], when: &str| {
            for (number, live) in lives.iter().enumerate() {
                let (gone, what) =
                    (ended.contains(&number), format!("{sign_out:?} {number} {when}"));
                assert_eq!(live.is_live().unwrap(), !gone, "{what}");
                assert_eq!(live.access_token(&query("a")).unwrap().is_none(), gone, "{what}");
                assert_eq!(live.refresh_token(&client()).unwrap().is_none(), gone, "{what}");
                let put = live.put(access("b", "late"));
                assert!(
                    if gone { matches!(put, Err(Error::SignedOut)) } else { put.is_ok() },
                    "{what}"
                );
            }
        };
        expect(&lives, "at once");
        at.store.wait_reclaimed().unwrap();
        expect(&lives, "after reclaim");
        let at = at.reopen();
        let left: usize = (1..=3).map(|n| at.store.account(&account(n)).unwrap().len()).sum();
        assert_eq!(left, 4 - ended.len(), "{sign_out:?}");
    }
}

fn a_cutoff_spares_newer_sign_ins<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let old = at.store.sign_in(sign_in(1)).unwrap();
    at.clock.advance(Duration::from_millis(1));
    let new = at.store.sign_in(sign_in(1)).unwrap();
    at.store.sign_out(SignOut::account(&account(1)).signed_in_before(now())).unwrap();
    assert_eq!((old.is_live().unwrap(), new.is_live().unwrap()), (false, true));
    let last = at.store.last_sign_out(&SignOutScope::Account(account(1))).unwrap().exact.unwrap();
    assert_eq!(last.signed_in_before, Some(now()));
}

fn several_cutoffs_do_not_hide_each_other<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let minute = Duration::from_secs(60);
    let lives = [0, 1, 2, 3].map(|_| {
        at.clock.advance(minute);
        at.store.sign_in(sign_in(1)).unwrap()
    });
    at.store.sign_out(SignOut::account(&account(1)).signed_in_before(now() + 2 * minute)).unwrap();
    // Joins after the first fence, dated back before its cutoff: only the second, earlier cutoff
    // covers it.
    let late = at.store.sign_in(sign_in(1).signed_in_at(now() + minute)).unwrap();
    assert!(late.is_live().unwrap());
    at.store.sign_out(SignOut::account(&account(1)).signed_in_before(now() + minute)).unwrap();
    let check = |store: &TokenStore| {
        let live = lives.each_ref().map(|live| store.account(&account(1)).unwrap().contains(live));
        assert_eq!(
            (live, store.account(&account(1)).unwrap().contains(&late)),
            ([false, false, true, true], false)
        );
    };
    check(&at.store);
    let at = at.reopen();
    check(&at.store);
}

fn a_session_takes_its_account_or_only_itself<E: Engine>() {
    for (policy, left) in [(SessionPolicy::WholeAccount, 0), (SessionPolicy::OnlySession, 1)] {
        let at = EngineFixture::<E>::with(|builder| builder.session_policy(policy));
        let one = at.store.sign_in(sign_in(1).session(session(1))).unwrap();
        let other = at.store.sign_in(sign_in(1).session(session(2))).unwrap();
        let stranger = at.store.sign_in(sign_in(2)).unwrap();
        at.store.sign_out(SignOut::session(&session(1))).unwrap();
        assert_eq!((one.is_live().unwrap(), other.is_live().unwrap()), (false, left == 1));
        assert!(stranger.is_live().unwrap());
        let recorded =
            at.store.last_sign_out(&SignOutScope::Account(account(1))).unwrap().exact.is_some();
        assert_eq!(recorded, left == 0, "the account's end is recorded under the account too");
        let at = at.reopen();
        assert_eq!(at.store.account(&account(1)).unwrap().len(), left);
    }
}

fn nobody_there_is_recorded_all_the_same<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let scopes = [
        SignOutScope::Account(account(1)),
        SignOutScope::Session(session(1)),
        SignOutScope::Subject(subject(1)),
        SignOutScope::Tenant(tenant(1)),
        SignOutScope::Everybody,
    ];
    // (Of a store in one process, position 1 is the opening's.)
    let first = if E::IS_OF_ONE_PROCESS { 2 } else { 1 };
    for (number, scope) in (first..).zip(&scopes) {
        assert_eq!(at.store.last_sign_out(scope).unwrap().exact, None);
        let receipt = at.store.sign_out(SignOut::of(scope.clone())).unwrap();
        assert_eq!((receipt.position, receipt.at), (number, now()));
    }
    let at = at.reopen();
    for (number, scope) in (first..).zip(&scopes) {
        let last = at.store.last_sign_out(scope).unwrap();
        let record = last.exact.unwrap();
        assert_eq!((record.position, record.at, record.signed_in_before), (number, now(), None));
        assert_eq!(last.known_since, now());
    }
}

fn joining_keeps_what_is_there<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let first = at.store.sign_in(sign_in(1)).unwrap();
    first.put([access("a", "first").into(), refresh("rt-first").into()]).unwrap();
    let second = at.store.sign_in(sign_in(1)).unwrap();
    second.put(access("a", "second")).unwrap();
    let secret = |live: &LiveSignIn| {
        live.access_token(&query("a")).unwrap().unwrap().secret.expose().to_owned()
    };
    assert_eq!((secret(&first), secret(&second)), ("first".into(), "second".into()));
    assert_eq!(second.refresh_token(&client()).unwrap(), None, "a sign-in has its own tokens");
    assert_eq!(at.store.account(&account(1)).unwrap(), [second, first]);
}

fn too_many_sign_ins_push_out_the_oldest<E: Engine>() {
    let at = EngineFixture::<E>::with(|builder| builder.max_sign_ins(3));
    let lives = [1, 2, 3, 4].map(|_| {
        let live = at.store.sign_in(sign_in(1)).unwrap();
        live.put(access("a", "at")).unwrap();
        live
    });
    assert!(matches!(lives[0].put(access("b", "late")), Err(Error::SignedOut)));
    assert_eq!(
        lives.each_ref().map(|live| live.access_token(&query("a")).unwrap().is_some()),
        [false, true, true, true]
    );
    at.store.wait_reclaimed().unwrap();
    let at = at.reopen();
    assert_eq!(
        at.store.account(&account(1)).unwrap(),
        [lives[3].clone(), lives[2].clone(), lives[1].clone()]
    );
}

fn a_put_in_flight_fails_after_the_sign_out<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    live.put(refresh("rt-1")).unwrap();
    at.store.sign_out(SignOut::account(&account(1))).unwrap();
    let newer = at.store.sign_in(sign_in(1)).unwrap();
    // The refresh that began before comes back now, while the user has signed in again.
    assert!(matches!(
        live.put([access("a", "late").into(), refresh("rt-2").into()]),
        Err(Error::SignedOut)
    ));
    assert_eq!(newer.access_token(&query("a")).unwrap(), None);
    assert_eq!(newer.refresh_token(&client()).unwrap(), None);
    newer.put(access("a", "new")).unwrap();
    at.store.wait_reclaimed().unwrap();
    assert!(newer.access_token(&query("a")).unwrap().is_some(), "reclaim keeps what is new");
}

fn a_guests_token_dies_with_its_own_tenant<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let guest = || AccessToken { tenant: Some(tenant(2)), ..access("a", "guest") };
    live.put([access("a", "home").into(), guest().into()]).unwrap();
    let found = |live: &LiveSignIn| {
        let guest = live.access_token(&query("a").tenant(tenant(2))).unwrap().is_some();
        (live.access_token(&query("a")).unwrap().is_some(), guest)
    };
    assert_eq!(found(&live), (true, true));
    at.store.sign_out(SignOut::tenant(&tenant(2))).unwrap();
    assert_eq!(found(&live), (true, false));
    let result = live.put([guest().into(), refresh("rt").into()]).unwrap();
    assert_eq!((result.stored, result.refused), (1, vec![0]));
    at.store.wait_reclaimed().unwrap();
    assert_eq!(found(&live), (true, false));
    let again = at.store.sign_in(sign_in(1)).unwrap();
    again.put(guest()).unwrap();
    assert_eq!(
        found(&again),
        (false, true),
        "a newer sign-in may hold tokens of that tenant again"
    );
}

fn refresh_tokens_are_taken<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let secrets = |receipt: Receipt| {
        assert!(!receipt.refresh_tokens_missed);
        let mut all: Vec<String> =
            receipt.refresh_tokens.iter().map(|token| token.secret.expose().to_owned()).collect();
        all.sort();
        all
    };
    let fill = || {
        let one = at.store.sign_in(sign_in(1).session(session(1)).subject(subject(1))).unwrap();
        one.put([refresh("rt-1").into(), access("a", "at").into()]).unwrap();
        at.store.sign_in(sign_in(1)).unwrap().put(refresh("rt-2")).unwrap();
    };
    fill();
    let whole = SignOut::account(&account(1)).taking_refresh_tokens();
    assert_eq!(secrets(at.store.sign_out(whole.clone()).unwrap()), ["rt-1", "rt-2"]);
    at.store.wait_reclaimed().unwrap();
    assert_eq!(secrets(at.store.sign_out(whole).unwrap()), [""; 0]);
    fill();
    assert_eq!(
        secrets(at.store.sign_out(SignOut::subject(&subject(1)).taking_refresh_tokens()).unwrap()),
        ["rt-1"]
    );
    at.store.sign_out(SignOut::everybody()).unwrap();
    at.store.wait_reclaimed().unwrap();
    fill();
    assert_eq!(
        secrets(at.store.sign_out(SignOut::session(&session(1)).taking_refresh_tokens()).unwrap()),
        ["rt-1", "rt-2"]
    );
    at.store.wait_reclaimed().unwrap();
    fill();
    // Whose session nobody knows, the subject finds.
    let both = SignOut::session(&session(7))
        .and(SignOutScope::Subject(subject(1)))
        .taking_refresh_tokens();
    let receipt = at.store.sign_out(both).unwrap();
    assert_eq!(receipt.accounts, Some(0));
    assert_eq!(secrets(receipt), ["rt-1"]);
    for bad in
        [SignOut::everybody(), SignOut::account(&account(1)).and(SignOutScope::Tenant(tenant(1)))]
    {
        assert!(matches!(
            at.store.sign_out(bad.taking_refresh_tokens()),
            Err(Error::InvalidInput { .. })
        ));
    }
}

fn listings_show_the_living<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let email = Alias::new(AliasKind::Email, "User@Example.com").unwrap();
    for number in 0..20 {
        let sign_in = SignIn::new(account(number), tenant(number % 2))
            .session(session(number / 2))
            .subject(subject(number));
        at.store.sign_in(if number == 4 { sign_in.alias(email.clone()) } else { sign_in }).unwrap();
    }
    let guest = AccessToken { tenant: Some(tenant(0)), ..access("a", "at") };
    at.store.account(&account(5)).unwrap()[0].put(guest).unwrap();
    at.store.sign_out(SignOut::account(&account(2))).unwrap();
    let check = |store: &TokenStore| {
        let listed = |list: &dyn Fn(Page) -> Result<Accounts>| {
            let (mut all, mut page) = (Vec::new(), Some(Page::first(3)));
            while let Some(next) = page {
                let found = list(next).unwrap();
                assert!(found.accounts.len() <= 3);
                all.extend(found.accounts.into_iter().map(|account| account.id));
                page = found.next;
            }
            let mut numbers: Vec<u32> = (0..20).filter(|n| all.contains(&account(*n))).collect();
            assert_eq!(numbers.len(), all.len(), "no account twice");
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(
            listed(&|page| store.accounts(page)),
            (0..20).filter(|n| *n != 2).collect::<Vec<_>>()
        );
        assert_eq!(
            listed(&|page| store.accounts_in(&tenant(0), page)),
            [0, 4, 5, 6, 8, 10, 12, 14, 16, 18]
        );
        let ids = |accounts: Vec<Account>| {
            accounts.into_iter().map(|account| account.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(store.accounts_of_session(&session(1)).unwrap()), [account(3)]);
        assert_eq!(ids(store.accounts_of_subject(&subject(7)).unwrap()), [account(7)]);
        assert_eq!(ids(store.accounts_of_subject(&subject(2)).unwrap()), []);
        assert_eq!(ids(store.accounts_of_alias(&email).unwrap()), [account(4)]);
    };
    check(&at.store);
    let at = at.reopen();
    check(&at.store);
}

fn sign_ins_end_at_their_greatest_age<E: Engine>() {
    let age = Duration::from_secs(1000);
    let at = EngineFixture::<E>::with(|builder| builder.max_sign_in_age(age));
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let forever = now() + Duration::from_secs(1_000_000);
    live.put(AccessToken { expires_at: Some(forever), ..access("a", "at") }).unwrap();
    at.clock.advance(age - Duration::from_millis(1));
    assert!(live.access_token(&query("a")).unwrap().is_some());
    at.clock.advance(Duration::from_millis(1));
    assert!(live.access_token(&query("a")).unwrap().is_none());
    assert!(matches!(live.put(refresh("rt")), Err(Error::SignedOut)));
    assert!(at.store.account(&account(1)).unwrap().is_empty());
    assert!(matches!(
        at.store.sign_in(sign_in(1).signed_in_at(now())),
        Err(Error::InvalidInput { .. })
    ));
    assert!(at.store.sweep(1000).unwrap().dead_rows == 4);
}

fn large_tokens_come_back_whole<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let large = |byte: char, len| byte.to_string().repeat(len);
    for (byte, len) in [
        ('a', MAX_TOKEN_BYTES),
        ('b', 7000),
        ('c', 5),
        ('d', 20_000),
        ('e', 6000),
        ('f', MAX_TOKEN_BYTES),
    ] {
        let mut token = access("a", &large(byte, len));
        token.extra = vec![byte as u8; if len == MAX_TOKEN_BYTES { MAX_EXTRA_BYTES } else { 0 }];
        live.put(token.clone()).unwrap();
        assert_eq!(live.access_token(&query("a")).unwrap(), Some(token));
    }
    // Two for the same place in one call: the later counts, and no part of the other is left.
    live.put([access("a", &large('x', 30_000)).into(), access("a", "y").into()]).unwrap();
    let at = at.reopen();
    let live = at.store.account(&account(1)).unwrap().remove(0);
    assert_eq!(live.access_token(&query("a")).unwrap().unwrap().secret.expose(), "y");
    let too_long = live.put(access("a", &large('a', MAX_TOKEN_BYTES + 1)));
    assert!(matches!(too_long, Err(Error::InvalidInput { field: "token", .. })));
}

fn a_put_is_all_or_nothing<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let bad = RefreshToken { family_id: Some(String::new()), ..refresh("rt") };
    assert!(matches!(
        live.put([access("a", "at").into(), bad.into()]),
        Err(Error::InvalidInput { field: "family id", .. })
    ));
    assert_eq!(live.access_token(&query("a")).unwrap(), None);
    assert_eq!(live.put(Vec::<Token>::new()).unwrap(), stored(0));
}

fn bad_input_names_the_field<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let field = |result: Result<PutOutcome>| match result {
        Err(Error::InvalidInput { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(live.put(access("a", ""))), "token");
    assert_eq!(field(live.put(access("a", "line\nbreak"))), "token");
    assert_eq!(
        field(live.put(AccessToken { token_type: String::new(), ..access("a", "t") })),
        "token type"
    );
    assert_eq!(
        field(live.put(AccessToken { resource: Some("x".repeat(1025)), ..access("a", "t") })),
        "resource"
    );
    assert_eq!(
        field(live.put(AccessToken { extra: vec![0; MAX_EXTRA_BYTES + 1], ..access("a", "t") })),
        "extra"
    );
    let alias = Alias::new(AliasKind::Opaque, "x").unwrap();
    let many = (0..=MAX_ALIASES).fold(sign_in(1), |sign_in, _| sign_in.alias(alias.clone()));
    assert!(matches!(at.store.sign_in(many), Err(Error::InvalidInput { field: "alias", .. })));
    let long = |c: &str| Alias::new(AliasKind::Opaque, c.repeat(MAX_ID_BYTES)).unwrap();
    let long = ["a", "b", "c", "d", "e", "f", "g"]
        .iter()
        .fold(sign_in(1), |sign_in, c| sign_in.alias(long(c)));
    assert!(matches!(at.store.sign_in(long), Err(Error::InvalidInput { field: "sign-in", .. })));
}

fn the_sweep_deletes_what_expired<E: Engine>() {
    let at = EngineFixture::<E>::new();
    for number in 0..10 {
        let live = at.store.sign_in(SignIn::new(account(number), tenant(1))).unwrap();
        live.put([
            access("a", &"x".repeat(9000)).into(),
            access("b", "y").into(),
            refresh("rt").into(),
        ])
        .unwrap();
    }
    assert_eq!(at.store.sweep(1000).unwrap().expired_tokens, 0);
    at.clock.advance(Duration::from_secs(4000));
    let (mut swept, mut rounds) = (0, 0);
    loop {
        let report = at.store.sweep(4).unwrap();
        assert!(report.accounts <= 4);
        (swept, rounds) = (swept + report.expired_tokens, rounds + 1);
        if report.finished {
            break;
        }
    }
    assert_eq!((swept, rounds > 2), (20, true));
    assert_eq!(at.store.sweep(1000).unwrap().expired_tokens, 0);
    assert!(at.store.account(&account(3)).unwrap()[0].refresh_token(&client()).unwrap().is_some());
}

fn reclaim_leaves_no_row_behind<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1).session(session(1)).subject(subject(1))).unwrap();
    let many: Vec<Token> = (0..400).map(|n| access(&format!("s{n}"), "at").into()).collect();
    live.put(many).unwrap();
    let other = at.store.sign_in(sign_in(2)).unwrap();
    other.put(access("a", "at")).unwrap();
    at.store.sign_out(SignOut::account(&account(1))).unwrap();
    let reclaimed = at.store.wait_reclaimed().unwrap();
    assert_eq!((reclaimed.accounts, reclaimed.rows), (1, 400 + 2 + 3));
    assert_eq!(at.store.stats().unwrap().backlog, 0);
    let swept = at.store.sweep(1000).unwrap();
    assert_eq!((swept.dead_rows, swept.accounts, swept.finished), (0, 1, true));
    assert!(other.access_token(&query("a")).unwrap().is_some());
}

fn a_token_is_found_by_what_an_app_keeps_of_a_sign_in<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let (first, second) =
        (at.store.sign_in(sign_in(1)).unwrap(), at.store.sign_in(sign_in(1)).unwrap());
    first.put(access("a b", "of the first")).unwrap();
    second.put(access("a", "of the second")).unwrap();
    let read = |number, live: &LiveSignIn, scope| {
        let found = at.store.access_token(&account(number), live.id(), &query(scope)).unwrap();
        assert!(number != 1 || found == live.access_token(&query(scope)).unwrap());
        found.map(|token| token.secret.expose().to_owned())
    };
    // By its exact scopes, and by some of them.
    assert_eq!(read(1, &first, "a b").as_deref(), Some("of the first"));
    assert_eq!(read(1, &first, "b").as_deref(), Some("of the first"));
    assert_eq!(read(1, &second, "a").as_deref(), Some("of the second"));
    assert_eq!((read(1, &second, "b"), read(2, &first, "a")), (None, None));
    let nobody = at.store.access_token(&account(1), [0; 16], &query("a")).unwrap();
    assert_eq!(nobody, None);
    at.clock.advance(Duration::from_secs(3600));
    assert_eq!(read(1, &first, "a b"), None, "it has expired");
    first.put(AccessToken { expires_at: None, ..access("a", "new") }).unwrap();
    assert_eq!(read(1, &first, "a").as_deref(), Some("new"));
    at.store.sign_out(SignOut::tenant(&tenant(1))).unwrap();
    assert_eq!(read(1, &first, "a"), None);
}

fn a_closed_store_refuses_every_verb<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let clone = at.store.clone();
    match at.place.builder().open() {
        Err(Error::AlreadyOpen { pid: Some(pid), in_this_process: true, .. }) => {
            assert_eq!(pid, std::process::id());
        }
        Ok(_) => assert!(!E::IS_OF_ONE_PROCESS),
        Err(other) => panic!("{other:?}"),
    }
    at.store.close().unwrap();
    let closed = |result: Result<()>| assert!(matches!(result, Err(Error::Closed)), "{result:?}");
    closed(live.put(refresh("rt")).map(drop));
    closed(live.refresh_token(&client()).map(drop));
    closed(live.is_live().map(drop));
    closed(clone.sign_in(sign_in(1)).map(drop));
    closed(clone.sign_out(SignOut::everybody()).map(drop));
    closed(clone.account(&account(1)).map(drop));
    closed(clone.access_token(&account(1), live.id(), &query("a")).map(drop));
    closed(clone.last_sign_out(&SignOutScope::Everybody).map(drop));
    closed(clone.sweep(1).map(drop));
    closed(clone.wait_reclaimed().map(drop));
    closed(clone.stats().map(drop));
    closed(clone.clone().close());
    let again = at.place.builder().clock(at.clock.clone()).open().unwrap();
    assert_eq!(again.account(&account(1)).unwrap().len(), 1);
}

fn apps_have_tokens_of_their_own<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let app = AccountId::app(tenant(1), client());
    let live = at.store.sign_in(SignIn::new(app.clone(), tenant(1))).unwrap();
    live.put(access("api/.default", "app-token")).unwrap();
    let user = at.store.sign_in(sign_in(1)).unwrap();
    assert_eq!(user.access_token(&query("api/.default")).unwrap(), None);
    assert_eq!(
        at.store.account(&app).unwrap()[0].account().as_app(),
        Some((&tenant(1), &client()))
    );
    at.store.sign_out(SignOut::account(&account(1))).unwrap();
    assert!(live.access_token(&query("api/.default")).unwrap().is_some());
    at.store.sign_out(SignOut::tenant(&tenant(1))).unwrap();
    assert_eq!(live.access_token(&query("api/.default")).unwrap(), None);
}

fn on_behalf_of_tokens_die_with_the_user<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let partition = Partition::on_behalf_of("assertion");
    live.put(AccessToken { partition: partition.clone(), ..access("a", "obo") }).unwrap();
    assert!(live.access_token(&query("a").partition(partition.clone())).unwrap().is_some());
    assert_eq!(
        live.access_token(&query("a").partition(Partition::on_behalf_of("other"))).unwrap(),
        None
    );
    at.store.sign_out(SignOut::account(&account(1))).unwrap();
    assert_eq!(live.access_token(&query("a").partition(partition)).unwrap(), None);
}
