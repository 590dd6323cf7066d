//! **Demonstration.** The entries of the cache: a map from text to token, as in the caches of the
//! MSAL libraries.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Got, Who};

/// By a key that has the user, the kind of token and the tenant in it.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Entries(HashMap<String, Entry>);

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    who: Who,
    kind: Kind,
    secret: String,
    expires_at: Option<SystemTime>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Access,
    Refresh,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Access => "accesstoken",
            Self::Refresh => "refreshtoken",
        }
    }
}

impl Entries {
    /// Nothing is asked: whether the user is still there, or who else stored meanwhile. (MSAL.NET
    /// stores a token response so.)
    pub(super) fn put(&mut self, who: &Who, got: &Got) {
        if let Some((secret, expires_at)) = &got.access {
            self.insert(who, Kind::Access, secret, *expires_at);
        }
        if let Some(secret) = &got.refresh {
            self.insert(who, Kind::Refresh, secret, None);
        }
    }

    fn insert(&mut self, who: &Who, kind: Kind, secret: &str, expires_at: Option<SystemTime>) {
        let entry = Entry { who: who.clone(), kind, secret: secret.into(), expires_at };
        self.0.insert(key(who, kind), entry);
    }

    pub(super) fn get(&self, who: &Who) -> Option<Got> {
        let find = |kind| self.0.get(&key(who, kind)).cloned();
        let (access, refresh) = (find(Kind::Access), find(Kind::Refresh));
        if access.is_none() && refresh.is_none() {
            return None;
        }
        let access = access.map(|entry| (entry.secret, entry.expires_at));
        Some(Got { access, refresh: refresh.map(|entry| entry.secret) })
    }

    /// Looks at every entry of every user: no key begins with what is asked for. (The MSAL
    /// libraries for Java, Python and Node remove an account so.)
    pub(super) fn remove(&mut self, is_theirs: impl Fn(&Who) -> bool) {
        self.0.retain(|_, entry| !is_theirs(&entry.who));
    }

    pub(super) fn users(&self) -> BTreeSet<Who> {
        self.0.values().map(|entry| entry.who.clone()).collect()
    }
}

impl Got {
    /// The access token, if it is good for a moment longer.
    pub(super) fn good_access(&self) -> Option<&str> {
        let (secret, expires_at) = self.access.as_ref()?;
        let soon = SystemTime::now() + Duration::from_secs(5);
        expires_at.is_none_or(|at| at > soon).then_some(secret)
    }
}

fn key(Who { user, tenant }: &Who, kind: Kind) -> String {
    format!("{user}-{}-{tenant}", kind.name())
}
