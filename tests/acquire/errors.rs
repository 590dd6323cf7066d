//! What the refresh says, and what is made of it.

use std::error::Error as _;

use oubliette::*;
use oubliette_testkit::accounts::*;

use crate::world::*;

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("status {0}")]
struct Status(u16);

#[test]
fn the_callers_error_comes_back_and_blocks_nobody() {
    let world = AcquireFixture::new();
    let refreshed = world
        .acquirer()
        .acquire(&world.live, query("mail"), |_| Err(RefreshError::failed(Status(503))));
    let Err(AcquireError::Refresh(failed)) = refreshed else { panic!("{refreshed:?}") };
    assert_eq!(failed.downcast_ref::<Status>(), Some(&Status(503)));
    assert_eq!(failed.source().unwrap().to_string(), "status 503");
    assert!(
        !format!("{failed:?} {failed} {:?}", RefreshError::failed("needle")).contains("needle")
    );
    assert_eq!(world.stored_refresh_token().unwrap(), "rt-0");
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-1");
}

#[test]
fn without_a_refresh_token_the_user_is_asked() {
    let store = TokenStore::in_memory().unwrap();
    let live = store.sign_in(sign_in(1)).unwrap();
    let request = AccessRequest::new(query("mail")).claims("c1");
    let error = Acquirer::new()
        .acquire(&live, request, |_| panic!("there is nothing to redeem"))
        .unwrap_err();
    assert_eq!(reason(&error), InteractionReason::NoRefreshToken);
    assert!(!format!("{error:?} {error}").contains("c1"));
    assert!(
        matches!(error, AcquireError::InteractionRequired { claims: Some(claims), .. } if claims == "c1")
    );
}

#[test]
fn invalid_grant_removes_that_refresh_token_and_no_other_token() {
    let world = AcquireFixture::new();
    let other = ClientId::new("other").unwrap();
    world
        .live
        .put([access("mail", "at").into(), RefreshToken::new(other.clone(), "other").into()])
        .unwrap();
    let refused = |_: &Grant| Err(RefreshError::invalid_grant(Status(400)));
    let error = world.acquirer().acquire(&world.live, query("files"), refused).unwrap_err();
    assert_eq!(reason(&error), InteractionReason::InvalidGrant);
    assert!(
        error
            .source()
            .unwrap()
            .downcast_ref::<RefreshFailed>()
            .unwrap()
            .downcast_ref::<Status>()
            .is_some()
    );
    assert_eq!(world.stored_refresh_token(), None);
    assert_eq!(world.cached(query("mail")), "at");
    assert_eq!(world.live.refresh_token(&other).unwrap().unwrap().secret.expose(), "other");
    let error = world.acquire(query("files")).unwrap_err();
    assert_eq!(reason(&error), InteractionReason::NoRefreshToken);
}

#[test]
fn invalid_grant_removes_a_refresh_token_of_many_parts_whole() {
    let world = AcquireFixture::new();
    let before = world.machine.rows().len();
    world.live.put(refresh(&"x".repeat(40_000))).unwrap();
    assert!(world.machine.rows().len() > before + 5);
    world
        .acquirer()
        .acquire(&world.live, query("files"), |_| Err(RefreshError::invalid_grant("revoked")))
        .unwrap_err();
    assert_eq!(world.machine.rows().len(), before - 1);
}

#[test]
fn a_refresh_token_that_the_app_stored_meanwhile_is_not_removed() {
    let world = AcquireFixture::new();
    let refreshed = world.acquirer().acquire(&world.live, query("mail"), |_| {
        world.live.put(refresh("newer")).unwrap();
        Err(RefreshError::invalid_grant("revoked"))
    });
    // Trying again works.
    assert!(matches!(refreshed, Err(AcquireError::Refresh(_))));
    assert_eq!(world.stored_refresh_token().unwrap(), "newer");
}

/// Hole: the app's own put during a refresh, as from a login callback.
#[test]
fn a_refresh_token_that_the_app_stored_meanwhile_is_not_overwritten() {
    let world = AcquireFixture::new();
    let token = world.acquirer().acquire(&world.live, query("mail"), |grant| {
        let tokens = world.provider.redeem(grant);
        world.live.put(refresh("newer")).unwrap();
        tokens
    });
    assert_eq!(token.unwrap().secret.expose(), "at-1");
    assert_eq!(
        (world.stored_refresh_token().unwrap(), world.cached(query("mail"))),
        ("newer".into(), "at-1".into())
    );
    assert_eq!(world.orphans.take(), [("rt-1".to_owned(), OrphanReason::NotStored)]);
}

