//! Answers arguments that cannot be parsed.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::failure::{Code, Failure};
use crate::report::print;

/// How keys and tokens begin. If one is given as an argument, the message does not repeat it.
const SECRETS: [&str; 3] = ["hex:", "base64:", "eyJ"];

/// Shows what is wrong with the arguments, or the help or version if they ask for it.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match print(|out| write!(out, "{}", error.render())) {
            Ok(_) => ExitCode::SUCCESS,
            Err(failure) => failure.show(false),
        };
    }
    let given: Vec<_> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let as_json = given.iter().any(|arg| arg == "--json");
    let rendered = error.render().to_string();
    let message = if given.iter().any(|arg| SECRETS.iter().any(|secret| arg.contains(secret))) {
        "one of the arguments looks like a key or a token. Other users can see arguments: give keys \
         in OUBLIETTE_KEY or in a file, and never give tokens"
    } else if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        "no verb is given: see `oubliette --help`"
    } else {
        rendered.strip_prefix("error: ").unwrap_or(&rendered).trim_end()
    };
    Failure::new(Code::Usage, message).show(as_json)
}
