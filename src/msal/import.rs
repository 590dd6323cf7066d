//! Reads the entries of a file one by one, and assigns each to the account that it belongs to.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::entry::{Claims, NODES, Owner, Realm, Wrong, claims, missing, wrong};
use super::json::{Document, Entry, Node};
use super::person::{Held, Person, UNKNOWN};
use super::realm::Names;
use super::{MsalCache, MsalProblem, MsalProblemKind, MsalSignIn};
use crate::model::error::Error;
use crate::model::id::{AccountId, Alias, AliasKind};
use crate::model::sign_in::MAX_ALIASES;
use crate::model::token::{AccessToken, IdToken, RefreshToken, Token};

/// Ten years, as in MSAL.NET: an access token that lasts longer after it was cached is corrupt.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Where an entry stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    node: &'static str,
    entry: usize,
}

/// What the import makes of a file.
#[derive(Default)]
pub(super) struct Found {
    pub(super) sign_ins: Vec<MsalSignIn>,
    pub(super) problems: Vec<MsalProblem>,
    /// Users whom the library signed out.
    pub(super) signed_out: usize,
}

#[derive(Default)]
struct Importer {
    people: HashMap<AccountId, Person>,
    /// The apps' own tokens. Which app each belongs to is known once its tenant is.
    apps: Vec<Held>,
    names: Names,
    found: Found,
}

pub(super) fn import(document: Document) -> MsalCache {
    let mut importer = Importer::default();
    importer.each("Account", document.accounts, Importer::account);
    importer.each("IdToken", document.id_tokens, Importer::id_token);
    importer.each("AccessToken", document.access_tokens, Importer::access_token);
    importer.each("RefreshToken", document.refresh_tokens, Importer::refresh_token);
    importer.give_apps_theirs();

    let Importer { people, names, mut found, .. } = importer;
    let mut people: Vec<_> = people.into_iter().collect();
    people.sort_by_key(|(_, person)| person.order);
    for (account, person) in people {
        person.conclude(&account, &names, &mut found);
    }
    let Found { sign_ins, mut problems, signed_out } = found;
    problems.sort_by_key(|problem| {
        (NODES.iter().position(|node| *node == problem.node), problem.entry)
    });
    MsalCache { sign_ins, problems, signed_out, other: document.other }
}

impl Importer {
    fn each(
        &mut self,
        name: &'static str,
        node: Node,
        take: fn(&mut Self, Place, Entry) -> Result<(), Wrong>,
    ) {
        const NO_OBJECT: &str = "it is not an object";
        if node.broken {
            let kind = MsalProblemKind::Unreadable;
            self.found.problems.push(MsalProblem {
                node: name,
                entry: None,
                field: None,
                problem: NO_OBJECT,
                kind,
                left_out: true,
            });
        }
        for (entry, index) in node.entries.into_iter().zip(1..) {
            let place = Place { node: name, entry: index };
            let Some(mut entry) = entry else {
                self.found.leave_out(place, MsalProblemKind::Unreadable, None, NO_OBJECT);
                continue;
            };
            if let Err(wrong) = entry.check_type(name).and_then(|()| take(self, place, entry)) {
                self.found.leave_out(
                    place,
                    MsalProblemKind::Unreadable,
                    Some(wrong.field),
                    wrong.problem,
                );
            }
        }
    }

    /// Reads an account entry. It counts as one of its user as soon as the user can be read, even
    /// if other fields cannot.
    fn account(&mut self, place: Place, mut entry: Entry) -> Result<(), Wrong> {
        let whole = entry.fields.clone();
        let user = entry.user()?;
        let realm = self.soft(place, entry.realm());
        let username = self.soft(place, entry.some_text("username"));
        let alias = username.map(|name| {
            let kind = if name.contains('@') { AliasKind::Email } else { AliasKind::Opaque };
            Alias::new(kind, name).map(Some).map_err(wrong("username"))
        });
        let alias = alias.and_then(|alias| self.soft(place, alias));
        let authority_type = self.soft(place, entry.some_text("authority_type"));
        self.names.learn(&user, &realm, None);

        let person = self.person(user.account);
        person.accounts.push((place, whole));
        person.realms.push(realm);
        person.is_adfs |=
            authority_type.is_some_and(|authority| authority.eq_ignore_ascii_case("adfs"));
        match alias {
            Some(alias)
                if !person.aliases.contains(&alias) && person.aliases.len() == MAX_ALIASES =>
            {
                self.found.field(place, "username", "the account has too many names");
            }
            Some(alias) if !person.aliases.contains(&alias) => person.aliases.push(alias),
            _ => {}
        }
        Ok(())
    }

