//! The arguments of the program, and the help that is made from them.

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
  oubliette sign-out --tenant contoso       # likewise, if the app has a control socket
  oubliette backup /backup/$(date +%F)
  systemctl stop myapp && oubliette restore /backup/2026-11-21";

/// Looks after a store of oubliette: keys, sign-outs, upkeep, backups, and the record of sign-outs.
///
/// A store that is kept by SQLite can be open in any number of processes: then all verbs work beside
/// the app but `restore`, `erase` and `migrate`. Any other store only one process at a time can have
/// open. While that is the app, `history` works, and the app itself does accounts, sign-out, stats, sweep, verify, backup and compact for this program
/// if it listens at a control socket in the store's folder (ControlSocket of the crate
/// oubliette-control). For all else it must be stopped. Run this program as the user that the app
/// runs as; over the socket, root may too.
///
/// While the program runs, other users of the machine can see the identifiers that are given as
/// arguments. The program never shows a token, and shows identifiers only where `accounts` lists
/// them.
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

    /// The file with the key. Without this option the key is taken from OUBLIETTE_KEY, or from the
    /// file that OUBLIETTE_KEY_FILE names
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

    /// The greatest age of a sign-in, if the app sets another than 90 days. Older sign-ins end, and
    /// upkeep deletes them
    #[arg(
        long,
        global = true,
        value_name = "DAYS",
        env = "OUBLIETTE_MAX_SIGN_IN_DAYS",
        default_value_t = 90
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=36_500), hide_env_values = true)]
    pub(crate) max_sign_in_days: u32,

    /// Work on a store whose folder belongs to another user. The files that are written may lock
    /// that user out
    #[arg(long, global = true)]
    pub(crate) any_user: bool,

    /// Wait this long while another process has the store open. Without this option the program
    /// fails at once
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        env = "OUBLIETTE_WAIT",
        default_value_t = 0
    )]
    #[arg(hide_default_value = true, hide_env_values = true)]
    pub(crate) wait: u32,

    /// Print one JSON object on stdout, and an error as one on stderr
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

    /// Import token caches that MSAL for .NET, Java, Python or Node wrote
    ///
    /// The files must be plain JSON: if their library was set up to encrypt them, decrypt them
    /// first. A user who has signed out of the library, or of this store since then, is not
    /// imported. Entries that cannot be imported are listed, without their content.
    #[command(after_help = "Example:\n  oubliette import-msal msal_cache.json")]
    ImportMsal(ImportMsal),

    /// List the accounts that are signed in, by their ids
    ///
    /// Each account is one line: the number of its sign-ins, a tab, and the account in the words
    /// that `sign-out` and `history` take, quoted as a POSIX shell needs it. The list is printed as
    /// it is read. If reading fails in the middle, the list ends there, and the exit code says so.
    #[command(
        after_help = "Examples:\n  oubliette accounts | wc -l\n  oubliette accounts --tenant contoso --limit 20"
    )]
    Accounts(Accounts),

    /// End all sign-ins of an account, session, subject or tenant, or of everybody
    ///
    /// The sign-out is durable when the program returns, and cannot be undone. It is recorded even
    /// if nobody is signed in, and the program tells whether somebody was. The sign-out of a
    /// session ends all sign-ins of its account, unless --only-session is given.
    #[command(after_help = "Examples:
  oubliette sign-out --account https://login.example.com user-1
  oubliette sign-out --session https://login.example.com 08a5019c --before 2026-11-21T10:20:00Z
  oubliette sign-out --everybody --yes")]
    SignOut(SignOut),

    /// Tell whether, when and in which scope somebody was signed out, even beside the running app
    ///
    /// Give all that is known of a sign-in: its account, tenant, session and subject. Each sign-out
    /// of one of them, or of everybody, ended the sign-ins that were made before it. An account
    /// that is an issuer and a sub is looked for as that subject too. The answer says for which
    /// kinds of names nothing was given. Only the app can tell whether there was a new sign-in
    /// since then. Without any name, the answer is the number of sign-outs by scope and day.
    /// Nothing is locked or changed. The newest records may not be durable yet.
    #[command(after_help = "Examples:
  oubliette history
  oubliette history --account https://login.example.com user-1 --tenant contoso
  oubliette --json history --subject https://login.example.com 248289761001 | jq .signed_out")]
    History(History),

    /// Delete what has expired or is too old, and compact the rest
    ///
    /// If the clock is more than an hour ahead of all that is known of the time, nothing is deleted
    /// for its age, because a wrong clock would sign everybody out for good. The clock also seems
    /// to be ahead if the store has not been open for long. If it is right, give --clock-is-right.
    Sweep(Sweep),

    /// Show figures: sizes, the backlog, and the ledger's records
    Stats,

    /// Open every row and record of a copy of the store, and tell which do not open
    ///
    /// The copy is made in the folder for temporary files (TMPDIR), and removed again. The store's
    /// own files are not changed, and may be read-only. The exit code is 8 if a fault was found.
    Verify,

    /// Move the live rows to a fresh folder, which frees the space of deleted rows
    Compact,

    /// Make only the given new key, or keys, open the store
    ///
    /// This writes one small file. Backups and older copies of that file still open with the old
    /// key: see `erase`.
    #[command(after_help = "Example:
  oubliette rotate-key --new-key-file new --also-key-file old    # both keys open it
  OUBLIETTE_KEY_FILE=new oubliette rotate-key --new-key-file new # only the new one does")]
    RotateKey(RotateKey),

    /// Make everything that was ever signed out unreadable for good, and backups useless
    ///
    /// The live rows are sealed again under a new key, and everything that was on the disk before
    /// is removed. Destroy the old key afterwards: without it no copy of the old files and no
    /// backup can be opened. Then make a new backup.
    #[command(
        after_help = "Example:\n  oubliette keygen --out new\n  oubliette erase --new-key-file new\n  mv new /etc/myapp/key"
    )]
    Erase(Erase),

    /// Copy the live rows, sealed, and the keyring into a folder that is empty or does not exist
    /// yet
    ///
    /// The ledger is not copied: `restore` needs the ledger in use, so that users who sign out
    /// after the backup stay signed out. If the app makes it, the folder must be below the one that
    /// the app allows, and is as the app sees it.
    #[command(after_help = "Example:\n  oubliette backup /backup/$(date +%F)")]
    Backup(Backup),

    /// Replace the content of the store by a backup, and keep the ledger in use
    ///
    /// Users who signed out since the backup stay signed out. Users who signed in since then have
    /// to sign in again.
    #[command(after_help = "Example:\n  oubliette restore /backup/2026-11-21")]
    Restore(Restore),

    /// Move the store to a file of SQLite's, which many processes can have open, or back
    ///
    /// No process can have the store open meanwhile. Nobody is signed out by it, and who has signed
    /// out stays signed out; the key, and the ledger in its folder, stay as they are. If it is
    /// interrupted, the store is as it was before or as it is afterwards: run it again. It takes
    /// space for a second copy of what is live. Backups from before can be restored: the store is
    /// then kept as the backup was.
    #[cfg(feature = "sqlite")]
    #[command(after_help = "Example:\n  systemctl stop myapp && oubliette migrate --to sqlite")]
    Migrate(Migrate),

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
