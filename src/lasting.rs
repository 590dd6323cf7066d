//! How long a token lasts, whatever becomes of the clock: no more life is believed than its response gave.
//!
//! A row says when the token was stored: what the clock showed, and what had passed in that process. In the same process, the older of the
//! two readings counts: a clock that was set back adds no life, nor does a machine that was suspended (its monotonic clock stood still
//! meanwhile). In a later process only the clock is left, and the life that was given bounds it: an access token that was stored in what
//! is now the future may be as old as anything, so it is not given. A refresh token is: its provider judges its age at every use, and
//! without it the user would have to sign in.
//!
//! Pure functions. What comes out of [`settle`] is in terms of the clock as it shows now, so nobody behind it need think of jumps.

use std::time::{Duration, SystemTime};

use crate::clock::{Millis, Moment, from_millis, millis, to_millis};
use crate::token::{AccessToken, Token};

/// Clocks are corrected by so much all the time.
const JITTER: Millis = 1_000;

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
    pub(crate) life: Option<Millis>,
}

/// The token as it is to be read now; `None` if its age cannot be told.
pub(crate) fn settle(stored: Stored, now: &Moment) -> Option<Lasting> {
    let Stored { mut token, put } = stored;
    let Some(put) = put else { return Some(Lasting { token, life: None }) };
    let life = life_of(&token, &put);
    if put.run != now.run {
        let ahead = put.shown.saturating_sub(now.shown);
        let is_told = ahead <= JITTER.max(life.unwrap_or(0) / 10);
        let is_access = matches!(token, Token::Access(_));
        bound(&mut token, &put, 0);
        return (is_told || !is_access).then_some(Lasting { token, life });
    }
    let passed = now.passed.saturating_sub(put.passed);
    // What the clock should show, had it only gone on; never less than it does.
    let expected = put.shown.saturating_add(passed);
    let back = expected.saturating_sub(now.shown);
    bound(&mut token, &put, if back > JITTER { back } else { 0 });
    Some(Lasting { token, life })
}

/// How long the token lasts from when it was stored, if it does not last for ever.
pub(crate) fn life_of(token: &Token, put: &Put) -> Option<Millis> {
    let until = |end: SystemTime| to_millis(end).saturating_sub(put.shown);
    match token {
        Token::Access(token) => {
            let ends = [token.expires_at.map(until), token.lifetime.map(millis)];
            ends.into_iter().flatten().min()
        }
        Token::Refresh(token) => token.expires_at.map(until),
        Token::Id(_) => None,
    }
}

/// Brings the token's times forward by what the clock has gone back, and its end to what its lifetime allows.
fn bound(token: &mut Token, put: &Put, back: Millis) {
    let earlier = |time: &mut Option<SystemTime>| {
        *time = time.map(|time| if back == 0 { time } else { from_millis(to_millis(time).saturating_sub(back)) });
    };
    match token {
        Token::Access(token) => {
            let latest = token.lifetime.map(|life| from_millis(put.shown.saturating_sub(back).saturating_add(millis(life))));
            [&mut token.expires_at, &mut token.refresh_at, &mut token.extended_expires_at].into_iter().for_each(earlier);
            token.expires_at = [token.expires_at, latest].into_iter().flatten().min();
        }
        Token::Refresh(token) => earlier(&mut token.expires_at),
        Token::Id(_) => {}
    }
}

/// How long before its end a token is not given any more, whose end the clocks may put off by `skew`. Never more than half of the time
/// from when it is to be refreshed to its end: else nobody would ever be given a token that lives for a few minutes.
pub(crate) fn skew_of(token: &AccessToken, life: Option<Millis>, skew: Skew) -> Millis {
    let end = token.expires_at.map(to_millis);
    let rest = end.zip(token.refresh_at).and_then(|(end, at)| end.checked_sub(to_millis(at))).filter(|rest| *rest > 0);
    rest.map_or(Millis::MAX, |rest| rest / 2).min(skew.of(life))
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
    pub(crate) fn of(self, life: Option<Millis>) -> Millis {
        match self {
            Self::Set(skew) => millis(skew),
            Self::Default(most) => life.map_or(Millis::MAX, |life| life / 10).min(millis(most)),
        }
    }

    /// At most.
    pub(crate) fn most(self) -> Duration {
        match self {
            Self::Set(skew) | Self::Default(skew) => skew,
        }
    }
}
