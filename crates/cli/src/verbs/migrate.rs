//! Moving a store to what else can keep it.

use oubliette::Storage;

use crate::args::{Migrate, Shared, To};
use crate::failure::Failure;
use crate::place::with_open;
use crate::progress::Progress;
use crate::report::Report;

pub(crate) fn migrate(shared: &Shared, args: &Migrate) -> Result<Report, Failure> {
    let (to, how) = match args.to {
        To::Sqlite => {
            (Storage::Sqlite, "SQLite keeps it now: any number of processes can have it open.")
        }
        To::Embedded => (Storage::Embedded, "It is embedded now: one process can have it open."),
    };
    // Nobody else has it, from here to the end.
    let store = shared.writable()?.alone().open()?;
    with_open(store, |store| {
        let progress = Progress::spinner(shared, "moving what is live");
        let moved = store.migrate(to)?;
        drop(progress);
        let report = Report::new().line(how);
        let report = report.figure("accounts", moved.accounts).figure("rows", moved.rows);
        Ok(report.figure("live_bytes", moved.live_bytes).figure("tampered", moved.tampered))
    })
}
