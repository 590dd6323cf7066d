//! The arguments, and the help that is made from them.

mod refuse;
mod verbs;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::failure::Code;

pub(crate) use refuse::refuse;
pub(crate) use verbs::*;

const EXAMPLES: &str = "\
Examples:
  oubliette keygen --out /etc/myapp/key
  export OUBLIETTE_STORE=/var/lib/myapp/tokens OUBLIETTE_KEY_FILE=/etc/myapp/key
  oubliette history --account https://login.example.com user-1     # beside the running app
  systemctl stop myapp
  oubliette sign-out --tenant contoso
  oubliette backup /backup/$(date +%F)";

/// Looks after a store of oubliette: keys, sign-outs, upkeep, backups, and what is on record.
///
/// One process at a time can have a store open. So every verb but `history` (and keygen,
/// completions and man) wants the app to be stopped; what the app can do itself, such as a sign-out
/// or a backup, is better done there. Run it as the user that the app runs as.
///
/// Identifiers given as arguments can be seen by other users of the machine while the program runs.
/// It never shows a token, and identifiers only where `accounts` lists them.
#[derive(Debug, Parser)]
#[command(name = "oubliette", version, after_help = EXAMPLES, after_long_help = long_help(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

fn long_help() -> String {
    format!("{EXAMPLES}\n\n{}", Code::TABLE)
}

