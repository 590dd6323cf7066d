//! Entries put together as sign-ins.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::entry::{Claims, Owner, Realm, Wrong, claims, missing, wrong};
use super::json::{Document, Entry, Node};
use super::{MsalCache, MsalProblem, MsalSignIn};
use crate::error::Error;
use crate::id::{AccountId, Alias, AliasKind, TenantId};
use crate::sign_in::{MAX_ALIASES, SignIn};
use crate::token::{AccessToken, IdToken, RefreshToken, Token};

/// An access token that lasts longer after it was cached is corrupt (ten years, as in MSAL.NET).
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Where an entry stands.
#[derive(Clone, Copy)]
struct Place {
    node: &'static str,
    entry: usize,
}

/// What the file says of one account, until all of it is read.
struct Person {
    order: usize,
    tokens: Vec<Held>,
    accounts: Vec<(Place, Map<String, Value>)>,
    /// What the access and ID tokens name.
    token_realms: BTreeSet<TenantId>,
    /// What the account entries and refresh tokens name.
    other_realms: BTreeSet<TenantId>,
    aliases: Vec<Alias>,
    signed_in_at: Option<SystemTime>,
}

/// A token whose tenant cannot be said before that of its sign-in is known.
struct Held {
    place: Place,
    token: Token,
    realm: Realm,
    /// Of two tokens that are the same one to the store the later counts.
    age: Option<SystemTime>,
    claims: Claims,
}

#[derive(Default)]
struct Importer {
    people: HashMap<AccountId, Person>,
    problems: Vec<MsalProblem>,
}

pub(super) fn import(document: Document) -> MsalCache {
    let mut importer = Importer::default();
    importer.each("Account", document.accounts, Importer::account);
    importer.each("IdToken", document.id_tokens, Importer::id_token);
    importer.each("AccessToken", document.access_tokens, Importer::access_token);
    importer.each("RefreshToken", document.refresh_tokens, Importer::refresh_token);

    let Importer { people, mut problems } = importer;
    let mut people: Vec<_> = people.into_iter().collect();
    people.sort_by_key(|(_, person)| person.order);
    let sign_ins = people.into_iter().filter_map(|(account, person)| person.sign_in(account, &mut problems)).collect();
    MsalCache { sign_ins, problems, other: document.other }
}

impl Importer {
    fn each(&mut self, name: &'static str, node: Node, take: fn(&mut Self, Place, Entry) -> Result<(), Wrong>) {
        if node.broken {
            let problem = "it is not an object";
            self.problems.push(MsalProblem { node: name, entry: None, field: None, problem, left_out: true });
        }
        for (entry, index) in node.entries.into_iter().zip(1..) {
            let place = Place { node: name, entry: index };
            match entry {
                None => self.problems.push(place.problem(None, "it is not an object", true)),
                Some(mut entry) => {
                    if let Err(wrong) = entry.check_type(name).and_then(|()| take(self, place, entry)) {
                        self.problems.push(place.problem(Some(wrong.field), wrong.problem, true));
                    }
                }
            }
        }
    }

    fn account(&mut self, place: Place, mut entry: Entry) -> Result<(), Wrong> {
        let whole = entry.fields.clone();
        let account = entry.user()?;
        let realm = self.soft(place, entry.realm());
        let alias = match entry.some_text("username")? {
            None => None,
            Some(name) => {
                let kind = if name.contains('@') { AliasKind::Email } else { AliasKind::Opaque };
                Some(Alias::new(kind, name).map_err(wrong("username"))?)
            }
        };
        let person = self.person(account);
        person.accounts.push((place, whole));
        if let Realm::Named(realm) = realm {
            person.other_realms.insert(realm);
        }
        match alias {
            Some(alias) if !person.aliases.contains(&alias) && person.aliases.len() == MAX_ALIASES => {
                self.problems.push(place.problem(Some("username"), "the account has too many names", false));
            }
            Some(alias) if !person.aliases.contains(&alias) => person.aliases.push(alias),
            _ => {}
        }
        Ok(())
    }

    fn id_token(&mut self, place: Place, mut entry: Entry) -> Result<(), Wrong> {
        let account = entry.user()?;
        let mut token = IdToken::new(entry.client()?, entry.secret()?);
        let realm = entry.realm()?;
        token.partition = entry.partition()?;
        token.extra = self.soft(place, entry.extra());
        let claims = claims(&token.secret);
        let age = claims.signed_in_at;
        self.hold(account, Held { place, token: token.into(), realm, age, claims })?.seen(age);
        Ok(())
    }

