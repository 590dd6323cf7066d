//! The machine dies at every write of a login, a save and a logout.

use ::tower_sessions::Expiry;

use super::*;

/// A visitor with a session, who is signed in but not bound yet.
struct Scene {
    before: Record,
    of_another: Record,
}

async fn prepare(machine: &Machine) -> Scene {
    let site = WebFixture::on(machine.clone());
    let other = site.store.sign_in(sign_in(2)).unwrap();
    let others = binding(&site.web, &other).await;
    let scene = Scene {
        before: site.create(None, "one").await,
        of_another: site.create(Some(&others), "another's").await,
    };
    site.fixture.store.close().unwrap();
    scene
}

/// Logs in, saves twice, binds to a second sign-in, logs out. Gives every id that the session had,
/// and how far it came.
async fn live(site: &WebFixture, scene: &Scene) -> (Vec<Id>, usize) {
    let (mut ids, mut steps) = (vec![scene.before.id], 0);
    let far = Some(Expiry::AtDateTime(at(600)));
    let shared = Arc::new(site.web.clone());
    for number in [1, 3] {
        let Ok(live) = site.store.sign_in(sign_in(number)) else { return (ids, steps) };
        let session = Session::new(ids.last().copied(), shared.clone(), far);
        if bind(&session, &live).await.is_err() {
            return (ids, steps);
        }
        steps += 1;
        if session.save().await.is_err() {
            return (ids, steps);
        }
        ids.extend(session.id());
        steps += 1;
        let _ = session
            .insert("large", "x".repeat(20_000 * usize::try_from(number % 3).unwrap()))
            .await;
        if session.save().await.is_err() {
            return (ids, steps);
        }
        steps += 1;
    }
    if site.store.sign_out(SignOut::account(&account(3))).is_ok() {
        steps += 1;
    }
    (ids, steps)
}

#[test]
fn wherever_it_dies_no_id_is_free_of_its_sign_in_and_none_comes_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(2)
        .build()
        .unwrap();
    let machine = Machine::new();
    let scene = runtime.block_on(prepare(&machine));
    machine.cut_power(1);
    let mut deaths = 0;
    for calls in 0.. {
        let mut finished = true;
        for seed in 0..4 {
            let site = WebFixture::on(machine.copy());
            site.machine.die_after(calls);
            let (ids, steps) = runtime.block_on(live(&site, &scene));
            finished &= steps == 7;
            let text = format!("died after {calls} calls, seed {seed}, step {steps}");
            let site = site.again(|machine| {
                if seed % 2 == 0 { machine.kill_process(seed) } else { machine.cut_power(seed) }
            });
            runtime.block_on(check(&site, &scene, &ids, steps, &text));
            deaths += 1;
        }
        if finished {
            break;
        }
    }
    assert!(deaths > 40, "{deaths}");
}

async fn check(site: &WebFixture, scene: &Scene, ids: &[Id], steps: usize, text: &str) {
    let found = site.load(scene.of_another.id).await;
    assert_eq!(found.as_ref(), Some(&scene.of_another), "{text}");
    let mut there = 0;
    for (number, id) in ids.iter().enumerate() {
        let Some(found) = site.load(*id).await else { continue };
        there += 1;
        // The first was nobody's; all others say whose they are, whatever was written of them.
        assert_eq!(found.data.contains_key(BINDING), number > 0, "{text}");
        assert_eq!(found.data["what"], "one", "{text}");
        // An id that was given up, durably, stays so: a bind that returned took the one before.
        assert!(steps < 3 * number + 1, "{text}: id {number}");
    }
    assert!(there <= 1, "{text}");
    // Whatever there is ends with its sign-in, and nothing else does.
    site.store.sign_out(SignOut::account(&account(1))).unwrap();
    site.store.sign_out(SignOut::account(&account(3))).unwrap();
    for id in &ids[1..] {
        assert_eq!(site.load(*id).await, None, "{text}");
        site.web.save(&only(*id, &record(None, "late"))).await.unwrap();
        assert_eq!(site.load(*id).await, None, "{text}");
    }
    site.store.wait_reclaimed().unwrap();
    site.web.delete(&ids[0]).await.unwrap();
    assert_eq!(site.rows(), 2, "{text}: only another's is left");
    let verified = site.store.verify().unwrap();
    assert_eq!(
        (verified.web_sessions, verified.tampered, verified.missing_index_rows),
        (1, 0, 0),
        "{text}"
    );
}

#[tokio::test]
async fn an_engine_that_fails_is_an_error_and_never_a_session() {
    let site = WebFixture::new();
    let live = site.store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&site.web, &live).await;
    let made = site.create(Some(&bound), "one").await;
    site.machine.set_failing_engine(true);
    assert!(site.web.create(&mut record(None, "two")).await.is_err());
    // Poisoned: what is on the disk is in doubt.
    assert!(site.web.load(&made.id).await.is_err());
    assert!(site.web.save(&made).await.is_err());
    assert!(site.web.delete(&made.id).await.is_err());
    site.store.sign_out(SignOut::account(&account(1))).unwrap();
    site.machine.set_failing_engine(false);
    let site = site.again(|machine| machine.cut_power(1));
    assert_eq!(site.load(made.id).await, None);
}
