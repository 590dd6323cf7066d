//! Reads how long a response says that its access token lasts.

use std::time::Duration;

use crate::acquire::token_response::{UNREADABLE, believed};

/// The `expires_in` of a response (RFC 6749 §5.1), as the response has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// It is missing, or null.
    #[default]
    Unsaid,
    /// It is this number of seconds. A negative number counts as 0, because such a token has
    /// expired.
    Given(u64),
    /// It is something else.
    Unreadable,
}

impl Life {
    /// Reads a member's JSON text: seconds as a number, or as a number in a text (Entra's v1.0
    /// endpoints, NetSuite, SAP). A fraction is cut off, so that the result is never more than was
    /// given.
    pub(super) fn read(json: &str) -> Self {
        let json = json.trim();
        match serde_json::from_str::<String>(json) {
            Ok(text) => Self::of_number(text.trim()),
            Err(_) if json == "null" => Self::Unsaid,
            Err(_) => Self::of_number(json),
        }
    }

    fn of_number(text: &str) -> Self {
        seconds(text).map_or(Self::Unreadable, Self::Given)
    }

    /// The smaller of two lives, for a response that gives it twice.
    pub(super) fn and(self, other: Self) -> Self {
        let (mine, others) = (self.believed(None), other.believed(None));
        match (mine, others) {
            (None, _) => other,
            (_, None) => self,
            (Some(mine), Some(others)) if mine == others && other == Self::Unreadable => other,
            (Some(mine), Some(others)) => {
                if mine <= others {
                    self
                } else {
                    other
                }
            }
        }
    }

    /// How long the token lasts; `None` if that is not known. `unsaid` is what the provider
    /// documents for a response that does not say.
    ///
    /// A life that cannot be read is not a life that was not given: it counts as one hour, or less
    /// if less is documented. So does a life that cannot be right.
    pub(super) fn believed(self, unsaid: Option<Duration>) -> Option<Duration> {
        let unsaid = unsaid.map(believed);
        let at_most = unsaid.map_or(UNREADABLE, |unsaid| unsaid.min(UNREADABLE));
        match self {
            Self::Unsaid => unsaid,
            Self::Given(seconds) => {
                let given = Duration::from_secs(seconds);
                Some(if believed(given) == given { given } else { at_most })
            }
            Self::Unreadable => Some(at_most),
        }
    }
}

/// The whole seconds of a decimal number; 0 if it is negative.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    let number = text.parse::<f64>().ok().filter(|number| is_number && !number.is_nan())?;
    if number <= 0.0 {
        return Some(0);
    }
    // The number above is rounded, perhaps upwards, so it is not used if the digits can be read
    // exactly.
    let whole =
        text.strip_prefix('+').unwrap_or(text).split_once('.').map_or(text, |(whole, _)| whole);
    let exact = if whole.is_empty() { Some(0) } else { whole.parse().ok() };
    let is_plain = !text.contains(['e', 'E']);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and is positive"
    )]
    Some(exact.filter(|_| is_plain).unwrap_or(number as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_read_however_it_is_written_and_never_as_more_than_it_says() {
        let reads = |json: &str, life: Life| assert_eq!(Life::read(json), life, "{json}");
        for json in [
            "3600",
            "3600.0",
            "3600.9",
            "\"3600\"",
            "\" 3600 \"",
            "\"3600.99\"",
            "3.6e3",
            "\"+3600\"",
            "3600.99999999999999999999",
        ] {
            reads(json, Life::Given(3600));
        }
        for json in [
            "0",
            "-0",
            "-1",
            "-3600.5",
            "\"-1\"",
            "0.9",
            "-1e300",
            "\".5\"",
            "1e-9",
            "-99999999999999999999",
        ] {
            reads(json, Life::Given(0));
        }
        for json in
            ["18446744073709551616", "1e300", "1e999", "\"1e999\"", "99999999999999999999.5"]
        {
            reads(json, Life::Given(u64::MAX));
        }
        for json in [
            "true",
            "[3600]",
            "{}",
            "\"\"",
            "\"soon\"",
            "\"inf\"",
            "\"NaN\"",
            "\"1h\"",
            "\"0x10\"",
            "\".\"",
            "\"\\ud800\"",
        ] {
            reads(json, Life::Unreadable);
        }
        reads("null", Life::Unsaid);
    }

    #[test]
    fn what_is_believed_is_never_more_than_was_given_and_never_for_ever() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        for unsaid in [None, hours(2)] {
            assert_eq!(Life::Unsaid.believed(unsaid), unsaid);
            assert_eq!(Life::Given(60).believed(unsaid), Some(Duration::from_secs(60)));
            assert_eq!(Life::Given(u64::MAX).believed(unsaid), hours(1));
            assert_eq!(Life::Unreadable.believed(unsaid), hours(1));
        }
        let less = Some(Duration::from_secs(7));
        assert_eq!(
            (Life::Unreadable.believed(less), Life::Given(u64::MAX).believed(less)),
            (less, less)
        );
        // A documented life is no more "for ever" than a given one.
        assert_eq!(Life::Unsaid.believed(Some(Duration::MAX)), hours(1));
    }

    #[test]
    fn of_two_lives_the_smaller_counts() {
        let all = [
            Life::Unsaid,
            Life::Given(60),
            Life::Given(7200),
            Life::Given(u64::MAX),
            Life::Unreadable,
        ];
        let least =
            |a: Life, b: Life| [a.believed(None), b.believed(None)].into_iter().flatten().min();
        for (a, b) in all.into_iter().flat_map(|a| all.map(|b| (a, b))) {
            assert_eq!(a.and(b).believed(None), least(a, b), "{a:?} {b:?}");
        }
        assert_eq!(Life::Given(3600).and(Life::Unreadable), Life::Unreadable);
        assert_eq!(Life::Unreadable.and(Life::Given(3600)), Life::Unreadable);
    }
}