    fn access_token(&mut self, place: Place, mut entry: Entry) -> Result<(), Wrong> {
        let owner = entry.owner()?;
        entry.check_not_set_apart()?;
        let client = entry.client()?;
        let realm = entry.realm()?;
        let expires_at = entry.time("expires_on")?.ok_or(missing("expires_on"))?;
        let mut token = AccessToken::new(client, entry.scopes()?, entry.secret()?, expires_at);
        if let Some(token_type) = entry.some_text("token_type")? {
            token.token_type = token_type;
        }
        token.resource = entry.some_text("resource")?;
        token.partition = entry.partition()?;
        let cached_at = self.soft(place, entry.peek_time("cached_at"));
        if cached_at.and_then(|at| expires_at.duration_since(at).ok()).is_some_and(|life| life > LONGEST_LIFE) {
            return Err(Wrong { field: "expires_on", problem: "it is more than ten years after the token was cached" });
        }
        token.refresh_at = self.soft(place, entry.optional_time("refresh_on"));
        let old_name = self.soft(place, entry.optional_time("ext_expires_on"));
        token.extended_expires_at = self.soft(place, entry.optional_time("extended_expires_on")).or(old_name);
        token.extra = self.soft(place, entry.extra());

        let account = match (owner, &realm) {
            (Owner::User(account), _) => account,
            (Owner::App, Realm::Named(tenant)) => AccountId::app(tenant.clone(), token.client_id.clone()),
            (Owner::App, _) => return Err(missing("realm")),
        };
        let held = Held { place, token: token.into(), realm, age: Some(expires_at), claims: Claims::default() };
        self.hold(account, held)?.seen(cached_at);
        Ok(())
    }

    fn refresh_token(&mut self, place: Place, mut entry: Entry) -> Result<(), Wrong> {
        let account = entry.user()?;
        entry.check_not_set_apart()?;
        let mut token = RefreshToken::new(entry.client()?, entry.secret()?);
        token.family_id = entry.some_text("family_id")?;
        token.partition = entry.partition()?;
        let realm = self.soft(place, entry.realm());
        if let Realm::Named(realm) = &realm {
            // A refresh token has no tenant of its own, so what it says is kept aside.
            entry.fields.insert("realm".into(), realm.as_str().into());
        }
        token.expires_at = self.soft(place, entry.optional_time("expires_on"));
        let changed_at = self.soft(place, entry.peek_time("last_modification_time"));
        token.extra = self.soft(place, entry.extra());
        let held = Held { place, token: token.into(), realm, age: changed_at, claims: Claims::default() };
        self.hold(account, held)?.seen(changed_at);
        Ok(())
    }

    /// The value of a field that a token can do without, or nothing and a problem.
    fn soft<T: Default>(&mut self, place: Place, value: Result<T, Wrong>) -> T {
        value.unwrap_or_else(|wrong| {
            self.problems.push(place.problem(Some(wrong.field), wrong.problem, false));
            T::default()
        })
    }

    fn person(&mut self, account: AccountId) -> &mut Person {
        let order = self.people.len();
        self.people.entry(account).or_insert_with(|| Person::new(order))
    }

    /// Keeps a token if the store will: one that it refused would have it refuse all others of the sign-in too.
    fn hold(&mut self, account: AccountId, held: Held) -> Result<&mut Person, Wrong> {
        held.token.check().map_err(|error| match error {
            Error::InvalidInput { field: "token", problem } => Wrong { field: "secret", problem },
            Error::InvalidInput { field: "token type", problem } => Wrong { field: "token_type", problem },
            Error::InvalidInput { field: "family id", problem } => Wrong { field: "family_id", problem },
            Error::InvalidInput { field, problem } => Wrong { field, problem },
            _ => Wrong { field: "secret", problem: "it cannot be stored" },
        })?;
        let person = self.person(account);
        if let Realm::Named(realm) = &held.realm {
            let is_refresh = matches!(held.token, Token::Refresh(_));
            let realms = if is_refresh { &mut person.other_realms } else { &mut person.token_realms };
            realms.insert(realm.clone());
        }
        person.tokens.push(held);
        Ok(person)
    }
}

