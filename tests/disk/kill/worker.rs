//! The child: a few threads that sign in, put, get and sign out over a small cast, until they are
//! killed.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oubliette::*;
use oubliette_testkit::accounts::{account, client, query, scopes, session, subject, tenant};
use oubliette_testkit::chance::Chance;
use oubliette_testkit::disk::{KEY, builder_at};

use super::log::{Id, Line, Who, Whom};

pub(crate) const THREADS: u64 = 3;
pub(crate) const ACCOUNTS: u32 = 6;
pub(crate) const TENANTS: u32 = 3;

struct Work {
    log: File,
    next_id: AtomicU64,
}

/// A sign-in, and the numbers of the last put of the whole set and of the token that stands alone.
struct Mine {
    live: LiveSignIn,
    id: Id,
}

/// Works until killed. (Should the parent have died, not for ever.)
pub(crate) fn run(folder: &str) {
    let folder = Path::new(folder);
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let work = Work {
        log: File::options().append(true).open(folder.join("log")).unwrap(),
        next_id: AtomicU64::new(number("OUBLIETTE_KILL_FIRST_ID")),
    };
    let mut chance = Chance(number("OUBLIETTE_KILL_CHILD_SEED"));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        Line::Opening.write(&work.log);
        let store = builder_at(&folder.join("tokens")).max_sign_ins(64).open();
        let store = store.unwrap_or_else(|error| work.wrong(&format!("open: {error:?}")));
        Line::Serving(SystemTime::now()).write(&work.log);
        let steps = 5 + chance.below(50);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (work, store, mut chance) = (&work, &store, Chance(chance.next()));
                scope.spawn(move || work.serve(store, thread, &mut chance, steps));
            }
        });
        Line::Closing.write(&work.log);
        if chance.one_in(3) {
            drop(store);
        } else {
            store.close().unwrap_or_else(|error| work.wrong(&format!("close: {error:?}")));
        }
    }
}

impl Work {
    fn wrong(&self, what: &str) -> ! {
        Line::Wrong(what.into()).write(&self.log);
        std::process::exit(1)
    }

    fn next_id(&self) -> Id {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn ok<T>(&self, what: &str, result: Result<T>) -> T {
        result.unwrap_or_else(|error| self.wrong(&format!("{what}: {error:?}")))
    }

    /// Writes down how a verb ended; `None` if the account was signed out meanwhile.
    fn done<T>(
        &self,
        id: Id,
        what: &str,
        result: Result<T>,
        with: impl FnOnce(&T) -> u64,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                Line::Done(id, with(&value)).write(&self.log);
                Some(value)
            }
            Err(Error::SignedOut | Error::Overtaken { .. }) => {
                Line::Refused(id).write(&self.log);
                None
            }
            Err(error) => self.wrong(&format!("{what}: {error:?}")),
        }
    }

    fn serve(&self, store: &TokenStore, thread: u64, chance: &mut Chance, steps: u64) {
        let mut mine: Vec<Mine> = Vec::new();
        for number in 0..ACCOUNTS {
            let lives = self.ok("account", store.account(&account(number))).into_iter();
            mine.extend(
                lives
                    .map(|live| Mine { id: id_of(&live), live })
                    .filter(|mine| mine.id % THREADS == thread),
            );
        }
        for _ in 0..steps {
            let place = usize::try_from(chance.below(mine.len() as u64)).unwrap();
            match (chance.below(100), mine.get(place)) {
                (0..20, _) | (_, None) => mine.extend(self.sign_in(store, thread, chance)),
                (20..72, Some(one)) => {
                    if !self.put(one, chance) {
                        mine.remove(place);
                    }
                }
                (72..86, Some(one)) => {
                    let _ = see(&one.live).unwrap_or_else(|wrong| self.wrong(&wrong));
                }
                (86..95, _) => self.sign_out(store, thread, chance, &mine),
                _ => match chance.below(4) {
                    0 => drop(self.ok("sweep", store.sweep(5))),
                    1 => self.ok("rotate_key", store.rotate_key(&KeySource::bytes(KEY))),
                    2 => drop(self.ok("compact", store.compact())),
                    _ => drop(self.ok("erase", store.complete_erasure(&KeySource::bytes(KEY)))),
                },
            }
        }
    }

    fn sign_in(&self, store: &TokenStore, thread: u64, chance: &mut Chance) -> Option<Mine> {
        let number = u32::try_from(chance.below(ACCOUNTS.into())).unwrap();
        if self.ok("account", store.account(&account(number))).len() > 8 {
            return None;
        }
        // The thread that works with a sign-in is told by its id, also after a restart.
        let id =
            std::iter::repeat_with(|| self.next_id()).find(|id| id % THREADS == thread).unwrap();
        let session_number = [None, Some(2 * number), Some(2 * number + 1)]
            [usize::try_from(chance.below(3)).unwrap()];
        let who = Who {
            account: number,
            tenant: number % TENANTS,
            session: session_number,
            subject: number,
        };
        let alias = Alias::new(AliasKind::Opaque, id.to_string()).unwrap();
        let request =
            SignIn::new(account(number), tenant(who.tenant)).subject(subject(number)).alias(alias);
        let request =
            if let Some(number) = who.session { request.session(session(number)) } else { request };
        Line::SignIn(id, who).write(&self.log);
        self.done(id, "sign_in", store.sign_in(request), |_| 0).map(|live| Mine { live, id })
    }

    /// Whether the sign-in still lives.
    fn put(&self, mine: &Mine, chance: &mut Chance) -> bool {
        let (id, whole) = (self.next_id(), !chance.one_in(3));
        Line::Put(id, mine.id, whole).write(&self.log);
        let result =
            if whole { mine.live.put(set(id, &mine.live)) } else { mine.live.put(alone(id)) };
        let stored = self.done(id, "put", result, |stored| u64::from(stored.refused.is_empty()));
        if stored.is_some() {
            let seen = see(&mine.live).unwrap_or_else(|wrong| self.wrong(&wrong));
            let found = if whole { [seen.access, seen.refresh, seen.id] } else { [seen.alone; 3] };
            // Another thread may sign it out between two reads.
            if found != [Some(id); 3] && self.ok("is_live", mine.live.is_live()) {
                self.wrong(&format!("put {id} succeeded, then {seen:?} was read"));
            }
        }
        stored.is_some()
    }

    fn sign_out(&self, store: &TokenStore, thread: u64, chance: &mut Chance, mine: &[Mine]) {
        let number = u32::try_from(chance.below(ACCOUNTS.into())).unwrap();
        let whom = match chance.below(20) {
            0..8 => Whom::Account(number),
            8..12 => Whom::Session(2 * number + u32::from(chance.one_in(2))),
            12..15 => Whom::Subject(number),
            15..18 => Whom::Tenant(number % TENANTS),
            _ => Whom::Everybody,
        };
        let id = self.next_id();
        Line::SignOut(id, whom).write(&self.log);
        // Of those that had signed in before, it must end every one.
        self.done(id, "sign_out", store.sign_out(SignOut::of(whom.scope())), |receipt| {
            receipt.position
        });
        let ended = |mine: &&Mine| match whom {
            Whom::Everybody => true,
            Whom::Account(n) => *mine.live.account() == account(n),
            Whom::Subject(n) => mine.live.subject() == Some(&subject(n)),
            Whom::Session(n) => mine.live.session() == Some(&session(n)),
            Whom::Tenant(n) => *mine.live.tenant() == tenant(n),
        };
        for one in mine.iter().filter(ended) {
            let seen = see(&one.live).unwrap_or_else(|wrong| self.wrong(&wrong));
            if self.ok("is_live", one.live.is_live()) || seen != Seen::default() {
                self.wrong(&format!("{} lives on after {whom:?}: {seen:?}", one.id));
            }
        }
        if self.ok("stats", store.stats()).backlog > 0 {
            Line::Reclaim(thread).write(&self.log);
            self.ok("wait_reclaimed", store.wait_reclaimed());
            Line::ReclaimReport(thread).write(&self.log);
        }
    }
}

