//! Reads and shows times as operators write them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// Reads RFC 3339 (`2026-11-21T10:20:00+01:00`), or seconds since 1970.
pub(crate) fn parse(text: &str) -> Result<SystemTime, &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        return seconds.map(SystemTime::from).ok_or("seconds since 1970 do not reach that far");
    }
    let time: Timestamp = text
        .parse()
        .map_err(|_| "neither RFC 3339, as 2026-11-21T10:20:00Z, nor seconds since 1970")?;
    if time < Timestamp::UNIX_EPOCH { Err("it lies before 1970") } else { Ok(time.into()) }
}

/// Shows a time as RFC 3339, in UTC.
pub(crate) fn show(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "after 9999".into(), |time| time.to_string())
}

/// Shows the day, in UTC.
pub(crate) fn show_day(time: SystemTime) -> String {
    show(time).chars().take_while(|character| *character != 'T').collect()
}

/// The duration of this number of days.
pub(crate) fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 24 * 3600)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may")]

    use super::*;

    #[test]
    fn a_time_has_two_spellings() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_254_000);
        for text in [
            "1795254000",
            "2026-11-21T09:40:00Z",
            "2026-11-21T10:40:00+01:00",
            "2026-11-21 09:40:00Z",
        ] {
            assert_eq!(parse(text).unwrap(), at, "{text}");
        }
        assert_eq!(show(at), "2026-11-21T09:40:00Z");
        assert_eq!(show_day(at), "2026-11-21");
        let with_millis = parse("2026-11-21T09:40:00.25Z").unwrap();
        assert_eq!(
            (with_millis, show(with_millis)),
            (at + Duration::from_millis(250), "2026-11-21T09:40:00.25Z".into())
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "-5",
            "2026-11-21",
            "2026-11-21T10:20:00",
            "99999999999999999999",
            "1969-12-31T00:00:00Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