/// Hole: the spent refresh token stays stored when the new one lands elsewhere.
#[test]
fn a_spent_refresh_token_goes_even_if_the_new_one_is_of_a_family() {
    let world = AcquireFixture::new();
    let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
        let mut next = grant.next_refresh_token("family");
        next.family_id = Some("1".into());
        Ok([access("mail", "at").into(), next.into()].into())
    });
    assert_eq!(acquired.unwrap().secret.expose(), "at");
    assert_eq!(world.stored_refresh_token(), None);
    assert!(world.live.refresh_token(RefreshQuery::family("1")).unwrap().is_some());
    // One that comes with no refresh token keeps the one there is (RFC 6749 §6).
    let world = AcquireFixture::new();
    world
        .acquirer()
        .acquire(&world.live, query("mail"), |_| Ok(access("mail", "at").into()))
        .unwrap();
    assert_eq!(world.stored_refresh_token().unwrap(), "rt-0");
}

#[test]
fn when_the_provider_asks_for_the_user_the_refresh_token_stays() {
    let world = AcquireFixture::new();
    for (theirs, asked, expected) in [
        (Some("p"), None, Some("p")),
        (None, Some("q"), Some("q")),
        (Some("p"), Some("q"), Some("p")),
    ] {
        let mut request = AccessRequest::new(query("mail"));
        if let Some(asked) = asked {
            request = request.claims(asked);
        }
        let answer =
            |_: &Grant| Err(RefreshError::interaction_required(theirs.map(str::to_owned), "mfa"));
        let error = world.acquirer().acquire(&world.live, request, answer).unwrap_err();
        let AcquireError::InteractionRequired {
            reason: InteractionReason::Provider, claims, ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(claims.as_deref(), expected);
    }
    assert_eq!(world.stored_refresh_token().unwrap(), "rt-0");
}

#[test]
fn tokens_that_cannot_be_stored_go_to_the_hook_and_to_nobody_else() {
    let world = AcquireFixture::new();
    let acquired = world.acquirer().acquire(&world.live, query("mail"), |_| {
        Ok([access("mail", "at").into(), refresh(&"x".repeat(MAX_TOKEN_BYTES + 1)).into()].into())
    });
    assert!(
        matches!(acquired, Err(AcquireError::Store(error)) if matches!(*error, Error::InvalidInput { field: "token", .. }))
    );
    let orphans = world.orphans.take();
    assert!(
        orphans.len() == 2 && orphans.iter().all(|(_, reason)| *reason == OrphanReason::NotStored)
    );
    assert!(world.live.access_token(&query("mail")).unwrap().is_none());
}

/// Hole: the spent refresh token stays, is redeemed again, and the provider revokes the family.
#[test]
fn of_a_response_that_cannot_be_stored_the_new_refresh_token_is() {
    let unfit = || "x".repeat(MAX_TOKEN_BYTES + 1);
    let elsewhere = |mut token: AccessToken| {
        token.partition = Partition::on_behalf_of("a");
        token
    };
    for (token, field) in
        [(access("mail", &unfit()), "token"), (elsewhere(access("mail", "at")), "partition")]
    {
        let world = AcquireFixture::new();
        let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
            world.provider.redeem(grant)?;
            Ok([token.clone().into(), grant.next_refresh_token(world.provider.valid()).into()]
                .into())
        });
        assert!(
            matches!(acquired, Err(AcquireError::Store(error)) if matches!(*error, Error::InvalidInput { field: of, .. } if of == field))
        );
        assert_eq!(world.stored_refresh_token().unwrap(), "rt-1");
        assert_eq!(
            world.orphans.take(),
            [(token.secret.expose().to_owned(), OrphanReason::NotStored)]
        );
        assert_eq!(world.acquire(query("mail")).unwrap(), "at-2");
        assert!(world.provider.is_content());
    }
}