pub(crate) fn id_of(live: &LiveSignIn) -> Id {
    live.aliases()[0].value().parse().unwrap()
}

/// The text of a token: which put it is of can be read from it, and any mixture is recognised. Some
/// come in several parts.
fn text(kind: &str, put: Id) -> String {
    let length = if put.is_multiple_of(4) { 9000 } else { 60 };
    format!("{kind}.{put}.").chars().cycle().take(length).collect()
}

fn put_of(kind: &str, secret: &Secret) -> Result<Id, String> {
    let put = secret.expose().split('.').nth(1).and_then(|number| number.parse().ok());
    put.filter(|put| text(kind, *put) == secret.expose())
        .ok_or_else(|| format!("not a token of ours: {:.60}", secret.expose()))
}

fn access(scope: &str, kind: &str, put: Id) -> AccessToken {
    let expires = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    AccessToken::new(client(), scopes(scope), text(kind, put), expires)
}

fn guest_tenant(live: &LiveSignIn) -> TenantId {
    let own = (0..TENANTS).find(|n| tenant(*n) == *live.tenant()).unwrap();
    tenant(guest_of(own))
}

/// In which tenant a sign-in of this one is a guest too.
pub(crate) fn guest_of(tenant: u32) -> u32 {
    (tenant + 1) % TENANTS
}

fn set(put: Id, live: &LiveSignIn) -> [Token; 4] {
    let guest = AccessToken { tenant: Some(guest_tenant(live)), ..access("a", "guest", put) };
    let refresh = RefreshToken::new(client(), text("refresh", put));
    [
        access("a", "access", put).into(),
        refresh.into(),
        IdToken::new(client(), text("id", put)).into(),
        guest.into(),
    ]
}

fn alone(put: Id) -> AccessToken {
    access("b", "alone", put)
}

/// The puts whose tokens are read in a sign-in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) access: Option<Id>,
    pub(crate) refresh: Option<Id>,
    pub(crate) id: Option<Id>,
    pub(crate) guest: Option<Id>,
    pub(crate) alone: Option<Id>,
}

/// Reads all tokens.
pub(crate) fn see(live: &LiveSignIn) -> Result<Seen, String> {
    let text = |error: Error| format!("get: {error:?}");
    let access = |kind, wanted: AccessQuery| -> Result<Option<Id>, String> {
        live.access_token(&wanted)
            .map_err(text)?
            .map(|token| put_of(kind, &token.secret))
            .transpose()
    };
    Ok(Seen {
        access: access("access", query("a"))?,
        refresh: live
            .refresh_token(&client())
            .map_err(text)?
            .map(|token| put_of("refresh", &token.secret))
            .transpose()?,
        id: live
            .id_token(&client())
            .map_err(text)?
            .map(|token| put_of("id", &token.secret))
            .transpose()?,
        guest: access("guest", query("a").tenant(guest_tenant(live)))?,
        alone: access("alone", query("b"))?,
    })
}