impl Place {
    fn problem(self, field: Option<&'static str>, problem: &'static str, left_out: bool) -> MsalProblem {
        MsalProblem { node: self.node, entry: Some(self.entry), field, problem, left_out }
    }
}

impl Person {
    fn new(order: usize) -> Self {
        Self {
            order,
            tokens: Vec::new(),
            accounts: Vec::new(),
            token_realms: BTreeSet::new(),
            other_realms: BTreeSet::new(),
            aliases: Vec::new(),
            signed_in_at: None,
        }
    }

    /// The earliest time at which the account is known to have been signed in.
    fn seen(&mut self, at: Option<SystemTime>) {
        self.signed_in_at = [self.signed_in_at, at].into_iter().flatten().min();
    }

    fn sign_in(mut self, account: AccountId, problems: &mut Vec<MsalProblem>) -> Option<MsalSignIn> {
        let home = self.home_tenant(&account);
        let tenant = self.tenant(&account, home.as_ref());

        // Where there are tenants an entry has to say which is its own: it would else be found under the wrong one.
        let tenants = home.is_some() || !self.token_realms.is_empty();
        let order = |held: &Held| {
            let kind = match held.token {
                Token::Id(_) => 0,
                Token::Access(_) => 1,
                Token::Refresh(_) => 2,
            };
            (kind, held.age)
        };
        self.tokens.sort_by_key(order);
        let mut tokens = Vec::with_capacity(self.tokens.len());
        let mut names = Vec::new();
        for Held { place, mut token, realm, claims, .. } in self.tokens {
            let said = match &mut token {
                Token::Access(token) => &mut token.tenant,
                Token::Id(token) => &mut token.tenant,
                Token::Refresh(_) => {
                    tokens.push(token);
                    continue;
                }
            };
            match realm {
                Realm::Missing if tenants => {
                    let Wrong { field, problem } = missing("realm");
                    problems.push(place.problem(Some(field), problem, true));
                    continue;
                }
                Realm::Named(realm) if Some(&realm) != tenant.as_ref() => *said = Some(realm),
                _ => {}
            }
            let name = (token.tenant().cloned(), claims.subject, claims.session);
            names.retain(|earlier| *earlier != name);
            if name.1.is_some() || name.2.is_some() {
                names.push(name);
            }
            tokens.push(token);
        }

        let (places, accounts): (Vec<_>, Vec<_>) = self.accounts.into_iter().unzip();
        if tokens.is_empty() {
            problems.extend(places.into_iter().map(|place| place.problem(None, "no token belongs to it", true)));
            return None;
        }
        let tenant = tenant?;
        // The latest of the sign-in's own tenant comes last, or if there is none the latest of another.
        names.sort_by_key(|(other, ..)| other.is_none());
        let (_, subject, session) = names.pop().unwrap_or_default();
        let at = self.signed_in_at;
        let named = |tenant, subject: Option<_>, session: Option<_>| {
            let sign_in = SignIn::new(account.clone(), tenant);
            let sign_in = subject.into_iter().fold(sign_in, SignIn::subject);
            let sign_in = session.into_iter().fold(sign_in, SignIn::session);
            match at {
                Some(at) => sign_in.continued_from(at),
                None => sign_in.continued(),
            }
        };
        let others =
            names.into_iter().map(|(other, subject, session)| named(other.unwrap_or_else(|| tenant.clone()), subject, session));
        let others = others.collect();
        let sign_in = self.aliases.into_iter().fold(named(tenant, subject, session), SignIn::alias);
        Some(MsalSignIn { sign_in, others, tokens, accounts })
    }

    /// The second half of the home account id, if it is a GUID or a tenant that the account's entries name.
    fn home_tenant(&self, account: &AccountId) -> Option<TenantId> {
        let (_, half) = account.home_account_id()?.rsplit_once('.')?;
        let tenant = TenantId::new(half.to_ascii_lowercase()).ok()?;
        let is_guid = half.len() == 36 && half.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        (is_guid || self.token_realms.contains(&tenant) || self.other_realms.contains(&tenant)).then_some(tenant)
    }

    /// See [`MsalSignIn`].
    fn tenant(&self, account: &AccountId, home: Option<&TenantId>) -> Option<TenantId> {
        let named = if self.token_realms.is_empty() { &self.other_realms } else { &self.token_realms };
        match home {
            Some(home) if named.len() != 1 => Some(home.clone()),
            _ => named.first().cloned().or_else(|| TenantId::new(account.authority()?).ok()),
        }
    }
}
