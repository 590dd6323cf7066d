//! Collects what a file says of one account, and makes its sign-in of that.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::entry::{Claims, Realm, missing};
use super::import::{Found, Place};
use super::newest::{Dated, Newest};
use super::realm::{self, Names};
use super::{MsalProblemKind, MsalSignIn};
use crate::model::entra_cloud;
use crate::model::id::{AccountId, Alias, ClientId, SessionId, Subject, TenantId};
use crate::model::sign_in::SignIn;
use crate::model::token::Token;

/// What the file says of one account, collected until all of the file is read.
pub(super) struct Person {
    pub(super) order: usize,
    pub(super) tokens: Vec<Held>,
    pub(super) accounts: Vec<(Place, Map<String, Value>)>,
    /// What the account entries say of the tenant.
    pub(super) realms: Vec<Realm>,
    pub(super) aliases: Vec<Alias>,
    pub(super) signed_in_at: Option<SystemTime>,
    /// An account entry says that the server is an AD FS.
    pub(super) is_adfs: bool,
    /// An entry of a token names the account, even if the rest of the entry cannot be read.
    pub(super) has_token_entry: bool,
}

/// A token whose tenant cannot be determined before all of the file is read.
pub(super) struct Held {
    pub(super) place: Place,
    pub(super) token: Token,
    pub(super) realm: Realm,
    /// The server as the entry spells it.
    pub(super) environment: String,
    /// When the token was written, if the entry says so.
    pub(super) written: Option<SystemTime>,
    pub(super) claims: Claims,
}

/// What a provider calls the user, and in which tenant.
type Named = (Option<TenantId>, Option<Subject>, Option<SessionId>);

/// The problem of a token whose tenant cannot be told: a sign-out by that tenant would miss the
/// token.
pub(super) const UNKNOWN: &str =
    "which tenant it is of the file does not tell, and a sign-out by that would miss it";

impl Person {
    pub(super) fn new(order: usize) -> Self {
        Self {
            order,
            tokens: Vec::new(),
            accounts: Vec::new(),
            realms: Vec::new(),
            aliases: Vec::new(),
            signed_in_at: None,
            is_adfs: false,
            has_token_entry: false,
        }
    }

    /// Takes note that the account was signed in at this time. The earliest time counts.
    pub(super) fn seen(&mut self, at: Option<SystemTime>) {
        self.signed_in_at = [self.signed_in_at, at].into_iter().flatten().min();
    }

    /// Adds the account's sign-in to `found`, or reports why there is none.
    pub(super) fn conclude(mut self, account: &AccountId, names: &Names, found: &mut Found) {
        let has_account = account.as_app().is_some() || !self.accounts.is_empty();
        let has_token = account.as_app().is_some() || self.has_token_entry;
        found.signed_out += usize::from(!has_account || !has_token);
        if !has_account {
            // All MSAL libraries write an account entry beside a user's tokens. So there was one,
            // and what removed it has left the tokens behind.
            let problem = "there is no account entry for its user, as after a sign-out";
            for held in self.tokens {
                found.leave_out(held.place, MsalProblemKind::NoAccount, None, problem);
            }
            return;
        }
        self.date_refresh_tokens();
        let (tokens, named, tenant) = self.in_tenants(account, names, found);
        let Newest { kept, replaced, undecided } = Newest::of(tokens);
        for place in undecided {
            let problem =
                "there are several for its place, and which of them is the newest cannot be told";
            found.leave_out(place, MsalProblemKind::Undecided, None, problem);
        }
        let tokens: Vec<Token> = kept.into_iter().map(|dated| dated.token).collect();
        match tenant {
            Some(tenant) if !tokens.is_empty() => {
                let (sign_in, others) = self.sign_ins(account, &tenant, named);
                let accounts = self.accounts.into_iter().map(|(_, whole)| whole).collect();
                found.sign_ins.push(MsalSignIn { sign_in, others, tokens, replaced, accounts });
            }
            _ => {
                let nothing = "no token belongs to it, as after a sign-out";
                let problem = if has_token { "none of its tokens is taken over" } else { nothing };
                for (place, _) in self.accounts {
                    found.leave_out(place, MsalProblemKind::NoToken, None, problem);
                }
            }
        }
    }

