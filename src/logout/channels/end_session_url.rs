//! The address at which a user signs out at the provider: OpenID Connect RP-Initiated Logout 1.0
//! §2.

use openidconnect::url::{Url, form_urlencoded};

/// The parameters that a sign-out sets.
#[derive(Clone, Copy, Default)]
pub(crate) struct Parameters<'a> {
    pub(crate) id_token_hint: Option<&'a str>,
    /// The client that the user is signed in as.
    pub(crate) client_id: Option<&'a str>,
    /// The client to name if the address names none.
    pub(crate) or_client_id: Option<&'a str>,
    pub(crate) logout_hint: Option<&'a str>,
    pub(crate) post_logout_redirect_uri: Option<&'a str>,
    pub(crate) state: Option<&'a str>,
    pub(crate) ui_locales: Option<&'a str>,
}

/// The parameters that are left out of a query that is too long, in this order. (The provider needs
/// the others to send the user back.)
const DROPPABLE: [&str; 3] = ["id_token_hint", "ui_locales", "logout_hint"];

/// The endpoint's address with these parameters, each once. A parameter that the address has
/// already is replaced: the address cannot know which user signs out. What is not set here stays as
/// it is there. A query longer than `longest_query` bytes loses what can be left out.
pub(crate) fn end_session_url(
    endpoint: &Url,
    parameters: &Parameters<'_>,
    longest_query: usize,
) -> String {
    let has_client = endpoint.query_pairs().any(|(name, _)| name == "client_id");
    let client_id = parameters.client_id.or(parameters.or_client_id.filter(|_| !has_client));
    let set = [
        ("id_token_hint", parameters.id_token_hint),
        ("client_id", client_id),
        ("logout_hint", parameters.logout_hint),
        ("post_logout_redirect_uri", parameters.post_logout_redirect_uri),
        ("state", parameters.state),
        ("ui_locales", parameters.ui_locales),
    ];
    let mut set: Vec<(&str, &str)> =
        set.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let mut droppable = DROPPABLE.iter();
    loop {
        let url = with(endpoint, &set);
        let is_short = url.query().unwrap_or_default().len() <= longest_query;
        match droppable.next() {
            Some(dropped) if !is_short => set.retain(|(name, _)| name != dropped),
            _ => return url.into(),
        }
    }
}

/// The address with these parameters in place of its own of the same names.
fn with(endpoint: &Url, set: &[(&str, &str)]) -> Url {
    let is_set = |part: &&str| {
        form_urlencoded::parse(part.as_bytes())
            .any(|(name, _)| set.iter().any(|(set, _)| *set == name))
    };
    // The other parameters stay byte for byte.
    let own: Vec<&str> = endpoint
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty() && !is_set(part))
        .collect();
    let mut url = endpoint.clone();
    url.set_query(Some(own.join("&").as_str()).filter(|own| !own.is_empty()));
    if !set.is_empty() {
        url.query_pairs_mut().extend_pairs(set);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Parameters<'_> = Parameters {
        id_token_hint: Some("h.i.nt"),
        client_id: Some("web"),
        or_client_id: Some("first"),
        logout_hint: Some("jane"),
        post_logout_redirect_uri: Some("https://app.example/out"),
        state: Some("s"),
        ui_locales: Some("de en"),
    };

    fn query(endpoint: &str, parameters: &Parameters<'_>, longest: usize) -> String {
        let url = end_session_url(&Url::parse(endpoint).unwrap(), parameters, longest);
        url.split_once('?').map_or("", |(_, query)| query).to_owned()
    }

    #[test]
    fn each_parameter_stands_once_and_what_is_said_of_the_user_counts() {
        let whole = "id_token_hint=h.i.nt&client_id=web&logout_hint=jane&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fout\
                     &state=s&ui_locales=de+en";
        assert_eq!(query("https://op.example/end", &ALL, 2048), whole);
        assert_eq!(query("https://op.example/end?", &ALL, 2048), whole);
        // Also where a name is encoded, or there twice; everything else stays byte for byte.
        let endpoint = "https://op.example/end?client_id=old&p=b2c%5F1&%73tate=x&client%5Fid=older&id_token_hint&ui_locales=fr&logout_hint=\
                        &q=a%20b&post_logout_redirect_uri=https://x";
        assert_eq!(query(endpoint, &ALL, 2048), format!("p=b2c%5F1&q=a%20b&{whole}"));
    }

    #[test]
    fn what_is_not_said_stays_as_the_address_has_it() {
        let endpoint = "https://op.example/end?client_id=app&post_logout_redirect_uri=https%3A%2F%2Fapp.example&ui_locales=fr";
        let nothing = Parameters { or_client_id: Some("first"), ..Parameters::default() };
        assert_eq!(end_session_url(&Url::parse(endpoint).unwrap(), &nothing, 2048), endpoint);
        // Without a client in the address, it is the app's first.
        assert_eq!(query("https://op.example/end", &nothing, 2048), "client_id=first");
        assert_eq!(
            end_session_url(
                &Url::parse("https://op.example/end").unwrap(),
                &Parameters::default(),
                0
            ),
            "https://op.example/end"
        );
    }

    #[test]
    fn a_query_that_is_too_long_loses_the_hint_first_and_never_the_client() {
        let lacks = |longest: usize| {
            let query = query("https://op.example/end?p=1", &ALL, longest);
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
                DROPPABLE
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
        // What is left is what the provider needs.
        assert_eq!(lost, DROPPABLE);
        assert_eq!(lacks(0).0, shortest);
    }
}
