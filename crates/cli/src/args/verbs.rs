//! The arguments of each verb.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{ArgGroup, Args};
use clap_complete::Shell;

use crate::time;
use crate::whom::Whom;

#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// Write the key to this new file, which only its owner can read, and do not show it. A file is
    /// never overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The keys that wrap the store's keys from now on.
#[derive(Debug, Args)]
pub(crate) struct NewKeys {
    /// The file with the key that opens the store from now on
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) new_key_file: PathBuf,

    /// A file with one more key that opens it. Up to seven
    #[arg(long, value_name = "FILE")]
    pub(crate) also_key_file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// A file with one more key that opens it. Up to seven
    #[arg(long, value_name = "FILE")]
    pub(crate) also_key_file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportMsal {
    /// The cache files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// How many sign-ins an account may have at a time in the app
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) max_sign_ins: u8,
}

#[derive(Debug, Args)]
pub(crate) struct Accounts {
    /// List only accounts with a sign-in in this tenant, or with tokens of it
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) tenant: Option<String>,

    /// List at most this number of accounts
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("scope").required(true).args(Whom::FLAGS).arg("everybody").arg("alias"))]
pub(crate) struct SignOut {
    #[command(flatten)]
    pub(crate) whom: Whom,

    /// Everybody
    #[arg(long)]
    pub(crate) everybody: bool,

    /// Every account with a sign-in of this alias: an e-mail address, or another name that the app
    /// has given. If there is none, nothing is recorded
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) alias: Option<String>,

    /// Exit with code 14 if nobody was signed in under this name. The sign-out is recorded anyway
    #[arg(long)]
    pub(crate) expect_someone: bool,

    /// End only sign-ins that were made by this time: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) before: Option<SystemTime>,

    /// Do not end the account's other sessions
    #[arg(long, conflicts_with_all = Whom::NO_SESSION, conflicts_with_all = ["everybody", "alias"])]
    pub(crate) only_session: bool,

    /// Do not ask before everybody is signed out
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("one_account").args(["account", "msal_account", "oidc_account", "app_account"]))]
pub(crate) struct History {
    #[command(flatten)]
    pub(crate) whom: Whom,

    /// Look only for sign-outs of everybody
    #[arg(long, conflicts_with_all = Whom::FLAGS)]
    pub(crate) everybody: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Delete by the clock of this machine, because it is right
    #[arg(long)]
    pub(crate) clock_is_right: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RotateKey {
    #[command(flatten)]
    pub(crate) keys: NewKeys,
}

#[derive(Debug, Args)]
pub(crate) struct Erase {
    #[command(flatten)]
    pub(crate) keys: NewKeys,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The folder for the backup
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup's folder
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What keeps a store.
#[cfg(feature = "sqlite")]
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum To {
    /// A file of SQLite's, which any number of processes of this machine can have open
    Sqlite,
    /// The app's own process, which has the store open alone
    Embedded,
}

#[cfg(feature = "sqlite")]
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// What keeps the store from now on
    #[arg(long, value_name = "KIND")]
    pub(crate) to: To,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The verb. Without it, the page is that of the program
    pub(crate) verb: Option<String>,

    /// Write one file for the program and one for each verb into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub(crate) out_dir: Option<PathBuf>,
}