#[test]
fn if_the_new_refresh_token_cannot_be_stored_the_spent_one_goes() {
    let elsewhere = |grant: &Grant| {
        let mut next = grant.next_refresh_token("rt");
        next.partition = Partition::on_behalf_of("a");
        next
    };
    let unfit: [fn(&Grant) -> RefreshToken; 2] =
        [|_| refresh(&"x".repeat(MAX_TOKEN_BYTES + 1)), elsewhere];
    for unfit in unfit {
        let world = AcquireFixture::new();
        let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
            world.provider.redeem(grant)?;
            Ok([access("mail", "at").into(), unfit(grant).into()].into())
        });
        assert!(
            matches!(acquired, Err(AcquireError::Store(error)) if matches!(*error, Error::InvalidInput { .. }))
        );
        assert!(world.orphans.take().len() == 2 && world.stored_refresh_token().is_none());
        assert_eq!(
            reason(&world.acquire(query("mail")).unwrap_err()),
            InteractionReason::NoRefreshToken
        );
        assert!(world.provider.is_content());
    }
    // One that brought none has spent none.
    let world = AcquireFixture::new();
    let unfit = |_: &Grant| Ok(access("mail", &"x".repeat(MAX_TOKEN_BYTES + 1)).into());
    world.acquirer().acquire(&world.live, query("mail"), unfit).unwrap_err();
    assert_eq!(world.stored_refresh_token().unwrap(), "rt-0");
}

#[test]
fn when_the_engine_fails_nobody_gets_the_token() {
    let world = AcquireFixture::new();
    let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
        world.machine.set_failing_engine(true);
        world.provider.redeem(grant)
    });
    assert!(matches!(acquired, Err(AcquireError::Store(_))), "{acquired:?}");
    assert_eq!(world.orphans.take().len(), 2);
    let acquired = world.acquire(query("mail"));
    assert!(
        matches!(acquired, Err(AcquireError::Store(error)) if matches!(*error, Error::Poisoned(Component::Engine)))
    );
}

#[test]
fn a_store_that_is_closed_meanwhile_gives_and_keeps_nothing() {
    let world = AcquireFixture::new();
    let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
        let tokens = world.provider.redeem(grant);
        world.store.clone().close().unwrap();
        tokens
    });
    assert!(matches!(acquired, Err(AcquireError::Store(error)) if matches!(*error, Error::Closed)));
    assert_eq!(world.orphans.take().len(), 2);
}

#[test]
fn a_panicking_hook_changes_nothing() {
    let world = AcquireFixture::new();
    let acquirer = Acquirer::new().on_orphaned(|_| panic!("the hook's own"));
    let acquired = acquirer.acquire(&world.live, query("mail"), |grant| {
        world.store.sign_out(SignOut::account(&account(1))).unwrap();
        world.provider.redeem(grant)
    });
    assert!(matches!(acquired, Err(AcquireError::SignedOut)));
    let again = world.store.sign_in(sign_in(1)).unwrap();
    again.put(refresh(&world.provider.valid())).unwrap();
    assert!(acquirer.acquire(&again, query("mail"), |grant| world.provider.redeem(grant)).is_ok());
}

#[test]
fn a_refresh_that_wants_what_it_refreshes_is_told_so() {
    let world = AcquireFixture::new();
    let other = AccessQuery::new(ClientId::new("other").unwrap());
    world.live.put(RefreshToken::new(ClientId::new("other").unwrap(), "other")).unwrap();
    let is_told = |inner: &Result<AccessToken, AcquireError>| matches!(inner, Err(AcquireError::Store(error)) if matches!(**error, Error::InvalidInput { field: "refresh", .. }));
    let acquirer = world.acquirer();
    let token = acquirer.acquire(&world.live, query("mail"), |grant| {
        // At once, with other scopes too, and by a detour.
        assert!(is_told(&acquirer.acquire(&world.live, query("mail"), |_| unreachable!())));
        assert!(is_told(&acquirer.acquire(&world.live, query("files"), |_| unreachable!())));
        let detour = acquirer.acquire(&world.live, &other, |grant| {
            assert!(is_told(&acquirer.acquire(&world.live, query("mail"), |_| unreachable!())));
            Ok(grant.access_token(None, "detour", std::time::Duration::from_secs(3600)).into())
        });
        assert_eq!(detour.unwrap().secret.expose(), "detour");
        // Another store has places of its own.
        let elsewhere = AcquireFixture::new();
        assert_eq!(elsewhere.acquire(query("mail")).unwrap(), "at-1");
        world.provider.redeem(grant)
    });
    assert_eq!(token.unwrap().secret.expose(), "at-1");
    // When it is over, nothing is left of it.
    assert_eq!(world.acquire(query("files")).unwrap(), "at-2");
}
