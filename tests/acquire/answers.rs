//! What closures make by hand of answers that are not as they should be: what can be kept of them
//! is.

use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

use crate::world::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Texts that say nothing.
const BLANK: [&str; 4] = ["", " ", "\t\r\n", "\u{a0}\u{2003}"];

fn id(secret: &str) -> IdToken {
    IdToken::new(client(), secret)
}

/// Empty means none (RFC 6749 §6): the one that is stored stays, and the access token is given.
#[test]
fn an_empty_next_refresh_token_is_none() {
    for blank in BLANK {
        let world = AcquireFixture::new();
        let token = world.acquirer().acquire(&world.live, query("mail"), |grant| {
            Ok([
                grant.access_token(None, "at", HOUR).into(),
                grant.next_refresh_token(blank).into(),
            ]
            .into())
        });
        assert_eq!(token.unwrap().secret.expose(), "at");
        assert_eq!(
            (world.stored_refresh_token().unwrap(), world.cached(query("mail"))),
            ("rt-0".into(), "at".into())
        );
        assert!(world.orphans.take().is_empty());
    }
}

/// Also of a family, of another partition, and beside one that is none.
#[test]
fn what_is_no_token_costs_none_of_those_beside_it() {
    for blank in BLANK {
        let world = AcquireFixture::new();
        let token = world.acquirer().acquire(&world.live, query("mail"), |grant| {
            let of_family = RefreshToken { family_id: Some("1".into()), ..refresh(blank) };
            let elsewhere =
                RefreshToken { partition: Partition::on_behalf_of("a"), ..refresh(blank) };
            let next = grant.next_refresh_token("rt-1").into();
            let access = [access("files", blank).into(), access("mail", "at").into()];
            let none =
                [of_family.into(), elsewhere.into(), id(blank).into(), refresh(blank).into()];
            Ok(access.into_iter().chain([next]).chain(none).collect::<Vec<Token>>().into())
        });
        assert_eq!(token.unwrap().secret.expose(), "at");
        assert_eq!(world.stored_refresh_token().unwrap(), "rt-1");
        assert!(world.live.refresh_token(RefreshQuery::family("1")).unwrap().is_none());
        assert!(
            world.live.id_token(&client()).unwrap().is_none()
                && world.live.access_token(&query("files")).unwrap().is_none()
        );
        assert!(world.orphans.take().is_empty());
    }
}

/// The ID token of the sign-in is the hint for its end: an empty one does not take its place.
#[test]
fn an_empty_id_token_leaves_the_one_that_is_stored() {
    let world = AcquireFixture::new();
    world.live.put(id("id-0")).unwrap();
    world
        .acquirer()
        .acquire(&world.live, query("mail"), |_| {
            Ok([access("mail", "at").into(), id("").into()].into())
        })
        .unwrap();
    assert_eq!(world.live.id_token(&client()).unwrap().unwrap().secret.expose(), "id-0");
}

/// The provider has rotated the refresh token, whatever else it has done.
#[test]
fn without_an_access_token_the_new_refresh_token_is_stored_and_the_refresh_has_failed() {
    for blank in BLANK.map(Some).into_iter().chain([None]) {
        let world = AcquireFixture::new();
        let answer = |grant: &Grant| {
            world.provider.redeem(grant)?;
            let access = blank.map(|blank| grant.access_token(None, blank, HOUR).into());
            Ok(access
                .into_iter()
                .chain([grant.next_refresh_token(world.provider.valid()).into()])
                .collect::<Vec<Token>>()
                .into())
        };
        let failed = world.acquirer().acquire(&world.live, query("mail"), answer);
        assert!(matches!(failed, Err(AcquireError::Refresh(_))), "{failed:?}");
        assert_eq!(world.stored_refresh_token().unwrap(), "rt-1");
        assert!(
            world.orphans.take().is_empty()
                && world.live.access_token(&query("")).unwrap().is_none()
        );
        // It can be tried again, with the new one.
        assert_eq!(world.acquire(query("mail")).unwrap(), "at-2");
        assert!(world.provider.is_content());
    }
    // Nothing at all is no other word of the provider's: the user could not mend it.
    let world = AcquireFixture::new();
    let failed = world.acquirer().acquire(&world.live, query("mail"), |_| Ok(Tokens::default()));
    assert!(matches!(failed, Err(AcquireError::Refresh(_))), "{failed:?}");
    assert_eq!(world.stored_refresh_token().unwrap(), "rt-0");
}