    /// Dates the refresh tokens. Only MSAL for Python records when it wrote one. In the caches of
    /// the others, a refresh token came with an access token of the same client from the same
    /// server, so the time of the newest of those counts.
    fn date_refresh_tokens(&mut self) {
        let mut newest: HashMap<(String, ClientId), SystemTime> = HashMap::new();
        for held in &self.tokens {
            if let (Token::Access(token), Some(at)) = (&held.token, held.written) {
                let latest =
                    newest.entry((held.environment.clone(), token.client_id.clone())).or_insert(at);
                *latest = at.max(*latest);
            }
        }
        for held in &mut self.tokens {
            if let (Token::Refresh(token), None) = (&held.token, held.written) {
                held.written =
                    newest.get(&(held.environment.clone(), token.client_id.clone())).copied();
            }
        }
    }

    /// Returns the tokens with their tenants, the subjects and sessions that the ID tokens name,
    /// and the tenant of the sign-in.
    fn in_tenants(
        &mut self,
        account: &AccountId,
        names: &Names,
        found: &mut Found,
    ) -> (Vec<Dated>, Vec<Named>, Option<TenantId>) {
        let of = |held: &Held| self.tenant_of(&held.realm, &held.claims, account, names);
        let tenants: Vec<Option<TenantId>> = self.tokens.iter().map(of).collect();
        let tenant = self.tenant(account, names, &tenants);
        let has_tenants = self.has_tenants(account, &tenants);

        let mut held: Vec<_> = std::mem::take(&mut self.tokens).into_iter().zip(tenants).collect();
        held.sort_by_key(|(held, _)| (kind_of(&held.token), held.written));
        let (mut tokens, mut named) = (Vec::with_capacity(held.len()), Vec::<Named>::new());
        for (Held { place, mut token, realm, written, claims, .. }, own) in held {
            let wrong = match &realm {
                Realm::Missing if has_tenants && !is_refresh(&token) => {
                    Some((MsalProblemKind::Unreadable, missing("realm").problem))
                }
                Realm::Name(_) if own.is_none() && !is_refresh(&token) => {
                    Some((MsalProblemKind::UnknownTenant, UNKNOWN))
                }
                _ => tenant.is_none().then_some((MsalProblemKind::UnknownTenant, UNKNOWN)),
            };
            let elsewhere = own.filter(|own| Some(own) != tenant.as_ref());
            let name = (elsewhere.clone(), claims.subject, claims.session);
            if name.1.is_some() || name.2.is_some() {
                named.retain(|earlier| *earlier != name);
                // This name counts even if the token is left out: the provider will use it for the
                // user, so the account must be found by it.
                named.insert(if wrong.is_some() { 0 } else { named.len() }, name);
            }
            if let Some((kind, problem)) = wrong {
                found.leave_out(place, kind, Some("realm"), problem);
                continue;
            }
            match &mut token {
                Token::Access(token) => token.tenant = elsewhere,
                Token::Id(token) => token.tenant = elsewhere,
                Token::Refresh(_) => {}
            }
            tokens.push(Dated { place, token, written });
        }
        (tokens, named, tenant)
    }

    /// Whether the server has tenants. If it has, each entry must name its own, because otherwise
    /// its token would be found under the wrong one.
    fn has_tenants(&self, account: &AccountId, tenants: &[Option<TenantId>]) -> bool {
        let server = server(account);
        let of_tokens =
            self.tokens.iter().zip(tenants).filter(|(held, _)| !is_refresh(&held.token));
        let is_tenant = |tenant: &TenantId| Some(tenant) != server.as_ref();
        realm::home(account).is_some()
            || of_tokens.filter_map(|(_, tenant)| tenant.as_ref()).any(is_tenant)
    }

