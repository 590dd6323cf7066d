//! What the app's page shows, and what the store holds: the same, or the test fails.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use oubliette::{AccessQuery, AsyncTokenStore, ClientId, Page};
use serde_json::{Value, json};

use super::driver::Browser;

/// Tokens by tenant, account and sign-in: their kinds, and until when an access token is good. Accounts are named by their subject alone, as the
/// page does.
pub(crate) type Held = BTreeMap<String, BTreeMap<String, BTreeMap<String, BTreeSet<String>>>>;

/// What the page shows, read from its attributes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    /// User and tenant, if somebody is signed in.
    pub(crate) me: Option<(String, String)>,
    pub(crate) held: Held,
    /// Position and size of the ledger.
    pub(crate) ledger: (u64, u64),
    /// Signals that came, newest first, with their scopes.
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub(crate) struct Event {
    pub(crate) signal: String,
    pub(crate) scope: String,
    pub(crate) micros: String,
}

/// Gives plain data, or null while there is no such page.
const READ: &str = r#"
const all = (root, css) => [...root.querySelectorAll(css)];
const me = document.querySelector('#me'), ledger = document.querySelector('#ledger');
if (!me || !ledger) return null;
const map = (list, name, value) => {
  const found = {};
  for (const item of list) { if (item.dataset[name] in found) return null; found[item.dataset[name]] = value(item); }
  return found;
};
return {
  me: me.dataset.user ? [me.dataset.user, me.dataset.tenant] : null,
  held: map(all(document, 'section[data-tenant]'), 'tenant', section => map(all(section, 'li[data-account]'), 'account', account =>
    map(all(account, '[data-sign-in]'), 'signIn', signIn => all(signIn, '[data-token]').map(token => {
      const until = token.querySelector('time');
      return token.dataset.token + (until ? ' until ' + until.dateTime : '');
    })))),
  ledger: [Number(ledger.dataset.position), Number(ledger.dataset.bytes)],
  events: all(document, 'ol#events > li[data-signal]').map(({dataset}) => ({signal: dataset.signal, scope: dataset.scope, micros: dataset.micros})),
};"#;

impl Shown {
    /// What this page shows now.
    pub(crate) async fn on(browser: &Browser) -> Option<Self> {
        let read = browser.run(READ, json!([])).await;
        if read.is_null() {
            return None;
        }
        let part = |name: &str| read[name].clone();
        let mut held: Held = parse(part("held"));
        held.retain(|_, accounts| !accounts.is_empty()); // a tenant may be shown though nobody is there
        let ledger = parse(part("ledger"));
        Some(Self { me: parse(part("me")), held, ledger, events: parse(part("events")) })
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// What the store holds, by its public verbs; and where its ledger is.
pub(crate) async fn held(store: &AsyncTokenStore, client: &ClientId) -> (Held, (u64, u64)) {
    let mut held = Held::new();
    let mut page = Some(Page::first(100));
    while let Some(next) = page.take() {
        let accounts = store.accounts(next).await.unwrap();
        page = accounts.next;
        for account in accounts.accounts {
            let subject = account.id.subject().unwrap().sub().to_owned();
            for live in account.sign_ins {
                let access = live
                    .access_token(&AccessQuery::new(client.clone()).even_if_expired())
                    .await
                    .unwrap();
                let access = access.map(|token| {
                    format!(
                        "access until {:.0}",
                        Timestamp::try_from(token.expires_at.unwrap()).unwrap()
                    )
                });
                let refresh = live.refresh_token(client).await.unwrap().map(|_| "refresh".into());
                let id = live.id_token(client).await.unwrap().map(|_| "id".into());
                let tokens = [access, refresh, id].into_iter().flatten().collect();
                let tenant = held.entry(live.tenant().as_str().to_owned()).or_default();
                tenant.entry(subject.clone()).or_default().insert(hex(live.id()), tokens);
            }
        }
    }
    let stats = store.stats().await.unwrap();
    (held, (stats.synced, stats.ledger_bytes))
}

fn hex(id: [u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
