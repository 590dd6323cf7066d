//! The command line of `oubliette`, for operators: keys, sign-outs, upkeep, backups, and the record
//! of sign-outs.
//!
//! Each verb gives one report, which is shown as text or as one JSON object. Each kind of failure
//! has an exit code and a word of its own. The program never shows a token.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod args;
mod beside;
mod confirm;
mod failure;
mod place;
mod progress;
mod report;
mod time;
mod verbs;
mod whom;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};
use failure::Failure;
use report::Report;

/// Runs the program with these arguments, of which the first is the program's own name. It prints
/// to stdout and stderr, and returns the exit code.
///
/// Keys come from the environment or from files, as the program's `--help` says.
///
/// ```
/// use std::process::ExitCode;
///
/// assert_eq!(oubliette_cli::run(["oubliette", "--version"]), ExitCode::SUCCESS);
/// ```
pub fn run<I, T>(args: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return args::refuse(&error),
    };
    let done = verb(&cli).map_err(|failure| failure.explained_by(&cli.shared, &cli.verb));
    let (report, failure) = match done {
        Ok(report) => (Some(report), None),
        Err(mut failure) => (failure.report.take().map(|report| *report), Some(failure)),
    };
    let shown = report.as_ref().map_or(Ok(()), |report| report.show(cli.shared.json));
    match failure.or(shown.err()) {
        Some(failure) => failure.show(cli.shared.json),
        None => report.map_or(ExitCode::SUCCESS, |report| report.code.into()),
    }
}

fn verb(cli: &Cli) -> Result<Report, Failure> {
    let shared = &cli.shared;
    match &cli.verb {
        Verb::Keygen(args) => verbs::keygen::run(shared, args),
        Verb::Init(args) => verbs::keys::init(shared, args),
        Verb::ImportMsal(args) => verbs::import::run(shared, args),
        Verb::Accounts(args) => verbs::accounts::run(shared, args),
        Verb::SignOut(args) => verbs::sign_out::run(shared, args),
        Verb::History(args) => verbs::history::run(shared, args),
        Verb::Sweep(args) => verbs::upkeep::sweep(shared, args),
        Verb::Stats => verbs::upkeep::stats(shared),
        Verb::Verify => verbs::upkeep::verify(shared),
        Verb::Compact => verbs::upkeep::compact(shared),
        Verb::RotateKey(args) => verbs::keys::rotate(shared, args),
        Verb::Erase(args) => verbs::keys::erase(shared, args),
        Verb::Backup(args) => verbs::copies::backup(shared, args),
        Verb::Restore(args) => verbs::copies::restore(shared, args),
        #[cfg(feature = "sqlite")]
        Verb::Migrate(args) => verbs::migrate::migrate(shared, args),
        Verb::Completions(args) => verbs::shell::completions(args),
        Verb::Man(args) => verbs::shell::man(args),
    }
}
