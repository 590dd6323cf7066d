//! Nothing comes back: not by a late save, not by another id, not after a restart or a power cut.

use oubliette_tower_sessions::bound;

use super::*;

/// Every way in which account 1's sign-in of session 1 ends.
fn ends() -> Vec<SignOut> {
    vec![
        SignOut::account(&account(1)),
        SignOut::session(&session(1)),
        SignOut::session(&session(1)).policy(SessionPolicy::OnlySession),
        SignOut::subject(&subject(1)),
        SignOut::tenant(&tenant(1)),
        SignOut::everybody(),
    ]
}

fn full(number: u32) -> SignIn {
    sign_in(number).session(session(number)).subject(subject(number))
}

#[tokio::test]
async fn a_sign_out_of_any_scope_ends_the_web_session_and_a_late_save_stores_nothing() {
    for end in ends() {
        let site = WebFixture::new();
        let live = site.store.sign_in(full(1)).unwrap();
        let other = site.store.sign_in(full(2)).unwrap();
        let (bound, others) = (binding(&site.web, &live).await, binding(&site.web, &other).await);
        let (mine, hers) =
            (site.create(Some(&bound), "mine").await, site.create(Some(&others), "hers").await);
        let of_nobody = site.create(None, "nobody's").await;
        let is_everybody = format!("{end:?}") == format!("{:?}", SignOut::everybody());
        site.store.sign_out(end).unwrap();
        let check = async |site: &WebFixture, when: &str| {
            assert_eq!(site.load(mine.id).await, None, "{when}");
            let lives = if is_everybody { None } else { Some(()) };
            assert_eq!(site.load(hers.id).await.map(drop), lives, "{when}");
            assert_eq!(site.load(of_nobody.id).await.map(drop), lives, "{when}");
        };
        check(&site, "at once").await;
        let unbound = record(None, "mine");
        let late = async |site: &WebFixture| {
            // With its binding, and after the app cleared it; both, and also as a new one under its
            // own id.
            for late in [mine.clone(), only(mine.id, &unbound)] {
                site.web.save(&late).await.unwrap();
            }
            let mut again = mine.clone();
            site.web.create(&mut again).await.unwrap();
            assert_eq!(site.load(again.id).await, None);
            if is_everybody {
                site.web.save(&of_nobody).await.unwrap();
            }
        };
        late(&site).await;
        check(&site, "after a late save").await;
        site.store.wait_reclaimed().unwrap();
        check(&site, "after reclaim").await;
        assert_eq!(
            site.rows(),
            if is_everybody { 0 } else { 3 },
            "rows go with the sign-in's, without a sweep"
        );
        late(&site).await;
        check(&site, "late once more").await;
        let site = site.again(|machine| machine.kill_process(1));
        check(&site, "after a kill").await;
        late(&site).await;
        let site = site.again(|machine| machine.cut_power(2));
        assert_eq!(site.load(mine.id).await, None);
        late(&site).await;
        assert_eq!(site.load(mine.id).await, None);
        // Signed in again: another sign-in.
        site.store.sign_in(full(1)).unwrap();
        late(&site).await;
        assert_eq!(site.load(mine.id).await, None);
    }
}

#[tokio::test]
async fn an_older_engine_gives_back_nothing_that_was_signed_out() {
    let site = WebFixture::new();
    let live = site.store.sign_in(full(1)).unwrap();
    let bound = binding(&site.web, &live).await;
    let (mine, of_nobody) =
        (site.create(Some(&bound), "mine").await, site.create(None, "nobody's").await);
    let before = site.machine.rows();
    site.store.sign_out(SignOut::everybody()).unwrap();
    site.store.wait_reclaimed().unwrap();
    site.machine.set_rows(before);
    assert_eq!((site.load(mine.id).await, site.load(of_nobody.id).await), (None, None));
    let site = site.again(|machine| machine.cut_power(1));
    assert_eq!((site.load(mine.id).await, site.load(of_nobody.id).await), (None, None));
    site.web.save(&mine).await.unwrap();
    site.web.save(&of_nobody).await.unwrap();
    assert_eq!((site.load(mine.id).await, site.load(of_nobody.id).await), (None, None));
}

#[tokio::test]
async fn a_late_save_after_a_delete_stores_nothing_and_a_delete_survives_a_power_cut() {
    for is_bound in [false, true] {
        let mut site = WebFixture::new();
        let live = site.store.sign_in(full(1)).unwrap();
        let bound = binding(&site.web, &live).await;
        for seed in 0..8 {
            let made = site.create(is_bound.then_some(&bound), "one").await;
            site.web.save(&made).await.unwrap();
            site.web.delete(&made.id).await.unwrap();
            site = site.again(|machine| machine.cut_power(seed));
            assert_eq!(site.load(made.id).await, None);
            site.web.save(&made).await.unwrap();
            assert_eq!((site.load(made.id).await, site.rows()), (None, 0));
        }
    }
}

