//! How long a token lasts, also when the clock is changed: no more life is believed than its
//! response gave.
//!
//! A row says when the token was stored: what the clock showed, and what had passed in that
//! process. In the same process, the older of the two readings counts: a clock that was set back
//! adds no life, nor does a machine that was suspended (its monotonic clock stood still meanwhile).
//! In a later process only the clock is left, and the life that was given bounds it: an access
//! token that was stored in what is now the future may be as old as anything, so it is not given. A
//! refresh token is: its provider judges its age at every use, and without it the user would have
//! to sign in.
//!
//! Pure functions. What comes out of [`settle`] is in terms of the clock as it shows now, so the
//! callers need not think of jumps.

use std::time::{Duration, SystemTime};

use crate::clock::Moment;
use crate::model::time::{Interval, from_millis, millis, to_millis};
use crate::model::token::{AccessToken, Token};

/// How much clocks are corrected by all the time.
const JITTER: Interval = Interval::new(1_000);

/// When a token was stored.
pub(crate) type Put = Moment;

/// A token, and when it was stored; rows of version 1 do not say.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) token: Token,
    pub(crate) put: Option<Put>,
}

/// A token in terms of the clock as it shows now.
pub(crate) struct Lasting {
    pub(crate) token: Token,
    /// How long it lasted from when it was stored, if that is known.
    pub(crate) life: Option<Interval>,
}

/// The token as it is to be read now; `None` if its age is unknown.
pub(crate) fn settle(stored: Stored, now: &Moment) -> Option<Lasting> {
    let Stored { mut token, put } = stored;
    let Some(put) = put else { return Some(Lasting { token, life: None }) };
    let life = life_of(&token, &put);
    if put.run != now.run {
        let ahead = put.shown.since(now.shown);
        // What lasts as long as its sign-in may be of any age.
        let is_told = ahead <= JITTER || life.is_none();
        let is_access = matches!(token, Token::Access(_));
        bound(&mut token, &put, Interval::ZERO);
        return (is_told || !is_access).then_some(Lasting { token, life });
    }
    let passed = now.passed.saturating_sub(put.passed);
    // What the clock should show, had it only gone on; never less than it does.
    let expected = put.shown.saturating_add(passed);
    let back = expected.since(now.shown);
    bound(&mut token, &put, if back > JITTER { back } else { Interval::ZERO });
    Some(Lasting { token, life })
}

/// How long the token lasts from when it was stored, if it does not last for ever.
pub(crate) fn life_of(token: &Token, put: &Put) -> Option<Interval> {
    let until = |end: SystemTime| to_millis(end).since(put.shown);
    match token {
        Token::Access(token) => {
            let ends = [token.expires_at.map(until), token.lifetime.map(millis)];
            ends.into_iter().flatten().min()
        }
        Token::Refresh(token) => token.expires_at.map(until),
        Token::Id(_) => None,
    }
}

/// Brings the token's times forward by what the clock has gone back, and its end to what its
/// lifetime allows.
fn bound(token: &mut Token, put: &Put, back: Interval) {
    let earlier = |time: &mut Option<SystemTime>| {
        *time = time.map(|time| {
            if back == Interval::ZERO {
                time
            } else {
                from_millis(to_millis(time).saturating_sub(back))
            }
        });
    };
    match token {
        Token::Access(token) => {
            let latest = token.lifetime.map(|life| {
                from_millis(put.shown.saturating_sub(back).saturating_add(millis(life)))
            });
            [&mut token.expires_at, &mut token.refresh_at, &mut token.extended_expires_at]
                .into_iter()
                .for_each(earlier);
            token.expires_at = [token.expires_at, latest].into_iter().flatten().min();
        }
        Token::Refresh(token) => earlier(&mut token.expires_at),
        Token::Id(_) => {}
    }
}

