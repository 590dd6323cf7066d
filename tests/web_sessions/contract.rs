//! What `tower-sessions` asks of a store, and what we add to it.

use ::tower_sessions::ExpiredDeletion;
use ::tower_sessions::session_store::Error as StoreError;

use super::*;

#[tokio::test]
async fn what_was_saved_is_loaded_to_the_last_digit() {
    let site = WebFixture::new();
    let live = site.store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&site.web, &live).await;
    for bound in [None, Some(&bound)] {
        let mut record = record(bound, "one");
        record.expiry_date += time::Duration::nanoseconds(123_456_789);
        for (key, value) in [
            ("float", serde_json::json!(0.122_749_008_077_270_35)),
            ("big", serde_json::json!(u64::MAX)),
            ("nested", serde_json::json!({"a": [null, true, {"ü": "\u{0}\u{1f600}"}]})),
            ("", serde_json::json!("")),
        ] {
            record.data.insert(key.into(), value);
        }
        site.web.create(&mut record).await.unwrap();
        assert_eq!(site.load(record.id).await.as_ref(), Some(&record));
        record.data.remove("float");
        record.expiry_date -= time::Duration::nanoseconds(5);
        site.web.save(&record).await.unwrap();
        assert_eq!(site.load(record.id).await.as_ref(), Some(&record));
        site.web.delete(&record.id).await.unwrap();
        assert_eq!(site.load(record.id).await, None);
        assert_eq!(site.rows(), 0);
    }
}

#[tokio::test]
async fn what_was_never_made_is_not_found_nor_saved() {
    let site = WebFixture::new();
    let record = record(None, "one");
    assert_eq!(site.load(record.id).await, None);
    site.web.save(&record).await.unwrap();
    site.web.delete(&record.id).await.unwrap();
    assert_eq!((site.load(record.id).await, site.rows()), (None, 0));
}

#[tokio::test]
async fn an_id_that_is_taken_gives_another() {
    let site = WebFixture::new();
    let live = site.store.sign_in(sign_in(1)).unwrap();
    let other = site.store.sign_in(sign_in(2)).unwrap();
    let (bound, other) = (binding(&site.web, &live).await, binding(&site.web, &other).await);
    for first in [None, Some(&bound)] {
        for second in [None, Some(&bound), Some(&other)] {
            let first = site.create(first, "first").await;
            let mut second = record(second, "second");
            second.id = first.id;
            site.web.create(&mut second).await.unwrap();
            assert_ne!(first.id, second.id);
            assert_eq!(site.load(first.id).await.unwrap(), first);
            assert_eq!(site.load(second.id).await.unwrap(), second);
        }
    }
    // So does an expired one that is still there: its cookie may be about.
    let first = site.create(None, "first").await;
    site.clock.advance(HOUR);
    let mut second = only(first.id, &first);
    site.web.create(&mut second).await.unwrap();
    assert_ne!(first.id, second.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_who_make_the_same_id_each_gets_its_own() {
    let site = WebFixture::new();
    let mut bindings = vec![None];
    for number in 0..7 {
        bindings
            .push(Some(binding(&site.web, &site.store.sign_in(sign_in(number)).unwrap()).await));
    }
    for _ in 0..8 {
        let id = Id::default();
        let makers: Vec<_> = (0..64)
            .map(|number| {
                let (web, mut record) =
                    (site.web.clone(), record(bindings[number % 8].as_ref(), &number.to_string()));
                record.id = id;
                tokio::spawn(async move {
                    web.create(&mut record).await.unwrap();
                    record
                })
            })
            .collect();
        let mut ids = std::collections::HashSet::new();
        for maker in makers {
            let made = maker.await.unwrap();
            assert!(ids.insert(made.id), "two have one id");
            assert_eq!(site.load(made.id).await, Some(made));
        }
        assert!(ids.contains(&id));
    }
}

#[tokio::test]
async fn what_has_expired_is_not_loaded_and_not_saved() {
    for is_bound in [false, true] {
        // The store's time never goes back.
        let site = WebFixture::new();
        let live = site.store.sign_in(sign_in(1)).unwrap();
        let bound = binding(&site.web, &live).await;
        let record = site.create(is_bound.then_some(&bound), "one").await;
        let until = record.expiry_date - OffsetDateTime::from(site.clock.now());
        site.clock.advance(Duration::try_from(until).unwrap() - Duration::from_millis(1));
        assert!(site.load(record.id).await.is_some());
        site.clock.advance(Duration::from_millis(1));
        assert_eq!(site.load(record.id).await, None);
        // A request from before is saved with a later expiry: it stays gone.
        let mut late = record.clone();
        late.expiry_date = at(36_000);
        site.web.save(&late).await.unwrap();
        assert_eq!(site.load(record.id).await, None);
        site.web.delete_expired().await.unwrap();
        assert_eq!(site.rows(), 0);
    }
}

#[tokio::test]
async fn delete_expired_takes_those_and_no_others() {
    let site = WebFixture::new();
    let live = site.store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&site.web, &live).await;
    let (mut short, mut long) = (Vec::new(), Vec::new());
    for number in 0..200 {
        let mut record =
            record(if number % 2 == 0 { None } else { Some(&bound) }, &"x".repeat(number * 100));
        record.expiry_date = if number % 3 == 0 { at(10) } else { at(1000) };
        site.web.create(&mut record).await.unwrap();
        if number % 3 == 0 { &mut short } else { &mut long }.push(record);
    }
    site.clock.advance(Duration::from_secs(10));
    site.web.delete_expired().await.unwrap();
    for record in &long {
        assert_eq!(site.load(record.id).await.as_ref(), Some(record));
    }
    for record in &long {
        site.web.delete(&record.id).await.unwrap();
    }
    assert_eq!(site.rows(), 0, "of {} nothing is left", short.len());
}

#[tokio::test]
async fn one_of_nobodys_is_kept_for_so_long_after_its_last_save() {
    let site = WebFixture::new();
    let live = site.store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&site.web, &live).await;
    let web = site.web.clone().unbound_for(Duration::from_secs(60));
    for (bound, ends) in [(None, true), (Some(&bound), false)] {
        let mut record = record(bound, "one");
        web.create(&mut record).await.unwrap();
        site.clock.advance(Duration::from_secs(59));
        web.save(&record).await.unwrap();
        site.clock.advance(Duration::from_secs(59));
        assert!(web.load(&record.id).await.unwrap().is_some());
        site.clock.advance(Duration::from_secs(1));
        assert_eq!(web.load(&record.id).await.unwrap().is_none(), ends);
    }
}