#[tokio::test]
async fn a_late_save_of_a_request_from_before_the_login_does_not_free_the_session() {
    let site = WebFixture::new();
    let live = site.store.sign_in(full(1)).unwrap();
    let bound = binding(&site.web, &live).await;
    let made = site.create(Some(&bound), "one").await;
    // It has no binding, and stays where it is: its place says whose it is, at the next load too.
    let mut unbound = record(None, "two");
    unbound.id = made.id;
    site.web.save(&unbound).await.unwrap();
    let found = site.load(made.id).await.unwrap();
    assert_eq!((what(&found), found.data.get(BINDING)), ("two", Some(&bound)));
    // So a new id for what was loaded is bound as well.
    let mut cycled = only(Id::default(), &found);
    site.web.create(&mut cycled).await.unwrap();
    site.store.sign_out(SignOut::account(&account(1))).unwrap();
    assert_eq!((site.load(made.id).await, site.load(cycled.id).await), (None, None));
}

#[tokio::test]
async fn no_save_moves_a_session_to_another_sign_in_or_ends_it() {
    let site = WebFixture::new();
    let (one, two) = (site.store.sign_in(full(1)).unwrap(), site.store.sign_in(full(2)).unwrap());
    let (first, second) = (binding(&site.web, &one).await, binding(&site.web, &two).await);
    let of_two = site.create(Some(&second), "two's").await;
    let stale = Record { id: of_two.id, ..record(Some(&first), "one's") };
    let of_nobody = site.create(None, "nobody's").await;
    let claimed = Record { id: of_nobody.id, ..record(Some(&first), "one's") };
    for is_dead in [false, true] {
        if is_dead {
            site.store.sign_out(SignOut::account(&account(1))).unwrap();
        }
        site.web.save(&stale).await.unwrap();
        site.web.save(&claimed).await.unwrap();
        assert_eq!(site.load(of_two.id).await.as_ref(), Some(&of_two));
        assert_eq!(site.load(of_nobody.id).await.as_ref(), Some(&of_nobody));
    }
    site.store.sign_out(SignOut::account(&account(2))).unwrap();
    assert_eq!(site.load(of_two.id).await, None);
}

#[tokio::test]
async fn the_same_id_made_again_takes_no_save_of_the_one_before() {
    let site = WebFixture::new();
    let (one, two) = (site.store.sign_in(full(1)).unwrap(), site.store.sign_in(full(2)).unwrap());
    let (first, second) = (binding(&site.web, &one).await, binding(&site.web, &two).await);
    for again in [None, Some(&second)] {
        let made = site.create(Some(&first), "one's").await;
        site.web.delete(&made.id).await.unwrap();
        let mut other = Record { id: made.id, ..record(again, "another's") };
        site.web.create(&mut other).await.unwrap();
        assert_eq!(other.id, made.id);
        site.web.save(&made).await.unwrap();
        assert_eq!(site.load(made.id).await, Some(other));
    }
}

