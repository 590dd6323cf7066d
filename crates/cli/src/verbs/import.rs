//! Imports the caches of the MSAL libraries.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use oubliette::msal::{MsalCache, MsalError, MsalProblem, MsalProblemKind, MsalSignIn};
use oubliette::{Error, TokenStore, Zeroizing};
use serde_json::{Value, json};

use crate::args::{ImportMsal, Shared};
use crate::failure::{Code, Failure};
use crate::place::with_open;
use crate::progress::Progress;
use crate::report::Report;

/// A larger file is not a cache.
const MOST_BYTES: u64 = 256 << 20;

/// What became of the accounts of all files.
#[derive(Default)]
struct Totals {
    /// Users, and apps with tokens of their own.
    accounts: u64,
    users: u64,
    /// Tokens as `verify` counts them: each is in a place of its own.
    tokens: u64,
    /// Tokens of these accounts that are not stored because a newer one is in their place, or
    /// because they stand in the file twice.
    replaced: u64,
    /// Users whom the library signed out.
    signed_out_before: u64,
    /// Accounts that signed out of this store since they signed in.
    signed_out_since: u64,
    /// Tokens of tenants that were signed out since.
    tokens_signed_out: u64,
    /// Accounts that signed in longer ago than a sign-in lasts, or that cannot be stored.
    not_stored: u64,
}

pub(crate) fn run(shared: &Shared, args: &ImportMsal) -> Result<Report, Failure> {
    let builder = shared.writable()?.max_sign_ins(args.max_sign_ins);
    // All files are read before the first account is stored. So if one cannot be read, nothing is
    // imported.
    let caches = args
        .files
        .iter()
        .map(|path| Ok((path, read(path)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    with_open(builder.open()?, |store| {
        let progress = Progress::bar(
            shared,
            "importing",
            caches.iter().map(|(_, cache)| cache.sign_ins.len()).sum(),
        );
        let (mut totals, mut problems) = (Totals::default(), Vec::new());
        for (path, cache) in caches {
            totals.signed_out_before += cache.signed_out as u64;
            problems.extend(cache.problems.into_iter().map(|problem| (path, problem)));
            for sign_in in cache.sign_ins {
                totals.import(store, sign_in)?;
                progress.step(1);
            }
        }
        drop(progress);
        Ok(totals.report(&problems))
    })
}

/// Reads one file, into a buffer that is wiped and does not grow.
fn read(path: &Path) -> Result<MsalCache, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Code::Io, format!("cannot read {}: {error}", path.display()))
    };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let no_cache =
        |error: MsalError| Failure::new(Code::Usage, format!("{}: {error}", path.display()));
    if size > MOST_BYTES {
        return Err(no_cache(MsalError::TooLarge));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    MsalCache::read(&bytes).map_err(no_cache)
}

impl Totals {
    fn import(&mut self, store: &TokenStore, account: MsalSignIn) -> Result<(), Failure> {
        let MsalSignIn { sign_in, others, tokens, replaced, .. } = account;
        // These have no tokens; they let a provider's sign-out of such a session find the account.
        // If one is refused, there is nothing to be found.
        for other in others {
            match store.sign_in(other) {
                Ok(_)
                | Err(Error::SignedOut | Error::Overtaken { .. } | Error::InvalidInput { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let is_user = sign_in.account().as_app().is_none();
        match store.sign_in(sign_in).and_then(|live| live.put(tokens)) {
            Ok(stored) => {
                self.accounts += 1;
                self.users += u64::from(is_user);
                self.tokens += stored.stored as u64;
                self.replaced += replaced as u64;
                self.tokens_signed_out += stored.refused.len() as u64;
            }
            Err(Error::SignedOut | Error::Overtaken { .. }) => self.signed_out_since += 1,
            Err(Error::InvalidInput { .. }) => self.not_stored += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn report(&self, problems: &[(&PathBuf, MsalProblem)]) -> Report {
        let nobody = self.nobody(problems);
        let report = Report::new().field("nobody", nobody.map(|(word, _)| word));
        let report = nobody.into_iter().fold(report, |report, (_, sentence)| report.line(sentence));
        let report = report
            .figure("accounts", self.accounts)
            .figure("tokens", self.tokens)
            .figure("replaced", self.replaced)
            .figure("signed_out_before", self.signed_out_before)
            .figure("signed_out_since", self.signed_out_since)
            .figure("tokens_signed_out", self.tokens_signed_out)
            .figure("not_stored", self.not_stored);
        let listed: Vec<Value> =
            problems.iter().map(|(path, problem)| as_json(path, problem)).collect();
        let report = report.field("problems", listed);
        problems.iter().fold(report, |report, (path, problem)| {
            let what = if problem.left_out { "left out" } else { "left out of it" };
            report.line(format_args!("{}: {problem} ({what})", path.display()))
        })
    }

    /// Why no user was imported, if none was: a word and a sentence.
    fn nobody(&self, problems: &[(&PathBuf, MsalProblem)]) -> Option<(&'static str, &'static str)> {
        let is_sign_out = |problem: &MsalProblem| {
            matches!(problem.kind, MsalProblemKind::NoAccount | MsalProblemKind::NoToken)
        };
        let is_explained =
            problems.iter().all(|(_, problem)| !problem.left_out || is_sign_out(problem));
        match (self.users, self.signed_out_before + self.signed_out_since, self.not_stored) {
            (1.., ..) => None,
            (0, 0, 0) if is_explained => {
                Some(("no_users", "No user was taken over: there is none in the caches."))
            }
            (0, 1.., 0) if is_explained => {
                Some(("signed_out", "No user was taken over: all in the caches are signed out."))
            }
            _ => Some(("left_out", "No user was taken over.")),
        }
    }
}

fn as_json(path: &Path, problem: &MsalProblem) -> Value {
    json!({
        "file": path.display().to_string(),
        "node": problem.node,
        "entry": problem.entry,
        "field": problem.field,
        "problem": problem.problem,
        "left_out": problem.left_out,
    })
}
