//! Which errors a file call may give, by the man pages of Linux (and what file systems give beyond them).

/// Name and number.
pub type Errno = (&'static str, i32);

pub const EIO: Errno = ("EIO", 5);
const EINTR: Errno = ("EINTR", 4);
const ENOMEM: Errno = ("ENOMEM", 12);
const EACCES: Errno = ("EACCES", 13);
const EBUSY: Errno = ("EBUSY", 16);
const ENFILE: Errno = ("ENFILE", 23);
const EMFILE: Errno = ("EMFILE", 24);
const EFBIG: Errno = ("EFBIG", 27);
const ENOSPC: Errno = ("ENOSPC", 28);
const EROFS: Errno = ("EROFS", 30);
const EMLINK: Errno = ("EMLINK", 31);
const ENOLCK: Errno = ("ENOLCK", 37);
const EDQUOT: Errno = ("EDQUOT", 122);

const TABLE: &[(&str, &[Errno])] = &[
    ("open", &[EIO, EINTR, ENOMEM, EACCES, ENFILE, EMFILE, EROFS]),
    ("create", &[EIO, EINTR, ENOMEM, EACCES, ENFILE, EMFILE, ENOSPC, EROFS, EDQUOT]),
    ("close", &[EIO, EINTR, ENOSPC, EDQUOT]),
    ("read", &[EIO, EINTR]),
    ("pread", &[EIO, EINTR]),
    ("write", &[EIO, EINTR, EFBIG, ENOSPC, EDQUOT]),
    ("pwrite", &[EIO, EINTR, EFBIG, ENOSPC, EDQUOT]),
    ("fsync", &[EIO, EINTR, ENOSPC, EROFS, EDQUOT]),
    ("fdatasync", &[EIO, EINTR, ENOSPC, EROFS, EDQUOT]),
    ("sync_file_range", &[EIO, EINTR, ENOMEM, ENOSPC]),
    ("ftruncate", &[EIO, EINTR, EFBIG, EROFS]),
    ("fallocate", &[EIO, EINTR, EFBIG, ENOSPC]),
    ("copy_file_range", &[EIO, ENOMEM, EFBIG, ENOSPC, EDQUOT]),
    ("sendfile", &[EIO, ENOMEM]),
    ("rename", &[EIO, ENOMEM, EACCES, EBUSY, ENOSPC, EROFS, EDQUOT]),
    ("unlink", &[EIO, ENOMEM, EACCES, EBUSY, EROFS]),
    ("rmdir", &[EIO, ENOMEM, EACCES, EBUSY, EROFS]),
    ("mkdir", &[EIO, ENOMEM, EACCES, ENOSPC, EROFS, EMLINK, EDQUOT]),
    ("stat", &[EIO, ENOMEM, EACCES]),
    ("fstat", &[EIO, ENOMEM]),
    ("flock", &[EINTR, ENOLCK]),
    ("lock", &[EINTR, ENOLCK]),
    ("mmap", &[ENOMEM, ENFILE]),
    ("opendir", &[EIO, ENOMEM, EACCES, ENFILE, EMFILE]),
    ("readdir", &[EIO]),
    // Of a file that is open it cannot fail.
    ("lseek", &[]),
];

/// The errors of this call.
pub fn of(call: &str) -> &'static [Errno] {
    TABLE.iter().find(|(name, _)| *name == call).map_or(&[], |(_, errnos)| errnos)
}

/// The calls that may give this error, with a comma behind each.
pub fn calls_with(number: i32) -> String {
    let has = |errnos: &&[Errno]| errnos.iter().any(|(_, one)| *one == number);
    TABLE.iter().filter(|(_, errnos)| has(errnos)).map(|(name, _)| format!("{name},")).collect()
}

/// A call that is interrupted for ever is tried for ever, by the standard library itself: that is no fault of a disk.
pub fn can_last(errno: Errno) -> bool {
    errno != EINTR
}
