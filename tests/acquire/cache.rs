//! What the cache is good for, and what goes past it.

use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

use crate::world::*;

#[test]
fn a_miss_refreshes_once_and_stores_both_tokens() {
    let world = AcquireFixture::new();
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-1");
    assert_eq!(world.cached(query("mail")), "at-1");
    assert_eq!(world.stored_refresh_token().unwrap(), "rt-1");
    // Other scopes are another token, for the rotated refresh token.
    assert_eq!(world.acquire(query("files")).unwrap(), "at-2");
    assert_eq!(
        (world.cached(query("mail")), world.cached(query("files"))),
        ("at-1".into(), "at-2".into())
    );
    // When it has expired (by the store's skew), anew.
    world.advance(3301);
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-3");
    assert!(world.provider.is_content() && world.orphans.take().is_empty());
}

#[test]
fn the_grant_says_what_was_asked_for() {
    let world = AcquireFixture::new();
    let wanted =
        query("mail").resource("https://api.example.com").token_type("DPoP").tenant(tenant(7));
    let token = world.acquirer().acquire(
        &world.live,
        AccessRequest::new(wanted.clone()).claims("{}"),
        |grant| {
            assert_eq!(grant.refresh_token().unwrap().secret.expose(), "rt-0");
            assert_eq!(
                (grant.client_id(), grant.tenant(), grant.account()),
                (&client(), &tenant(7), &account(1))
            );
            assert_eq!(
                (grant.resource(), grant.token_type(), grant.claims()),
                (Some("https://api.example.com"), "DPoP", Some("{}"))
            );
            assert_eq!(
                (grant.scopes(), grant.partition(), grant.began_at()),
                (&scopes("mail"), &Partition::user(), now())
            );
            assert_eq!(format!("{grant:?}"), "Grant(..)");
            world.provider.redeem(grant)
        },
    );
    assert_eq!(token.unwrap().expires_at, Some(now() + Duration::from_secs(3600)));
    assert_eq!(world.cached(wanted), "at-1");
    // Without a tenant it is the sign-in's own.
    world
        .acquirer()
        .acquire(&world.live, query("mail"), |grant| {
            assert_eq!(grant.tenant(), &tenant(1));
            world.provider.redeem(grant)
        })
        .unwrap();
}

#[test]
fn forced_and_claims_go_past_the_cache() {
    let world = AcquireFixture::new();
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-1");
    assert_eq!(world.acquire(AccessRequest::new(query("mail")).force_refresh()).unwrap(), "at-2");
    assert_eq!(world.cached(query("mail")), "at-2");
    assert_eq!(world.acquire(AccessRequest::new(query("mail")).claims("c1")).unwrap(), "at-3");
    assert_eq!(world.cached(query("mail")), "at-3");
}

#[test]
fn a_storm_of_rejections_costs_one_refresh() {
    let world = AcquireFixture::new();
    world.acquire(query("mail")).unwrap();
    let rejected = world.live.access_token(&query("mail")).unwrap().unwrap();
    for _ in 0..10 {
        assert_eq!(
            world.acquire(AccessRequest::new(query("mail")).instead_of(&rejected)).unwrap(),
            "at-2"
        );
    }
    assert_eq!(world.provider.redemptions(), 2);
    // A provider that gives the same token again is believed: no loop.
    let again = world.live.access_token(&query("mail")).unwrap().unwrap();
    let request = AccessRequest::new(query("mail")).instead_of(&again);
    let token = world.acquirer().acquire(&world.live, request, |grant| {
        Ok(grant.access_token(None, "at-2", Duration::from_secs(3600)).into())
    });
    assert_eq!(token.unwrap().secret.expose(), "at-2");
}

/// The older token would be found as long as it lasts, as it is of exactly the wanted scopes or
/// allows less.
#[test]
fn a_refreshed_token_is_the_one_that_is_found_next_even_if_it_allows_more() {
    let world = AcquireFixture::new();
    world.acquire(query("mail")).unwrap();
    let wider = |grant: &Grant| {
        Ok(grant.access_token(Some(scopes("files mail")), "wide", Duration::from_secs(3600)).into())
    };
    let forced = AccessRequest::new(query("mail")).force_refresh();
    assert_eq!(
        world.acquirer().acquire(&world.live, forced, wider).unwrap().secret.expose(),
        "wide"
    );
    assert_eq!(world.cached(query("mail")), "wide");
}

