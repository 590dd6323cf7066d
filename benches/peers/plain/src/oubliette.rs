//! The store itself, as an app would use it. A token without a refresh token is by default only
//! safe from the death of the process; here every put survives a power loss, as with the peers.

use std::path::Path;
use std::time::{Duration, SystemTime};

use oubliette::{
    AccessQuery, AccessToken, AccountId, ClientId, Durability, KeySource, LiveSignIn, Scopes, SessionId, SignIn, SignOut,
    Subject, TenantId, Token, TokenStore,
};
use peers_kit::{Peer, hex_name, tenant};

pub(crate) struct Oubliette<const SQLITE: bool> {
    store: TokenStore,
    client: ClientId,
    /// What an app has ready: the scopes of its calls.
    queries: Vec<AccessQuery>,
}

fn account_id(account: u64) -> AccountId {
    AccountId::new("login.example.com", format!("{}.{:032x}", hex_name(account), tenant(account))).unwrap()
}

fn tenant_id(tenant: u32) -> TenantId {
    TenantId::new(format!("tenant-{tenant}")).unwrap()
}

fn scopes(token: u32) -> Scopes {
    Scopes::parse(&format!("openid profile api://service-{token}/Files.Read")).unwrap()
}

impl<const SQLITE: bool> Oubliette<SQLITE> {
    fn token(&self, token: u32, text: Vec<u8>) -> AccessToken {
        let in_a_month = SystemTime::now() + Duration::from_secs(30 * 24 * 3600);
        AccessToken::new(self.client.clone(), scopes(token), String::from_utf8(text).unwrap(), in_a_month)
    }
}

impl<const SQLITE: bool> Peer for Oubliette<SQLITE> {
    /// `None` if nobody is signed in.
    type Handle = Option<LiveSignIn>;

    fn open(folder: &Path) -> Self {
        let key = KeySource::bytes(std::array::from_fn(|n| n as u8));
        let builder = TokenStore::builder(folder).key(key).token_durability(Durability::PowerLoss);
        let store = if SQLITE { builder.sqlite() } else { builder }.open().unwrap();
        let client = ClientId::new("web").unwrap();
        let queries = (0..1000).map(|token| AccessQuery::new(client.clone()).scopes(scopes(token))).collect();
        Self { store, client, queries }
    }

    fn about(&self) -> String {
        if SQLITE { "oubliette, rows in SQLite".into() } else { "oubliette".into() }
    }

    fn load(&self, accounts: &[(u64, Vec<Vec<u8>>)]) {
        const ISSUER: &str = "https://login.example.com";
        let load = |(account, texts): &(u64, Vec<Vec<u8>>)| {
            let sign_in = SignIn::new(account_id(*account), tenant_id(tenant(*account)))
                .session(SessionId::new(ISSUER, format!("session-{account}")).unwrap())
                .subject(Subject::new(ISSUER, format!("subject-{account}")).unwrap());
            let live = self.store.sign_in(sign_in).unwrap();
            let tokens: Vec<Token> = (0..).zip(texts).map(|(token, text)| self.token(token, text.clone()).into()).collect();
            let mut tokens = tokens.into_iter().peekable();
            while tokens.peek().is_some() {
                live.put(tokens.by_ref().take(250).collect::<Vec<Token>>()).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for some in accounts.chunks(accounts.len().div_ceil(16)) {
                scope.spawn(move || some.iter().for_each(load));
            }
        });
    }

    fn handle(&self, account: u64) -> Self::Handle {
        self.store.account(&account_id(account)).unwrap().into_iter().next()
    }

    fn put(&self, handle: &Self::Handle, token: u32, text: Vec<u8>) {
        handle.as_ref().unwrap().put(self.token(token, text)).unwrap();
    }

    fn get(&self, handle: &Self::Handle, token: u32) -> Option<Vec<u8>> {
        let found = handle.as_ref()?.access_token(&self.queries[token as usize]).unwrap()?;
        Some(found.secret.expose().as_bytes().to_vec())
    }

    fn sign_out(&self, account: u64) {
        self.store.sign_out(SignOut::account(&account_id(account))).unwrap();
    }

    fn sign_out_tenant(&self, tenant: u32) {
        self.store.sign_out(SignOut::tenant(&tenant_id(tenant))).unwrap();
    }

    /// Until the rows are deleted, durably.
    fn settle(&self) {
        self.store.wait_reclaimed().unwrap();
    }

    fn close(self) {
        self.store.close().unwrap();
    }
}