/// A token that is only due is given meanwhile, and the provider is not asked at each call.
#[test]
fn a_due_token_is_given_while_answers_have_none() {
    let world = AcquireFixture::new();
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-1");
    world.advance(3600 - 400);
    let acquirer = world.acquirer().refresh_due_here();
    let asked = std::cell::Cell::new(0);
    for _ in 0..5 {
        let token = acquirer.acquire(&world.live, query("mail"), |grant| {
            asked.set(asked.get() + 1);
            world.provider.redeem(grant)?;
            Ok([
                grant.access_token(None, "", HOUR).into(),
                grant.next_refresh_token(world.provider.valid()).into(),
            ]
            .into())
        });
        assert_eq!(token.unwrap().secret.expose(), "at-1");
    }
    assert_eq!((asked.get(), world.stored_refresh_token().unwrap()), (1, "rt-2".into()));
}

#[test]
fn a_sign_out_meanwhile_is_told_whatever_came() {
    let world = AcquireFixture::new();
    let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
        world.store.sign_out(SignOut::account(&account(1))).unwrap();
        Ok([grant.access_token(None, "", HOUR).into(), grant.next_refresh_token("rt-1").into()]
            .into())
    });
    assert!(matches!(acquired, Err(AcquireError::SignedOut)));
    assert_eq!(world.orphans.take(), [("rt-1".to_owned(), OrphanReason::SignedOut)]);
    world.assert_gone();
}

/// GitHub's and Slack's: no `expires_in`.
#[test]
fn a_token_without_expires_in_ends_with_its_sign_in() {
    let world = AcquireFixture::new();
    let token = world
        .acquirer()
        .acquire(&world.live, query("repo"), |grant| {
            Ok(grant.access_token(None, "at", None).into())
        })
        .unwrap();
    assert_eq!((token.expires_at, token.lifetime, token.refresh_at), (None, None, None));
    world.advance(30 * 24 * 3600);
    assert_eq!(world.cached(query("repo")), "at");
    world.store.sign_out(SignOut::account(&account(1))).unwrap();
    world.assert_gone();
}

#[test]
fn a_life_that_cannot_be_right_is_no_more_than_an_hour() {
    let world = AcquireFixture::new();
    for life in
        [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(11 * 365 * 24 * 3600)]
    {
        let forced = AccessRequest::new(query("mail")).force_refresh();
        let token = world
            .acquirer()
            .acquire(&world.live, forced, |grant| Ok(grant.access_token(None, "at", life).into()))
            .unwrap();
        assert_eq!((token.lifetime, token.expires_at), (Some(HOUR), Some(now() + HOUR)));
    }
}

/// What [`Scopes::parse`] makes of GitHub's list is one scope. Asked again, the token is found: no
/// refresh at every call.
#[test]
fn scopes_with_commas_between_are_found_again() {
    for (asked, given) in [
        ("repo gist", "repo,gist"),
        ("gist", "repo,gist"),
        ("repo,gist", "gist,repo"),
        ("openid repo", "Repo, gist"),
    ] {
        let world = AcquireFixture::new();
        let token = world.acquirer().acquire(&world.live, query(asked), |grant| {
            Ok(grant.access_token(Some(Scopes::parse(given)?), "at", HOUR).into())
        });
        assert_eq!(token.unwrap().secret.expose(), "at");
        assert_eq!(world.cached(query(asked)), "at");
    }
    // A scope of that name stays one, and less is less.
    for (asked, given) in [("a", "a,b c"), ("repo admin:org", "repo,gist"), ("a,b c", "a,b")] {
        let world = AcquireFixture::new();
        let acquired = world.acquirer().acquire(&world.live, query(asked), |grant| {
            Ok(grant.access_token(Some(Scopes::parse(given)?), "at", HOUR).into())
        });
        assert_eq!(
            reason(&acquired.unwrap_err()),
            InteractionReason::ConsentRequired,
            "{asked:?} {given:?}"
        );
        assert_eq!(world.cached(query(given)), "at");
    }
}
