//! The verbs about the keys that wrap a store: making a store, changing its keys, and erasure.

use oubliette::Error;

use crate::args::{Erase, Init, RotateKey, Shared};
use crate::confirm::confirm;
use crate::failure::{Code, Failure};
use crate::place::{has_store, with_open};
use crate::progress::Progress;
use crate::report::Report;

pub(crate) fn init(shared: &Shared, args: &Init) -> Result<Report, Failure> {
    let folder = shared.folder()?;
    if has_store(folder)? {
        return Err(Failure::new(
            Code::Exists,
            format!("there is a store in {} already", folder.display()),
        ));
    }
    if folder.exists() {
        shared.check_user()?;
    }
    let store = shared.builder_with(shared.key_and(&args.also_key_file))?.open()?;
    let keys = 1 + args.also_key_file.len();
    with_open(store, |_| Ok(Report::new().line("The store is made.").figure("keys", keys)))
}

pub(crate) fn rotate(shared: &Shared, args: &RotateKey) -> Result<Report, Failure> {
    let keys = 1 + args.keys.also_key_file.len();
    shared.with_store(|store| {
        store.rotate_key(&shared.new_keys(&args.keys))?;
        let report = Report::new()
            .line("Only the new key, and those given with it, open the store from now on.");
        Ok(report.figure("keys", keys))
    })
}

pub(crate) fn erase(shared: &Shared, args: &Erase) -> Result<Report, Failure> {
    let builder = shared.writable()?;
    // A key that opens the old files too would leave them readable.
    match shared.builder_with(shared.new_keys(&args.keys))?.history() {
        Err(Error::KeyRejected) => {}
        Ok(_) => {
            return Err(Failure::new(
                Code::Usage,
                "the new key opens the store already: an erasure needs a fresh one",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    confirm(
        shared,
        args.yes,
        "This seals what is live under the new key; no backup that was made before can be restored any more.",
    )?;
    // Other processes would go on with the old keys.
    let store = builder.alone().open()?;
    with_open(store, |store| {
        let progress = Progress::spinner(shared, "sealing what is live anew");
        let erased = store.complete_erasure(&shared.new_keys(&args.keys))?;
        drop(progress);
        let report =
            Report::new().line("Only the new key, and those given with it, open the store from now on. Destroy the old one.");
        let report = report.figure("accounts", erased.accounts).figure("rows", erased.rows);
        Ok(report.figure("tampered", erased.tampered))
    })
}
