//! The program: it calls [`oubliette_cli::run`] with the arguments of the process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    oubliette_cli::run(std::env::args_os())
}
