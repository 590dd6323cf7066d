//! The test bench for disks that misbehave: `README.md`.

mod driver;
mod log;
mod oracle;
mod worker;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((role, rest)) if role == "worker" => worker::run(rest),
        _ if driver::run(&args) => {}
        _ => std::process::exit(1),
    }
}
