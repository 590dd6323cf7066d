//! The answer to a callback, in plain types.

use std::fmt;

use crate::logout::rejected::Rejected;

/// The answer to a callback, for any web framework: send it as it is.
///
/// It is never cached (`Cache-Control: no-store`), and it never reports success before the sign-out
/// is durable.
///
/// ```
/// # fn send(_: u16, _: Vec<(&str, &str)>, _: &str) {}
/// # fn example(answer: oubliette::logout::Answer) {
/// send(answer.status(), answer.headers().collect(), answer.body());
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use = "the provider waits for it"]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    /// The HTTP status: 200 if the sign-out was done, else 4xx or 5xx.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers: their names, in lower case, and values.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The sign-out is done. (The status is 200 and not 204: Back-Channel Logout 1.0 §2.8, and the
    /// conformance suite demands it.)
    pub(crate) fn done() -> Self {
        Self::new(200)
    }

    /// The request cannot be carried out.
    pub(crate) fn refused(why: Rejected) -> Self {
        // These may be over next time; every other reason is for the sender to correct.
        let error = match why {
            Rejected::KeysUnavailable | Rejected::Busy => "temporarily_unavailable",
            _ => "invalid_request",
        };
        Self::new(400).json(error, &why.to_string())
    }

    /// The request was valid, but was not carried out entirely. (Back-Channel Logout 1.0 §2.8
    /// prescribes 400 for that.)
    pub(crate) fn failed() -> Self {
        Self::new(400).json("server_error", "the sign-out could not be carried out; send it again")
    }

    /// The request has a method that this address does not accept.
    #[cfg(feature = "axum")]
    pub(crate) fn wrong_method(allowed: &'static str) -> Self {
        let mut answer = Self::new(405);
        answer.headers.push(("allow", allowed.into()));
        answer
    }

    /// A page that only pages of these origins may frame; the origins are separated by spaces.
    pub(crate) fn page(status: u16, text: &'static str, ancestors: Option<&str>) -> Self {
        let mut answer = Self::new(status);
        let policy =
            format!("default-src 'none'; frame-ancestors {}", ancestors.unwrap_or("'none'"));
        answer.headers.push(("content-security-policy", policy));
        answer.headers.push(("content-type", "text/html; charset=utf-8".into()));
        answer.body =
            format!("<!doctype html><html lang=\"en\"><title>{text}</title><p>{text}</p></html>\n");
        answer
    }

    /// A redirect to another address, with a cookie.
    pub(crate) fn redirect(to: &str, cookie: Option<String>) -> Self {
        let mut answer = Self::new(303);
        answer.headers.push(("location", to.into()));
        answer.headers.extend(cookie.map(|cookie| ("set-cookie", cookie)));
        answer
    }

    fn new(status: u16) -> Self {
        // No referrer: the address may name a session.
        let headers = [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ];
        Self {
            status,
            headers: headers.map(|(name, value)| (name, value.into())).into(),
            body: String::new(),
        }
    }

    fn json(mut self, error: &'static str, description: &str) -> Self {
        self.headers.push(("content-type", "application/json".into()));
        self.body =
            serde_json::json!({ "error": error, "error_description": description }).to_string();
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