    fn id_token(&mut self, place: Place, mut entry: Entry) -> Result<(), Wrong> {
        let user = entry.user()?;
        self.person(user.account.clone()).has_token_entry = true;
        let mut token = IdToken::new(entry.client()?, entry.secret()?);
        let realm = entry.realm()?;
        token.partition = entry.partition()?;
        token.extra = self.soft(place, entry.extra());
        let claims = claims(&token.secret);
        self.names.learn(&user, &realm, claims.tenant.as_ref());
        let (at, written) = (claims.signed_in_at, claims.issued_at);
        let held = Held {
            place,
            token: token.into(),
            realm,
            environment: user.environment,
            written,
            claims,
        };
        self.hold(user.account, held)?.seen(at);
        Ok(())
    }

    fn access_token(&mut self, place: Place, mut entry: Entry) -> Result<(), Wrong> {
        let owner = entry.owner()?;
        if let Owner::User(user) = &owner {
            self.person(user.account.clone()).has_token_entry = true;
        }
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
        let lifetime = cached_at.map(|at| expires_at.duration_since(at).unwrap_or_default());
        if lifetime.is_some_and(|life| life > LONGEST_LIFE) {
            return Err(Wrong {
                field: "expires_on",
                problem: "it is more than ten years after the token was cached",
            });
        }
        token.refresh_at = self.soft(place, entry.optional_time("refresh_on"));
        token.extended_expires_at =
            self.extended(place, &mut entry, lifetime).filter(|extended| *extended > expires_at);
        token.extra = self.soft(place, entry.extra());

        let held = |environment| Held {
            place,
            token: token.into(),
            realm,
            environment,
            written: cached_at,
            claims: Claims::default(),
        };
        match owner {
            Owner::User(user) => {
                let held = held(user.environment.clone());
                self.names.learn(&user, &held.realm, None);
                self.hold(user.account, held)?.seen(cached_at);
            }
            Owner::App { environment } => self.apps.push(held(environment)),
        }
        Ok(())
    }

    /// Returns until when a token may be used while its provider is unavailable.
    ///
    /// MSAL for Python, Java and .NET count a response's `ext_expires_in` from when the token came;
    /// MSAL for Node counts it from the token's expiry. Only .NET can be recognized, because it
    /// writes the time a second time under an older name. For the other libraries the import takes
    /// the earlier time, as if Node had written it, so that no token is used for longer than its
    /// provider said.
    fn extended(
        &mut self,
        place: Place,
        entry: &mut Entry,
        lifetime: Option<Duration>,
    ) -> Option<SystemTime> {
        const FIELD: &str = "extended_expires_on";
        let of_dotnet = self.soft(place, entry.optional_time("ext_expires_on"));
        let said = self.soft(place, entry.optional_time(FIELD));
        let (Some(said), None) = (said, of_dotnet) else {
            return [said, of_dotnet].into_iter().flatten().min();
        };
        if lifetime.is_none() {
            self.found.field(place, FIELD, "from when it counts cannot be told");
        }
        said.checked_sub(lifetime?)
    }

