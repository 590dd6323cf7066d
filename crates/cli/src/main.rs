//! The program: [`oubliette_cli::run`] on the arguments of the process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    oubliette_cli::run(std::env::args_os())
}