/// How long before its end a token is not given any more, if the clocks may differ by `skew`. This
/// is never more than half of the time from when it is to be refreshed to its end: else no caller
/// would ever be given a token that lives for a few minutes.
pub(crate) fn skew_of(token: &AccessToken, life: Option<Interval>, skew: Skew) -> Interval {
    let end = token.expires_at.map(to_millis);
    let rest = end
        .zip(token.refresh_at)
        .map(|(end, at)| end.since(to_millis(at)))
        .filter(|rest| *rest > Interval::ZERO);
    rest.map_or(Interval::MAX, |rest| rest.part_of(2)).min(skew.of(life))
}

/// What the clocks may differ by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Skew {
    /// As the app has set it.
    Set(Duration),
    /// By default: at most a tenth of the token's life.
    Default(Duration),
}

impl Skew {
    /// For a token that lasts so long.
    pub(crate) fn of(self, life: Option<Interval>) -> Interval {
        match self {
            Self::Set(skew) => millis(skew),
            Self::Default(most) => {
                life.map_or(Interval::MAX, |life| life.part_of(10)).min(millis(most))
            }
        }
    }

    /// At most.
    pub(crate) fn most(self) -> Duration {
        match self {
            Self::Set(skew) | Self::Default(skew) => skew,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ClientId;
    use crate::model::scopes::Scopes;
    use crate::model::time::Millis;
    use crate::model::token::{IdToken, RefreshToken};

    const DAY: u64 = 24 * HOUR;
    const HOUR: u64 = 3_600_000;
    const T: u64 = 1_800_000_000_000;

    fn client() -> ClientId {
        ClientId::new("client").unwrap()
    }

    fn time(millis: u64) -> SystemTime {
        from_millis(Millis::new(millis))
    }

    /// An access token that was got at `shown`, and lasts an hour.
    fn access(shown: u64, lifetime: bool) -> Token {
        let token = AccessToken::new(client(), Scopes::default(), "at", time(shown + HOUR));
        let lifetime = lifetime.then(|| Duration::from_millis(HOUR));
        AccessToken { lifetime, refresh_at: Some(time(shown + HOUR / 2)), ..token }.into()
    }

    fn refresh(shown: u64) -> Token {
        RefreshToken { expires_at: Some(time(shown + HOUR)), ..RefreshToken::new(client(), "rt") }
            .into()
    }

    /// How long the token is given from `now` on, by a clock that only goes on: `None` if it is not
    /// given at all.
    fn left(token: &Token, put: Put, now: Moment) -> Option<u64> {
        let settled = settle(Stored { token: token.clone(), put: Some(put) }, &now)?.token;
        let end = match settled {
            Token::Access(token) => token.expires_at,
            Token::Refresh(token) => token.expires_at,
            Token::Id(_) => None,
        };
        Some(to_millis(end.unwrap()).since(now.shown).get())
    }

    fn moment(shown: u64, passed: u64, run: u64) -> Moment {
        Moment { shown: Millis::new(shown), passed: Interval::new(passed), run }
    }

    #[test]
    fn a_jump_ahead_and_back_adds_no_life_in_the_same_process() {
        // Stored while the clock was a day ahead; five minutes later it is right again.
        let (put, now) = (moment(T + DAY, 1000, 1), moment(T + 300_000, 301_000, 1));
        for token in [access(T + DAY, true), access(T + DAY, false), refresh(T + DAY)] {
            assert_eq!(left(&token, put, now), Some(HOUR - 300_000));
            assert_eq!(left(&token, put, moment(T + HOUR, 1000 + HOUR, 1)), Some(0));
            // And when it is to be refreshed.
            if let Token::Access(token) =
                settle(Stored { token, put: Some(put) }, &now).unwrap().token
            {
                assert_eq!(token.refresh_at, Some(time(T + HOUR / 2)));
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_between_the_request_and_the_answer_adds_none_if_the_response_said_how_long()
     {
        // Asked for when the clock was a day ahead, stored when it was right.
        let token = access(T + DAY, true);
        assert_eq!(left(&token, moment(T, 1000, 1), moment(T, 1000, 1)), Some(HOUR));
        assert_eq!(left(&token, moment(T, 1000, 1), moment(T + HOUR, 1000 + HOUR, 2)), Some(0));
    }

    #[test]
    fn a_later_process_believes_no_access_token_from_the_future() {
        let put = moment(T + DAY, 1000, 1);
        for shown in [T, T + HOUR, T + DAY - 10 * 60_000] {
            assert_eq!(
                left(&access(T + DAY, true), put, moment(shown, 5, 2)),
                None,
                "its age cannot be told"
            );
            assert!(
                left(&refresh(T + DAY), put, moment(shown, 5, 2)).is_some(),
                "its provider judges it"
            );
        }
        // What clocks are corrected by all the time is no jump.
        assert!(left(&access(T + DAY, true), put, moment(T + DAY - 500, 5, 2)).is_some());
        assert_eq!(
            left(&access(T + DAY, true), put, moment(T + DAY + HOUR / 2, 5, 2)),
            Some(HOUR / 2)
        );
    }

    #[test]
    fn a_machine_that_was_suspended_or_a_clock_that_jumped_ahead_makes_it_older() {
        // Its monotonic clock stood still meanwhile.
        let put = moment(T, 1000, 1);
        assert_eq!(left(&access(T, true), put, moment(T + 2 * HOUR, 2000, 1)), Some(0));
        assert_eq!(left(&access(T, true), put, moment(T + DAY, 2000, 1)), Some(0));
        assert_eq!(
            left(&access(T, true), put, moment(T + 60_000, 61_000, 1)),
            Some(HOUR - 60_000),
            "and is there again"
        );
    }

    /// Every jump, in the same process and in another: never more than what was given, counted from
    /// when it was stored.
    #[test]
    fn no_more_life_is_believed_than_was_given() {
        let jumps: [i64; 7] = [0, 1, -1, 24, -24, 2400, -2400];
        let mut given = 0;
        for (at_put, at_read, run) in jumps
            .iter()
            .flat_map(|a| jumps.iter().flat_map(move |b| [1, 2].map(|run| (*a, *b, run))))
        {
            for minutes in [0, 1, 30, 59, 60, 61, 1440] {
                let hours = |jump: i64| jump * i64::try_from(HOUR).unwrap();
                let passed = minutes * 60_000;
                let put = moment(T.checked_add_signed(hours(at_put)).unwrap(), 1000, 1);
                let now = moment(
                    (T + passed).checked_add_signed(hours(at_read)).unwrap(),
                    1000 + passed,
                    run,
                );
                for token in [access(put.shown.get(), true), access(put.shown.get(), false)] {
                    let left = left(&token, put, now).unwrap_or(0);
                    let is_told = run == 1 || at_read >= at_put;
                    assert!(
                        !is_told || left <= HOUR.saturating_sub(passed),
                        "{at_put} {at_read} {run} {minutes}: {left}"
                    );
                    assert!(left <= HOUR + JITTER.get());
                    given += usize::from(left > 0);
                }
            }
        }
        assert!(given > 100);
    }

    #[test]
    fn what_does_not_end_is_left_alone() {
        let put = moment(T + DAY, 1000, 1);
        let endless = AccessToken::new(client(), Scopes::default(), "at", None);
        for token in [endless.into(), IdToken::new(client(), "id").into()] {
            for run in [1, 2] {
                let lasting = settle(
                    Stored { token: Token::clone(&token), put: Some(put) },
                    &moment(T, 5, run),
                )
                .unwrap();
                assert!(lasting.token == token && lasting.life.is_none());
            }
        }
        let lasting =
            settle(Stored { token: access(T, false), put: None }, &moment(T, 5, 1)).unwrap();
        assert!(lasting.token == access(T, false), "of version 1");
    }

    #[test]
    fn the_default_skew_is_a_tenth_of_a_life_at_most() {
        let default = Skew::Default(Duration::from_secs(300));
        assert_eq!(
            [Some(300_000), Some(3_600_000), None]
                .map(|life| default.of(life.map(Interval::new)).get()),
            [30_000, 300_000, 300_000]
        );
        assert_eq!(
            Skew::Set(Duration::from_secs(300)).of(Some(Interval::new(300_000))),
            Interval::new(300_000)
        );
    }
}