    fn refresh_token(&mut self, place: Place, mut entry: Entry) -> Result<(), Wrong> {
        let user = entry.user()?;
        self.person(user.account.clone()).has_token_entry = true;
        entry.check_not_set_apart()?;
        let mut token = RefreshToken::new(entry.client()?, entry.secret()?);
        token.family_id = entry.some_text("family_id")?;
        token.partition = entry.partition()?;
        let realm = self.soft(place, entry.realm());
        if let Some(realm) = realm.as_str() {
            // A refresh token has no tenant of its own, so its realm is kept in `extra`.
            entry.fields.insert("realm".into(), realm.into());
        }
        token.expires_at = self.soft(place, entry.optional_time("expires_on"));
        let written = self.soft(place, entry.peek_time("last_modification_time"));
        token.extra = self.soft(place, entry.extra());
        self.names.learn(&user, &realm, None);
        let held = Held {
            place,
            token: token.into(),
            realm,
            environment: user.environment,
            written,
            claims: Claims::default(),
        };
        self.hold(user.account, held)?.seen(written);
        Ok(())
    }

    /// Assigns the apps' own tokens to the app in each tenant.
    fn give_apps_theirs(&mut self) {
        for mut held in std::mem::take(&mut self.apps) {
            let Token::Access(token) = &held.token else { continue };
            let (place, client) = (held.place, token.client_id.clone());
            let tenant = match &held.realm {
                Realm::Tenant(tenant) => Ok(tenant.clone()),
                Realm::Name(name) => self
                    .names
                    .of_server(&held.environment, name)
                    .ok_or((MsalProblemKind::UnknownTenant, UNKNOWN)),
                Realm::Empty | Realm::Missing => {
                    Err((MsalProblemKind::Unreadable, missing("realm").problem))
                }
            };
            let tenant = match tenant {
                Ok(tenant) => tenant,
                Err((kind, problem)) => {
                    self.found.leave_out(place, kind, Some("realm"), problem);
                    continue;
                }
            };
            held.realm = Realm::Tenant(tenant.clone());
            let cached_at = held.written;
            match self.hold(AccountId::app(tenant, client), held) {
                Ok(app) => app.seen(cached_at),
                Err(wrong) => self.found.leave_out(
                    place,
                    MsalProblemKind::Unreadable,
                    Some(wrong.field),
                    wrong.problem,
                ),
            }
        }
    }

    /// Returns the value of a field that a token can do without. If it cannot be read, reports that
    /// and returns the default.
    fn soft<T: Default>(&mut self, place: Place, value: Result<T, Wrong>) -> T {
        value.unwrap_or_else(|wrong| {
            self.found.field(place, wrong.field, wrong.problem);
            T::default()
        })
    }

    fn person(&mut self, account: AccountId) -> &mut Person {
        let order = self.people.len();
        self.people.entry(account).or_insert_with(|| Person::new(order))
    }

    /// Keeps a token if the store accepts it: a token that the store refused would make it refuse
    /// all others of the sign-in too.
    fn hold(&mut self, account: AccountId, held: Held) -> Result<&mut Person, Wrong> {
        held.token.check().map_err(|error| match error {
            Error::InvalidInput { field: "token", problem } => Wrong { field: "secret", problem },
            Error::InvalidInput { field: "token type", problem } => {
                Wrong { field: "token_type", problem }
            }
            Error::InvalidInput { field: "family id", problem } => {
                Wrong { field: "family_id", problem }
            }
            Error::InvalidInput { field, problem } => Wrong { field, problem },
            _ => Wrong { field: "secret", problem: "it cannot be stored" },
        })?;
        let person = self.person(account);
        person.tokens.push(held);
        Ok(person)
    }
}

impl Found {
    /// Reports that an entry was left out.
    pub(super) fn leave_out(
        &mut self,
        place: Place,
        kind: MsalProblemKind,
        field: Option<&'static str>,
        problem: &'static str,
    ) {
        let Place { node, entry } = place;
        self.problems.push(MsalProblem {
            node,
            entry: Some(entry),
            field,
            problem,
            kind,
            left_out: true,
        });
    }

    /// Reports that a field was left out, but not its entry.
    fn field(&mut self, place: Place, field: &'static str, problem: &'static str) {
        let (kind, Place { node, entry }) = (MsalProblemKind::Unreadable, place);
        self.problems.push(MsalProblem {
            node,
            entry: Some(entry),
            field: Some(field),
            problem,
            kind,
            left_out: false,
        });
    }
}
