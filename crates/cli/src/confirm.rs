//! Asks for confirmation before anything that cannot be undone.

use std::io::{self, IsTerminal, Write};

use crate::args::Shared;
use crate::failure::{Code, Failure};

/// Succeeds if `--yes` was given, or if the operator types "yes" at a terminal.
pub(crate) fn confirm(shared: &Shared, yes: bool, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if shared.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new(
            Code::Usage,
            format!("{what} Nothing was done: to go on, add --yes."),
        ));
    }
    eprint!("{what}\nType \"yes\" to go on: ");
    let mut answer = String::new();
    io::stderr()
        .flush()
        .and_then(|()| io::stdin().read_line(&mut answer))
        .map_err(Failure::io("ask"))?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Failure::new(Code::Usage, "Nothing was done."))
    }
}
