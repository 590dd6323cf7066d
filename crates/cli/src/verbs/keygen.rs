//! Makes a key.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use oubliette::Zeroizing;

use crate::args::{Keygen, Shared};
use crate::failure::{Code, Failure};
use crate::report::{Report, print};

/// The length of `hex:`, 64 digits, and the end of the line.
const LINE_BYTES: usize = 4 + 64 + 1;

pub(crate) fn run(shared: &Shared, args: &Keygen) -> Result<Report, Failure> {
    let line = make()?;
    match &args.out {
        Some(path) => {
            write_new(path, line.as_slice())?;
            let advice = "Keep a copy in a safe place: without the key the store cannot be read.";
            Ok(Report::new()
                .line(format_args!("The key is in {}.\n{advice}", path.display()))
                .field("out", path.display().to_string()))
        }
        None => {
            let (before, after): (&[u8], &[u8]) =
                if shared.json { (b"{\"key\":\"", b"\"}\n") } else { (b"", b"\n") };
            let text = line.strip_suffix(b"\n").unwrap_or_default();
            print(|out| {
                [before, text, after].into_iter().try_for_each(|part| out.write_all(part))
            })?;
            eprintln!(
                "This is the key. Put the line into a secret manager, or into a file that only the app's user can read (keygen --out \
                 makes one), but not beside the store; and keep a copy in a safe place: without it the store cannot be read."
            );
            Ok(Report::printed())
        }
    }
}

/// Makes the line with the key, in a buffer that is wiped.
fn make() -> Result<Zeroizing<[u8; LINE_BYTES]>, Failure> {
    let random = |error| Failure::new(Code::Other, format!("cannot get random numbers: {error}"));
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(random)?;
    let mut line = Zeroizing::new([b'\n'; LINE_BYTES]);
    let (prefix, rest) = line.split_at_mut(4);
    prefix.copy_from_slice(b"hex:");
    let encoded = base16ct::lower::encode(key.as_slice(), rest).is_ok();
    if encoded { Ok(line) } else { Err(Failure::new(Code::Other, "cannot write the key as text")) }
}

/// Writes a file that must not exist yet, and that only its owner can read.
fn write_new(path: &Path, line: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(
            Code::Exists,
            format!("{} is there already, and a key is never overwritten", path.display()),
        ),
        _ => Failure::io_at("make the file", path)(error),
    })?;
    file.write_all(line)
        .and_then(|()| file.sync_all())
        .map_err(Failure::io_at("write the file", path))
}
