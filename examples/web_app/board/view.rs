//! **Demonstration.** What the store holds, as its public interface tells it: that a token is
//! there, and until when. Never the token.

use std::collections::BTreeMap;
use std::time::SystemTime;

use oubliette::{AccountId, AsyncSignIn, Page, TenantId};

use super::super::Fault;
use super::super::app::{App, calls};
use super::super::ordinary::{Got, Who};
use super::{Board, hex};

/// More accounts than this are not listed.
pub(super) const MOST: usize = 200;

pub(super) struct View {
    /// By tenant, the accounts with sign-ins there; one that is a guest is in several.
    pub(super) tenants: BTreeMap<String, BTreeMap<String, Vec<SignIn>>>,
    pub(super) has_more: bool,
    pub(super) ledger: Ledger,
    pub(super) now: SystemTime,
}

impl View {
    pub(super) fn has(&self, Who { user, tenant }: &Who) -> bool {
        self.tenants.get(tenant).is_some_and(|accounts| accounts.contains_key(user))
    }
}

pub(super) struct SignIn {
    pub(super) id: String,
    pub(super) since: SystemTime,
    /// Whether it is the one of the browser that asks.
    pub(super) is_mine: bool,
    /// Until when, if it ends before the sign-in does.
    pub(super) access: Option<Option<SystemTime>>,
    pub(super) has_refresh: bool,
    pub(super) has_id: bool,
}

pub(super) struct Ledger {
    pub(super) position: u64,
    pub(super) bytes: u64,
    /// For how many more it has room, whatever becomes of the disk.
    pub(super) reserve: u64,
    pub(super) opened_at: SystemTime,
}

pub(super) async fn view(
    app: &App,
    board: &Board,
    me: Option<&AsyncSignIn>,
    opened_at: SystemTime,
) -> Result<View, Fault> {
    let mut tenants: BTreeMap<String, BTreeMap<String, Vec<SignIn>>> =
        board.tenants.iter().map(|tenant| ((*tenant).to_owned(), BTreeMap::new())).collect();
    let listed = app.store.accounts(Page::first(MOST)).await?;
    for account in listed.accounts {
        for live in account.sign_ins {
            let sign_in = sign_in(app, &live, me).await?;
            // Between two reads somebody can have been signed out.
            if live.is_live().await? {
                let accounts = tenants.entry(live.tenant().as_str().to_owned()).or_default();
                accounts.entry(name_of(live.account())).or_default().push(sign_in);
            }
        }
    }
    let stats = app.store.stats().await?;
    let (position, bytes, reserve) = (stats.synced, stats.ledger_bytes, stats.ledger_reserve);
    let ledger = Ledger { position, bytes, reserve, opened_at };
    Ok(View { tenants, has_more: listed.next.is_some(), ledger, now: SystemTime::now() })
}

async fn sign_in(app: &App, live: &AsyncSignIn, me: Option<&AsyncSignIn>) -> Result<SignIn, Fault> {
    let client = &app.config.client;
    Ok(SignIn {
        id: hex(&live.id()),
        since: live.signed_in_at(),
        is_mine: me == Some(live),
        access: live
            .access_token(&calls::wanted(app).even_if_expired())
            .await?
            .map(|token| token.expires_at),
        has_refresh: live.refresh_token(client).await?.is_some(),
        has_id: live.id_token(client).await?.is_some(),
    })
}

/// The first of all.
pub(super) async fn sign_ins(app: &App) -> Result<Vec<AsyncSignIn>, Fault> {
    let accounts = app.store.accounts(Page::first(MOST)).await?.accounts;
    Ok(accounts.into_iter().flat_map(|it| it.sign_ins).collect())
}

/// What the store has for calling the API as this user.
pub(super) async fn got(app: &App, live: &AsyncSignIn) -> Result<Got, Fault> {
    let access = live.access_token(&calls::wanted(app).even_if_expired()).await?;
    let access = access.map(|token| (token.secret.expose().to_owned(), token.expires_at));
    let refresh = live.refresh_token(&app.config.client).await?;
    Ok(Got { access, refresh: refresh.map(|token| token.secret.expose().to_owned()) })
}

pub(super) fn who_of(live: &AsyncSignIn) -> Who {
    Who { user: name_of(live.account()), tenant: live.tenant().as_str().to_owned() }
}

/// What the user is called at the provider.
pub(super) fn name_of(account: &AccountId) -> String {
    account.home_account_id().unwrap_or("an app").to_owned()
}

/// Whether the page shows this tenant: nobody else can be signed out from it.
pub(super) async fn is_shown(app: &App, board: &Board, tenant: &TenantId) -> Result<bool, Fault> {
    let is_ours = board.tenants.contains(&tenant.as_str());
    Ok(is_ours || !app.store.accounts_in(tenant, Page::first(1)).await?.accounts.is_empty())
}