/// What all verbs have in common.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store and key")]
pub(crate) struct Shared {
    /// The store's folder
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "OUBLIETTE_STORE",
        hide_env_values = true
    )]
    pub(crate) store: Option<PathBuf>,

    /// The ledger's folder, if the app keeps it elsewhere
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "OUBLIETTE_LEDGER_DIR",
        hide_env_values = true
    )]
    pub(crate) ledger_dir: Option<PathBuf>,

    /// The file with the key. Without it: OUBLIETTE_KEY, or the file that OUBLIETTE_KEY_FILE names
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// The systemd credential with the key
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "key_file")]
    pub(crate) key_credential: Option<String>,

    /// A file with an older key that may still open the store. Can be given several times
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) previous_key_file: Vec<PathBuf>,

    /// Accept key files that other users can read
    #[arg(long, global = true)]
    pub(crate) allow_readable_key: bool,

    /// The app's greatest age of a sign-in, if it is not 90 days: older ones end, and are deleted
    /// by upkeep
    #[arg(
        long,
        global = true,
        value_name = "DAYS",
        env = "OUBLIETTE_MAX_SIGN_IN_DAYS",
        default_value_t = 90
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=36_500), hide_env_values = true)]
    pub(crate) max_sign_in_days: u32,

    /// Work on a store whose folder belongs to another user: what is written may lock that user out
    #[arg(long, global = true)]
    pub(crate) any_user: bool,

    /// Print one JSON object on stdout, and errors as one on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a key: 32 random bytes as text
    #[command(
        after_help = "Examples:\n  oubliette keygen --out /etc/myapp/key\n  oubliette keygen | vault kv put secret/myapp key=-"
    )]
    Keygen(Keygen),

    /// Make a new, empty store
    #[command(
        after_help = "Example:\n  oubliette --store /var/lib/myapp/tokens --key-file /etc/myapp/key init"
    )]
    Init(Init),

    /// Take over token caches that MSAL for .NET, Java, Python or Node wrote
    ///
    /// The files are the plain JSON, after whatever encryption their library was set up with.
    /// Whoever has signed out of the library, or of this store since, is not brought back. What
    /// cannot be taken over is listed, by entry, without its content.
    #[command(after_help = "Example:\n  oubliette import-msal msal_cache.json")]
    ImportMsal(ImportMsal),

    /// List the accounts that are signed in, by their ids
    ///
    /// One line each, separated by tabs: how many sign-ins; then `user`, authority, id; or
    /// `subject`, issuer, sub; or `app`, tenant, client. The list is printed as it is read: if that
    /// fails in the middle, it ends there, and the exit code says so.
    #[command(
        after_help = "Examples:\n  oubliette accounts | wc -l\n  oubliette accounts --tenant contoso --limit 20"
    )]
    Accounts(Accounts),

    /// End all sign-ins of an account, session, subject or tenant, or of everybody
    ///
    /// It is durable when it returns, cannot be undone, and needs nobody to be there; whether
    /// somebody was, it tells. A session's sign-out takes the whole account, unless --only-session
    /// is given.
    #[command(after_help = "Examples:
  oubliette sign-out --account https://login.example.com user-1
  oubliette sign-out --session https://login.example.com 08a5019c --before 2026-11-21T10:20:00Z
  oubliette sign-out --everybody --yes")]
    SignOut(SignOut),

    /// Tell whether, when and in which scope somebody was signed out; beside the running app too
    ///
    /// Give all that is known of a sign-in, its account, tenant, session and subject: each sign-out
    /// of one of them, or of everybody, ended what was signed in before it. An account that is an
    /// issuer and a sub is looked for as that subject too; by which names nobody could be looked
    /// for, it says. Whether there was a new sign-in since, only the app can tell. Without any: how
    /// many sign-outs there were, by scope and day. Nothing is locked or changed; the newest
    /// records may not be durable yet.
    #[command(after_help = "Examples:
  oubliette history
  oubliette history --account https://login.example.com user-1 --tenant contoso
  oubliette --json history --subject https://login.example.com 248289761001 | jq .signed_out")]
    History(History),

    /// Delete what expired or is too old, and compact what that leaves
    ///
    /// If the clock is ahead of all that is known of the time, by more than an hour, nothing is
    /// deleted for its age: a wrong clock would sign everybody out for good. It also looks so when
    /// the store was not open for long. If the clock is right, say so.
    Sweep(Sweep),

    /// Show figures: sizes, backlog, what the ledger knows
    Stats,

    /// Open every row and record of a copy of the store, and tell what does not open
    ///
    /// The copy is made in the folder for temporary files (TMPDIR), and removed again. Exit code 8
    /// says that something was found.
    Verify,

    /// Move what is live to a fresh folder, without what deleted rows leave behind
    Compact,

    /// Have another key, or several, open the store, and no other
    ///
    /// It writes one small file. Backups and older copies of that file still open with the old key:
    /// see `erase`.
    #[command(after_help = "Example:
  oubliette rotate-key --new-key-file new --also-key-file old    # while instances with the old key are about
  OUBLIETTE_KEY_FILE=new oubliette rotate-key --new-key-file new # the old one is out")]
    RotateKey(RotateKey),

    /// Make everything that was ever signed out unreadable for good, and backups useless
    ///
    /// What is live is sealed anew under a new key, and all that was on the disk before is removed.
    /// Then destroy the old key: nothing that was kept of the old files, and no backup, opens
    /// without it. Make a new backup afterwards.
    #[command(
        after_help = "Example:\n  oubliette keygen --out new\n  oubliette erase --new-key-file new\n  mv new /etc/myapp/key"
    )]
    Erase(Erase),

    /// Copy what is live, sealed, and the keyring, into a folder that is empty or not there yet
    ///
    /// The ledger is not copied: `restore` needs the one in use, so that who signs out after the
    /// backup stays out.
    #[command(after_help = "Example:\n  oubliette backup /backup/$(date +%F)")]
    Backup(Backup),

    /// Put a backup in the place of what the store holds, beside the ledger in use
    ///
    /// Whoever signed out since the backup stays out; who signed in since signs in again.
    #[command(after_help = "Example:\n  oubliette restore /backup/2026-11-21")]
    Restore(Restore),

    /// Print the completions for a shell
    #[command(
        after_help = "Example:\n  oubliette completions bash > /etc/bash_completion.d/oubliette"
    )]
    Completions(Completions),

    /// Print the man page of the program or of a verb, or write all of them
    #[command(
        after_help = "Examples:\n  oubliette man sign-out | man -l -\n  oubliette man --out-dir /usr/local/share/man/man1"
    )]
    Man(Man),
}
