//! Errors of the system with the path that they are about, which the system leaves out.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What the system said about a path.
#[derive(Debug)]
struct At {
    path: PathBuf,
    source: io::Error,
}

/// Adds the path to an error of the same kind, for `map_err`. An error that has one already keeps
/// that, which is the closer one.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |source| match source.get_ref().is_some_and(|inner| inner.is::<At>()) {
        true => source,
        false => io::Error::new(source.kind(), At { path: path.to_owned(), source }),
    }
}

/// Takes the path off again, and gives what the system said.
pub(crate) fn apart(error: io::Error) -> (Option<PathBuf>, io::Error) {
    match error.downcast::<At>() {
        Ok(At { path, source }) => (Some(path), source),
        Err(error) => (None, error),
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With its escapes: a file's name may have a line break, and an error is one line of a log.
        write!(f, "{:?}: {}", self.path, self.source)
    }
}

impl Error for At {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_once_and_what_the_system_said_stays() {
        let full = || io::Error::from_raw_os_error(28);
        let error = at(Path::new("/a"))(at(Path::new("/a/b"))(full()));
        assert_eq!(error.kind(), full().kind());
        assert_eq!(error.to_string(), format!("\"/a/b\": {}", full()));
        let (path, source) = apart(error);
        assert_eq!((path, source.raw_os_error()), (Some("/a/b".into()), Some(28)));
        assert!(apart(full()).0.is_none());
    }
}
