//! Forms and queries, read strictly: a parameter that comes twice is refused.

use openidconnect::url::form_urlencoded;

use crate::logout::rejected::Rejected;

/// The longest body and the longest query that are read, in bytes.
pub(crate) const MAX_BODY: usize = 16 * 1024;
pub(crate) const MAX_QUERY: usize = 4 * 1024;

/// The parameter of this name, if there is one. Other parameters are ignored.
///
/// # Errors
/// [`Rejected::Malformed`] if it comes more than once: two readers could take different values.
pub(crate) fn parameter(form: &[u8], name: &str) -> Result<Option<String>, Rejected> {
    let mut found =
        form_urlencoded::parse(form).filter(|(key, _)| key == name).map(|(_, value)| value);
    let value = found.next();
    match found.next() {
        Some(_) => Err(Rejected::Malformed("a parameter comes more than once")),
        None => Ok(value.map(Into::into)),
    }
}

/// Whether a body is a form, by its `Content-Type`. A body without one may be.
pub(crate) fn is_form(content_type: Option<&str>) -> bool {
    let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_none_or(|essence| essence.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_counts_if_it_comes_once() {
        let of = |form: &str| parameter(form.as_bytes(), "sid");
        assert_eq!(of("a=b&sid=x%2By+z&sid2=q"), Ok(Some("x+y z".into())));
        assert_eq!(
            (of(""), of("SID=x"), of("sid=")),
            (Ok(None), Ok(None), Ok(Some(String::new())))
        );
        assert!(of("sid=x&sid=x").is_err() && of("sid&s%69d=x").is_err());
    }

    #[test]
    fn a_form_says_so() {
        for (value, is) in [
            (Some("application/x-www-form-urlencoded"), true),
            (Some("Application/X-WWW-form-urlencoded ; charset=UTF-8"), true),
            (Some("application/json"), false),
            (Some("application/x-www-form-urlencodedx"), false),
            (Some(""), false),
            (None, true),
        ] {
            assert_eq!(is_form(value), is, "{value:?}");
        }
    }
}
