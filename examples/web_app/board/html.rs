//! **Demonstration.** What the parts of the page are written with.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// A form that is one button.
pub(super) fn button(html: &mut String, id: &str, action: &str, text: &str, class: &str) {
    add(
        html,
        format_args!(
            r#"<form method="post" action="{action}">
<button id="{id}" class="{class}">{text}</button></form>"#
        ),
    );
}

pub(super) fn add(html: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = html.write_fmt(what);
}

/// Safe in text and in quoted attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// For machines (RFC 3339).
pub(super) fn moment(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| format!("{time:.0}")).unwrap_or_default()
}

pub(super) fn clock(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| time.strftime("%H:%M:%S UTC").to_string())
        .unwrap_or_default()
}

pub(super) fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

pub(super) fn short(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        micros => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
    }
}

pub(super) fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes.div_ceil(1024))
}