#[test]
fn less_than_was_asked_for_is_stored_and_asks_the_user() {
    let world = AcquireFixture::new();
    let asked = world.acquirer().acquire(
        &world.live,
        AccessRequest::new(query("files mail")).claims("c"),
        |grant| {
            let less = grant.access_token(Some(scopes("mail")), "less", Duration::from_secs(3600));
            Ok([less.into(), grant.next_refresh_token("rt-1").into()].into())
        },
    );
    let error = asked.unwrap_err();
    assert_eq!(reason(&error), InteractionReason::ConsentRequired);
    assert!(
        matches!(error, AcquireError::InteractionRequired { claims: Some(claims), .. } if claims == "c")
    );
    assert_eq!(
        (world.cached(query("mail")), world.stored_refresh_token()),
        ("less".into(), Some("rt-1".into()))
    );
}

/// Hole: scopes that providers never give back.
#[test]
fn scopes_that_stand_for_something_else_need_not_come_back() {
    for (asked, given) in [
        ("mail.read offline_access openid profile", "Mail.Read User.Read"),
        ("https://api.example.com/.default", "https://api.example.com/a https://api.example.com/b"),
        ("openid", "x"),
    ] {
        let world = AcquireFixture::new();
        let token = world.acquirer().acquire(&world.live, query(asked), |grant| {
            Ok(grant.access_token(Some(scopes(given)), asked, Duration::from_secs(3600)).into())
        });
        assert_eq!(token.unwrap().secret.expose(), asked);
        assert_eq!(world.cached(query(asked)), asked);
    }
    // But two of them do not stand for each other: no API is given the token for another.
    let world = AcquireFixture::new();
    assert_eq!(world.acquire(query("https://api.example.com/.default")).unwrap(), "at-1");
    assert_eq!(world.acquire(query("https://other.example.com/.default")).unwrap(), "at-2");
}

/// Hole: tokens that live no longer than the store's skew, or hardly.
#[test]
fn short_lived_tokens_are_given_for_most_of_their_life() {
    for life in [60, 300, 420, 600] {
        let world = AcquireFixture::new();
        world.provider.set_life(Duration::from_secs(life));
        let acquirer = world.acquirer().refresh_due_here();
        for _ in 0..1000 {
            world.acquire_by(&acquirer, query("mail")).unwrap();
            world.advance(1);
        }
        let least = 1000 / u32::try_from(life).unwrap();
        let redemptions = world.provider.redemptions();
        assert!(
            (least..=3 * (least + 1)).contains(&redemptions),
            "{redemptions} refreshes of tokens of {life} s in 1000 s"
        );
        assert!(world.provider.is_content());
    }
}

#[test]
fn an_expired_token_serves_while_the_provider_is_out_of_order_if_told_so() {
    let world = AcquireFixture::new();
    let mut token = access("mail", "extended");
    token.extended_expires_at = Some(now() + Duration::from_secs(7200));
    world.live.put(token).unwrap();
    world.advance(4000);
    let failing = |_: &Grant| -> Result<Tokens, RefreshError> { Err(RefreshError::failed("down")) };
    let acquirer = world.acquirer();
    let lenient = || AccessRequest::new(query("mail").even_if_expired());
    assert!(matches!(
        acquirer.acquire(&world.live, query("mail"), failing),
        Err(AcquireError::Refresh(_))
    ));
    assert_eq!(
        acquirer.acquire(&world.live, lenient(), failing).unwrap().secret.expose(),
        "extended"
    );
    // Not what was asked not to be given, nor when the provider wants to see the user.
    assert!(matches!(
        acquirer.acquire(&world.live, lenient().force_refresh(), failing),
        Err(AcquireError::Refresh(_))
    ));
    assert!(matches!(
        acquirer.acquire(&world.live, lenient().claims("c"), failing),
        Err(AcquireError::Refresh(_))
    ));
    let stored = world.live.access_token(&query("mail").even_if_expired()).unwrap().unwrap();
    assert!(matches!(
        acquirer.acquire(&world.live, lenient().instead_of(&stored), failing),
        Err(AcquireError::Refresh(_))
    ));
    let asking = |_: &Grant| Err(RefreshError::interaction_required(None, "mfa"));
    assert_eq!(
        reason(&acquirer.acquire(&world.live, lenient(), asking).unwrap_err()),
        InteractionReason::Provider
    );
    assert_eq!(world.acquire(lenient()).unwrap(), "at-1");
}

#[test]
fn a_token_that_comes_expired_is_no_token() {
    let world = AcquireFixture::new();
    let old = |grant: &Grant| Ok(grant.access_token(None, "old", Duration::ZERO).into());
    assert!(matches!(
        world.acquirer().acquire(&world.live, query("mail"), old),
        Err(AcquireError::Refresh(_))
    ));
}
