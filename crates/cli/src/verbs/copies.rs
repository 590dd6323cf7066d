//! Backup and restore.

use std::ops::ControlFlow;

use oubliette_control::{Answer, Request};

use crate::args::{Backup, Restore, Shared};
use crate::confirm::confirm;
use crate::failure::{Code, Failure};
use crate::place::with_open;
use crate::progress::Progress;
use crate::report::Report;

pub(crate) fn backup(shared: &Shared, args: &Backup) -> Result<Report, Failure> {
    // Absolute, as the app has another current folder; and as it is seen from where the app runs,
    // which in a container may be elsewhere.
    let path = std::path::absolute(&args.path)
        .map_err(Failure::io_at("look at the backup's folder", &args.path))?;
    let path = path.into_os_string().into_string().map_err(|path| {
        Failure::new(Code::Usage, format!("{path:?} is no text that can be sent to the app"))
    })?;
    let _progress = Progress::spinner(shared, "copying what is live");
    let mut told = |_| ControlFlow::Continue(());
    shared.request(&Request::backup(path), &mut told, &|answer| {
        let Answer::Backup { accounts, rows, live_bytes, tampered, position, .. } = answer else {
            return Report::unexpected();
        };
        let report = Report::new().figure("accounts", *accounts).figure("rows", *rows);
        let report = report.figure("live_bytes", *live_bytes).figure("tampered", *tampered);
        report.figure("position", *position)
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
