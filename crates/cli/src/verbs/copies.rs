//! Backup and restore.

use crate::args::{Backup, Restore, Shared};
use crate::confirm::confirm;
use crate::failure::{Code, Failure};
use crate::place::with_open;
use crate::progress::Progress;
use crate::report::Report;

pub(crate) fn backup(shared: &Shared, args: &Backup) -> Result<Report, Failure> {
    let path = &args.path;
    let is_taken =
        path.exists() && path.read_dir().map_or(true, |mut entries| entries.next().is_some());
    if is_taken {
        return Err(Failure::new(
            Code::Exists,
            format!("{} is there already, and is not an empty folder", path.display()),
        ));
    }
    shared.with_store(|store| {
        let progress = Progress::spinner(shared, "copying what is live");
        let done = store.backup(path)?;
        drop(progress);
        let report = Report::new().figure("accounts", done.accounts).figure("rows", done.rows);
        let report = report.figure("live_bytes", done.live_bytes).figure("tampered", done.tampered);
        Ok(report.figure("position", done.position))
    })
}

pub(crate) fn restore(shared: &Shared, args: &Restore) -> Result<Report, Failure> {
    if !args.path.is_dir() {
        return Err(Failure::new(
            Code::NotFound,
            format!("there is no backup in {}", args.path.display()),
        ));
    }
    let builder = shared.builder()?;
    shared.check_user()?;
    confirm(
        shared,
        args.yes,
        "This replaces the content of the store by the backup: users who signed in since then have \
         to sign in again.",
    )?;
    let progress = Progress::spinner(shared, "copying the backup");
    let store = builder.restore(&args.path)?;
    drop(progress);
    with_open(store, |store| {
        let stats = store.stats()?;
        let report =
            Report::new().line("Restored. Users who signed out since the backup stay signed out.");
        Ok(report.figure("synced", stats.synced).figure("engine_bytes", stats.engine_bytes))
    })
}
