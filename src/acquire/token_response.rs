//! How a token response is read where providers do not answer in the words of the request: scopes,
//! lifetimes, and tokens without a text.
//!
//! Pure functions, for tokens that a closure makes by hand and for those that `oauth::Received`
//! reads.

use std::time::Duration;

use crate::model::scopes::Scopes;
use crate::model::token::Token;

/// A longer lifetime is an error of the provider's (MSAL.NET takes it for one too).
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// The lifetime that is assumed if the provider's cannot be right, or cannot be read: it gave one,
/// so the token does not live for ever. Most providers give at least this, and if the provider
/// meant more, the error costs a refresh.
pub(crate) const UNREADABLE: Duration = Duration::from_secs(60 * 60);

/// The lifetime that is believed, of the one that a provider gives.
pub(crate) fn believed(life: Duration) -> Duration {
    if life > MAX_LIFETIME { UNREADABLE } else { life }
}

/// Whether a token's text is empty or blank. Some providers that have no token to give send such a
/// text (RFC 6749 §5.1 would have them leave the field out), and no provider issues a token of
/// spaces, though the grammar allows it (appendix A.12).
pub(crate) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Whether a token has no text.
pub(super) fn is_none(token: &Token) -> bool {
    is_blank(match token {
        Token::Access(token) => token.secret.expose(),
        Token::Refresh(token) => token.secret.expose(),
        Token::Id(token) => token.secret.expose(),
    })
}

/// Whether a scope stands for something else, so that providers do not repeat it in the response:
/// OpenID Connect's, and Entra's "all that was consented to".
pub(crate) fn is_stand_in(scope: &str) -> bool {
    is_of_openid(scope) || is_default(scope)
}

/// OpenID Connect's own scopes, which say what comes beside the access token.
pub(crate) fn is_of_openid(scope: &str) -> bool {
    matches!(scope, "openid" | "profile" | "offline_access")
}

/// Entra's scope for "all that was consented to".
pub(crate) fn is_default(scope: &str) -> bool {
    scope.ends_with("/.default")
}

/// The scopes of a list that is separated by commas, as GitHub and Slack answer, or by commas with
/// spaces; `None` if the list is not of that kind.
///
/// RFC 6749 §3.3 separates by spaces, and allows commas *in* scopes. So in a list with spaces the
/// commas belong to the scopes, unless there is a comma at every space. If a scope with a comma was
/// asked for, commas belong to scopes too. They separate then only if the list does not have that
/// scope, but has all the scopes that commas would separate in the request (GitHub takes
/// `scope=repo,gist` for two).
pub(crate) fn by_commas<'a>(list: &[&'a str], asked: &'a Scopes) -> Option<Vec<&'a str>> {
    let list: Vec<&str> = list.iter().copied().filter(|scope| !scope.is_empty()).collect();
    let at_spaces = list.iter().filter(|scope| scope.ends_with(',')).count();
    if !list.iter().any(|scope| scope.contains(',')) || at_spaces + 1 < list.len() {
        return None;
    }
    let single = |scope: &'a str| scope.split(',').filter(|part| !part.is_empty());
    let mut given: Vec<&str> = list.iter().copied().flat_map(single).collect();
    let of_several: Vec<&str> = asked.iter().filter(|scope| scope.contains(',')).collect();
    if !of_several.is_empty() {
        let is_named = of_several.iter().any(|scope| list.contains(scope));
        if is_named || !asked.iter().flat_map(single).all(|part| given.contains(&part)) {
            return None;
        }
        given.extend(of_several);
    }
    (!given.is_empty()).then_some(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(list: &str, asked: &str) -> Option<String> {
        let asked = Scopes::parse(asked).unwrap();
        by_commas(&list.split(' ').collect::<Vec<_>>(), &asked).map(|given| given.join(" "))
    }

    #[test]
    fn commas_separate_scopes_unless_they_are_part_of_their_names() {
        let is = |list, asked, given: &str| {
            assert_eq!(split(list, asked).as_deref(), Some(given), "{list:?} for {asked:?}")
        };
        is("repo,gist", "repo gist", "repo gist");
        is("repo,gist", "", "repo gist");
        is("repo,gist", "admin:org", "repo gist");
        is("repo, gist", "repo", "repo gist");
        is("repo,gist, user", "repo", "repo gist user");
        is(",repo,,gist,", "repo", "repo gist");
        // Asked for with commas, and answered in another order.
        is("gist,repo", "repo,gist", "gist repo repo,gist");

        let is_not = |list, asked| assert_eq!(split(list, asked), None, "{list:?} for {asked:?}");
        is_not("repo gist", "repo gist");
        is_not("repo", "repo");
        is_not("", "");
        is_not(",", "");
        // A scope's name has it: there are spaces, or it was asked for.
        is_not("a,b c", "");
        is_not("a, b c", "");
        is_not("a,b", "a,b");
        is_not("a,b", "a,b c");
        is_not("c,d", "a,b c");
    }
}