#[tokio::test]
async fn a_session_has_up_to_64_kib() {
    let site = WebFixture::new();
    let live = site.store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&site.web, &live).await;
    for bound in [None, Some(&bound)] {
        let frame = r#"{"what":""}"#.len();
        let mut record = record(bound, &"x".repeat(64 * 1024 - frame));
        site.web.create(&mut record).await.unwrap();
        assert_eq!(site.load(record.id).await.as_ref(), Some(&record));
        let large = site.rows();
        let mut longer = record.clone();
        longer.data.insert("what".into(), Value::from("x".repeat(64 * 1024 - frame + 1)));
        let error = site.web.save(&longer).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Backend(text) if text.contains("64 KiB")),
            "{error:?}"
        );
        assert_eq!(site.load(record.id).await.as_ref(), Some(&record));
        // A shorter one leaves no parts of it behind.
        record.data.insert("what".into(), Value::from("short"));
        site.web.save(&record).await.unwrap();
        assert_eq!(site.load(record.id).await.as_ref(), Some(&record));
        assert_eq!(site.rows(), large - 10);
        site.web.delete(&record.id).await.unwrap();
        assert_eq!(site.rows(), 0);
    }
}

#[tokio::test]
async fn a_binding_that_cannot_be_read_is_not_no_binding() {
    let site = WebFixture::new();
    let live = site.store.sign_in(sign_in(1)).unwrap();
    let good = binding(&site.web, &live).await;
    let text = good.as_str().unwrap();
    for bad in [
        Value::Null,
        Value::from(""),
        Value::from(1),
        Value::from(&text[2..]),
        Value::from(text.to_uppercase() + "00"),
    ] {
        let mut record = record(Some(&bad), "one");
        assert!(matches!(site.web.create(&mut record).await, Err(StoreError::Encode(_))));
        assert_eq!((site.load(record.id).await, site.rows()), (None, 0));
    }
    let bound = site.create(Some(&good), "one").await;
    let mut bad = bound.clone();
    bad.data.insert(BINDING.into(), Value::Null);
    assert!(matches!(site.web.save(&bad).await, Err(StoreError::Encode(_))));
    assert_eq!(site.load(bound.id).await, Some(bound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_beside_writers_sees_one_or_the_other_whole() {
    let site = WebFixture::new();
    let live = site.store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&site.web, &live).await;
    for bound in [None, Some(&bound)] {
        let made = site.create(bound, "").await;
        let writers: Vec<_> = ["a", "b"]
            .map(|letter| {
                let (web, mut record) = (site.web.clone(), made.clone());
                tokio::spawn(async move {
                    for length in 0..60 {
                        record.data.insert("what".into(), Value::from(letter.repeat(length * 700)));
                        web.save(&record).await.unwrap();
                    }
                })
            })
            .into();
        for _ in 0..300 {
            let found = site.load(made.id).await.unwrap();
            let text = what(&found);
            assert!(
                text.chars().all(|letter| text.starts_with(letter))
                    && text.len().is_multiple_of(700)
            );
        }
        for writer in writers {
            writer.await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_it_says_of_itself_tells_nothing() {
    let site = WebFixture::new();
    let record = record(None, "needle");
    let mut long = record.clone();
    long.data.insert("what".into(), Value::from("needle".repeat(20_000)));
    site.web.create(&mut long.clone()).await.unwrap_err();
    let error = site.web.create(&mut long).await.unwrap_err();
    let text = format!("{:?} {error} {error:?}", site.web);
    assert!(
        !text.contains("needle")
            && !text.contains(&long.id.to_string())
            && !text.contains(&long.id.0.to_string()),
        "{text}"
    );
    site.store.clone().close().unwrap();
    let error = site.web.load(&record.id).await.unwrap_err();
    assert!(matches!(&error, StoreError::Backend(text) if text.contains("closed")));
}