    /// The tenant that an entry names, if it names one and the file tells which one that is.
    fn tenant_of(
        &self,
        realm: &Realm,
        claims: &Claims,
        account: &AccountId,
        names: &Names,
    ) -> Option<TenantId> {
        match realm {
            Realm::Tenant(tenant) => Some(tenant.clone()),
            Realm::Name(_) if self.is_adfs => server(account),
            Realm::Name(name) if account.as_app().is_none() => {
                claims.tenant.clone().or_else(|| names.of_user(account, name))
            }
            Realm::Name(_) | Realm::Empty | Realm::Missing => None,
        }
    }

    /// The tenant of the sign-in: see [`MsalSignIn`]. `tenants` are those of the tokens.
    fn tenant(
        &self,
        account: &AccountId,
        names: &Names,
        tenants: &[Option<TenantId>],
    ) -> Option<TenantId> {
        if let Some((tenant, _)) = account.as_app() {
            return Some(tenant.clone());
        }
        let told = |refresh: bool| {
            self.tokens
                .iter()
                .zip(tenants)
                .filter(move |(held, _)| is_refresh(&held.token) == refresh)
        };
        let mut named: BTreeSet<&TenantId> =
            told(false).filter_map(|(_, tenant)| tenant.as_ref()).collect();
        let of_accounts: Vec<_> = self
            .realms
            .iter()
            .map(|realm| (realm, self.tenant_of(realm, &Claims::default(), account, names)))
            .collect();
        let home = realm::home(account).or_else(|| {
            let is_named = |half: &TenantId| {
                named.contains(half) || of_accounts.iter().any(|(_, it)| it.as_ref() == Some(half))
            };
            realm::half(account).filter(is_named)
        });
        if named.is_empty() {
            let entries = told(true).map(|(held, tenant)| (&held.realm, tenant));
            let entries: Vec<_> =
                entries.chain(of_accounts.iter().map(|(realm, tenant)| (*realm, tenant))).collect();
            if entries
                .iter()
                .any(|(realm, tenant)| matches!(realm, Realm::Name(_)) && tenant.is_none())
            {
                return None;
            }
            named = entries.into_iter().filter_map(|(_, tenant)| tenant.as_ref()).collect();
        }
        match home {
            Some(home) if named.len() != 1 => Some(home),
            _ => named.first().map(|first| (*first).clone()).or_else(|| server(account)),
        }
    }

    /// Makes the sign-in that has the tokens, and those of the other subjects and sessions. All are
    /// of one tenant, so that a sign-out by tenant ends all of them, and an import after it makes
    /// none.
    fn sign_ins(
        &mut self,
        account: &AccountId,
        tenant: &TenantId,
        mut named: Vec<Named>,
    ) -> (SignIn, Vec<SignIn>) {
        // After this, the latest name in the sign-in's own tenant is the last one; if there is
        // none, the latest in another tenant is.
        named.sort_by_key(|(other, ..)| other.is_none());
        let (_, subject, session) = named.pop().unwrap_or_default();
        let at = self.signed_in_at;
        let make = |subject: Option<_>, session: Option<_>| {
            let sign_in = SignIn::new(account.clone(), tenant.clone());
            let sign_in = subject.into_iter().fold(sign_in, SignIn::subject);
            let sign_in = session.into_iter().fold(sign_in, SignIn::session);
            match at {
                Some(at) => sign_in.imported_from(at),
                None => sign_in.continued(),
            }
        };
        let mut known = HashSet::from([(subject.clone(), session.clone())]);
        let others = named
            .into_iter()
            .map(|(_, subject, session)| (subject, session))
            .filter(|name| known.insert(name.clone()));
        let others = others.map(|(subject, session)| make(subject, session)).collect();
        let sign_in = make(subject, session);
        (std::mem::take(&mut self.aliases).into_iter().fold(sign_in, SignIn::alias), others)
    }
}

/// The name of a server without tenants. It stands for the tenant.
fn server(account: &AccountId) -> Option<TenantId> {
    let authority =
        account.authority().filter(|authority| !entra_cloud::is_microsofts(authority))?;
    TenantId::new(authority).ok()
}

fn is_refresh(token: &Token) -> bool {
    matches!(token, Token::Refresh(_))
}

fn kind_of(token: &Token) -> u8 {
    match token {
        Token::Id(_) => 0,
        Token::Access(_) => 1,
        Token::Refresh(_) => 2,
    }
}