#[tokio::test]
async fn a_sign_in_that_newer_ones_pushed_out_or_that_is_too_old_takes_its_session_along() {
    let machine = Machine::new();
    let clock = ManualClock::new(now());
    let builder = || {
        machine
            .builder()
            .clock(clock.clone())
            .max_sign_ins(2)
            .max_sign_in_age(Duration::from_secs(300))
    };
    let store = builder().open().unwrap();
    let web = OublietteSessions::new(store.clone());
    let live = store.sign_in(full(1)).unwrap();
    let mut made = record(Some(&binding(&web, &live).await), "one");
    web.create(&mut made).await.unwrap();
    store.sign_in(full(1)).unwrap();
    assert!(web.load(&made.id).await.unwrap().is_some());
    let last = store.sign_in(full(1)).unwrap();
    assert_eq!(web.load(&made.id).await.unwrap(), None);
    web.save(&made).await.unwrap();
    web.create(&mut made).await.unwrap();
    assert_eq!(web.load(&made.id).await.unwrap(), None);
    let mut made = record(Some(&binding(&web, &last).await), "one");
    web.create(&mut made).await.unwrap();
    clock.advance(Duration::from_secs(300));
    web.save(&made).await.unwrap();
    assert_eq!(web.load(&made.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_is_bound_under_a_new_id_and_leads_back_to_its_sign_in() {
    let site = WebFixture::new();
    let shared = Arc::new(site.web.clone());
    let far = Some(::tower_sessions::Expiry::AtDateTime(at(600)));
    let before = Session::new(None, shared.clone(), far);
    before.insert("state", "s").await.unwrap();
    before.save().await.unwrap();
    let fixed = before.id().unwrap();
    assert_eq!(bound(&before, &site.store).await.unwrap(), None);

    let request = Session::new(Some(fixed), shared.clone(), far);
    let slow = Session::new(Some(fixed), shared.clone(), far);
    slow.insert("slow", true).await.unwrap();
    let live = site.store.sign_in(full(1)).unwrap();
    bind(&request, &live).await.unwrap();
    request.save().await.unwrap();
    let id = request.id().unwrap();
    assert_ne!(id, fixed);
    assert_eq!(site.load(fixed).await, None, "the id from before the login is nobody's");
    slow.save().await.unwrap();
    assert_eq!(site.load(fixed).await, None);

    let next = Session::new(Some(id), shared.clone(), far);
    assert_eq!(bound(&next, &site.store).await.unwrap(), Some(live.clone()));
    assert_eq!(next.get::<String>("state").await.unwrap().as_deref(), Some("s"));
    // Another login in the same browser: from now on it ends with that.
    let other = site.store.sign_in(full(2)).unwrap();
    bind(&next, &other).await.unwrap();
    next.save().await.unwrap();
    assert_eq!(site.load(id).await, None);
    site.store.sign_out(SignOut::account(&account(1))).unwrap();
    let last = Session::new(next.id(), shared.clone(), far);
    assert_eq!(bound(&last, &site.store).await.unwrap(), Some(other));
    site.store.sign_out(SignOut::account(&account(2))).unwrap();
    assert_eq!(
        bound(&last, &site.store).await.unwrap(),
        None,
        "it was loaded before, and is asked now"
    );
    last.insert("late", true).await.unwrap();
    last.save().await.unwrap();
    assert_eq!(site.load(next.id().unwrap()).await, None);
}

#[tokio::test]
async fn a_login_whose_sign_in_ends_before_the_response_leaves_nothing() {
    let site = WebFixture::new();
    let session = Session::new(
        None,
        Arc::new(site.web.clone()),
        Some(::tower_sessions::Expiry::AtDateTime(at(600))),
    );
    let live = site.store.sign_in(full(1)).unwrap();
    bind(&session, &live).await.unwrap();
    site.store.sign_out(SignOut::account(&account(1))).unwrap();
    session.save().await.unwrap();
    assert_eq!((site.load(session.id().unwrap()).await, site.rows()), (None, 0));
}

#[tokio::test]
async fn a_session_that_has_lost_its_index_row_is_not_found_again_and_the_sweep_deletes_it() {
    let site = WebFixture::new();
    let live = site.store.sign_in(full(1)).unwrap();
    let bound = binding(&site.web, &live).await;
    let made = site.create(Some(&bound), "one").await;
    let mut rows = site.machine.rows();
    rows.retain(|key, _| key[0] != b'W');
    site.machine.set_rows(rows);
    site.web.delete(&made.id).await.unwrap();
    for _ in 0..2 {
        assert!(site.store.sweep(usize::MAX).unwrap().finished);
        assert_eq!((site.load(made.id).await, site.rows()), (None, 0));
    }
}

#[tokio::test]
async fn an_id_that_two_places_claim_is_in_neither() {
    let site = WebFixture::new();
    let (one, two) = (site.store.sign_in(full(1)).unwrap(), site.store.sign_in(full(2)).unwrap());
    let (first, second) = (binding(&site.web, &one).await, binding(&site.web, &two).await);
    let made = site.create(Some(&first), "one's").await;
    let before = site.machine.rows();
    site.web.delete(&made.id).await.unwrap();
    let mut other = Record { id: made.id, ..record(Some(&second), "two's") };
    site.web.create(&mut other).await.unwrap();
    let mut both = before.clone();
    both.extend(site.machine.rows());
    site.machine.set_rows(both);
    assert_eq!(site.load(made.id).await, None);
    site.web.save(&made).await.unwrap();
    site.web.delete(&made.id).await.unwrap();
    assert_eq!((site.load(made.id).await, site.rows()), (None, 0));
}

#[tokio::test]
async fn a_save_gives_no_new_life() {
    let site = WebFixture::new();
    let made = site.create(None, "one").await;
    site.clock.advance(Duration::from_secs(100));
    site.web.save(&made).await.unwrap();
    assert!(site.load(made.id).await.is_some());
    // Of everybody who came before it was saved, and after it was made.
    site.store
        .sign_out(SignOut::everybody().signed_in_before(now() + Duration::from_secs(50)))
        .unwrap();
    assert_eq!(site.load(made.id).await, None);
}

#[test]
fn a_sign_in_with_tokens_is_all_or_nothing_and_reports_what_was_refused() {
    let machine = Machine::new();
    let open = |machine: &Machine| machine.builder().clock(ManualClock::new(now())).open().unwrap();
    open(&machine).close().unwrap();
    for calls in 0.. {
        let machine = machine.copy();
        let store = open(&machine);
        machine.die_after(calls);
        let done = store.sign_in_with(
            sign_in(1),
            [access("a", "at").into(), refresh(&"x".repeat(9000)).into()],
        );
        let done = done.map(|(_, stored)| stored.stored);
        drop(store);
        machine.cut_power(calls);
        let store = open(&machine);
        let found = store.account(&account(1)).unwrap();
        for live in &found {
            assert!(
                live.access_token(&query("a")).unwrap().is_some()
                    && live.refresh_token(&client()).unwrap().is_some()
            );
        }
        if let Ok(stored) = done {
            assert_eq!((stored, found.len()), (2, 1), "Ok survives a power cut");
            break;
        }
    }
    let store = open(&Machine::new());
    let long = Token::from(refresh(&"x".repeat(MAX_TOKEN_BYTES + 1)));
    assert!(matches!(store.sign_in_with(sign_in(1), [long]), Err(Error::InvalidInput { .. })));
    assert!(store.account(&account(1)).unwrap().is_empty());
}
