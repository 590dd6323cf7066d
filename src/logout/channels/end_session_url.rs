//! The address at which a user signs out at the provider: OpenID Connect RP-Initiated Logout 1.0
//! §2.

use openidconnect::url::{Url, form_urlencoded};

/// What is said to the provider.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said<'a> {
    pub(crate) id_token_hint: Option<&'a str>,
    /// The client that the user is signed in as.
    pub(crate) client_id: Option<&'a str>,
    /// The client, if the address does not say one.
    pub(crate) or_client_id: Option<&'a str>,
    pub(crate) logout_hint: Option<&'a str>,
    pub(crate) post_logout_redirect_uri: Option<&'a str>,
    pub(crate) state: Option<&'a str>,
    pub(crate) ui_locales: Option<&'a str>,
}

/// What is left out of a query that is too long, in this order. (The others the provider needs, to
/// send the user back.)
const LEFT_OUT: [&str; 3] = ["id_token_hint", "ui_locales", "logout_hint"];

/// The address with all that is said, each once. What the address says already is replaced: it
/// cannot know who is leaving. What is not said stays as it is there. A query of more than so many
/// bytes loses what can be left out.
pub(crate) fn address(endpoint: &Url, said: &Said<'_>, longest_query: usize) -> String {
    let has_client = endpoint.query_pairs().any(|(name, _)| name == "client_id");
    let said = [
        ("id_token_hint", said.id_token_hint),
        ("client_id", said.client_id.or(said.or_client_id.filter(|_| !has_client))),
        ("logout_hint", said.logout_hint),
        ("post_logout_redirect_uri", said.post_logout_redirect_uri),
        ("state", said.state),
        ("ui_locales", said.ui_locales),
    ];
    let mut said: Vec<(&str, &str)> =
        said.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let mut left_out = LEFT_OUT.iter();
    loop {
        let url = with(endpoint, &said);
        let is_short = url.query().unwrap_or_default().len() <= longest_query;
        match left_out.next() {
            Some(name) if !is_short => said.retain(|(said, _)| said != name),
            _ => return url.into(),
        }
    }
}

/// The address with these parameters, instead of those of the same names that it has.
fn with(endpoint: &Url, said: &[(&str, &str)]) -> Url {
    let is_said = |part: &&str| {
        form_urlencoded::parse(part.as_bytes())
            .any(|(name, _)| said.iter().any(|(said, _)| *said == name))
    };
    // Its other parameters stay letter by letter.
    let own: Vec<&str> = endpoint
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty() && !is_said(part))
        .collect();
    let mut url = endpoint.clone();
    url.set_query(Some(own.join("&").as_str()).filter(|own| !own.is_empty()));
    if !said.is_empty() {
        url.query_pairs_mut().extend_pairs(said);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: Said<'_> = Said {
        id_token_hint: Some("h.i.nt"),
        client_id: Some("web"),
        or_client_id: Some("first"),
        logout_hint: Some("jane"),
        post_logout_redirect_uri: Some("https://app.example/out"),
        state: Some("s"),
        ui_locales: Some("de en"),
    };

    fn query(endpoint: &str, said: &Said<'_>, longest: usize) -> String {
        let url = address(&Url::parse(endpoint).unwrap(), said, longest);
        url.split_once('?').map_or("", |(_, query)| query).to_owned()
    }

    #[test]
    fn each_parameter_stands_once_and_what_is_said_of_the_user_counts() {
        let whole = "id_token_hint=h.i.nt&client_id=web&logout_hint=jane&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fout\
                     &state=s&ui_locales=de+en";
        assert_eq!(query("https://op.example/end", &SAID, 2048), whole);
        assert_eq!(query("https://op.example/end?", &SAID, 2048), whole);
        // Also where it is written otherwise, or twice; and what else is there stays letter by
        // letter.
        let endpoint = "https://op.example/end?client_id=old&p=b2c%5F1&%73tate=x&client%5Fid=older&id_token_hint&ui_locales=fr&logout_hint=\
                        &q=a%20b&post_logout_redirect_uri=https://x";
        assert_eq!(query(endpoint, &SAID, 2048), format!("p=b2c%5F1&q=a%20b&{whole}"));
    }

    #[test]
    fn what_is_not_said_stays_as_the_address_has_it() {
        let endpoint = "https://op.example/end?client_id=app&post_logout_redirect_uri=https%3A%2F%2Fapp.example&ui_locales=fr";
        let nothing = Said { or_client_id: Some("first"), ..Said::default() };
        assert_eq!(address(&Url::parse(endpoint).unwrap(), &nothing, 2048), endpoint);
        // Without one in the address, it is the app's first.
        assert_eq!(query("https://op.example/end", &nothing, 2048), "client_id=first");
        assert_eq!(
            address(&Url::parse("https://op.example/end").unwrap(), &Said::default(), 0),
            "https://op.example/end"
        );
    }

    #[test]
    fn a_query_that_is_too_long_loses_the_hint_first_and_never_the_client() {
        let lacks = |longest: usize| {
            let query = query("https://op.example/end?p=1", &SAID, longest);
            let names: Vec<_> = form_urlencoded::parse(query.as_bytes())
                .map(|(name, _)| name.into_owned())
                .collect();
            assert!(
                ["p", "client_id", "post_logout_redirect_uri", "state"]
                    .iter()
                    .all(|name| names.iter().any(|had| had == name))
            );
            (
                query.len(),
                LEFT_OUT
                    .into_iter()
                    .filter(|name| !names.iter().any(|had| had == name))
                    .collect::<Vec<_>>(),
            )
        };
        let (whole, none) = lacks(2048);
        assert_eq!((lacks(whole), none.as_slice()), ((whole, none.clone()), [].as_slice()));
        let (shorter, lost) = lacks(whole - 1);
        assert_eq!(lost, ["id_token_hint"]);
        let (shorter, lost) = lacks(shorter - 1);
        assert_eq!(lost, ["id_token_hint", "ui_locales"]);
        let (shortest, lost) = lacks(shorter - 1);
        // What is left is what the provider has to know.
        assert_eq!(lost, LEFT_OUT);
        assert_eq!(lacks(0).0, shortest);
    }
}
