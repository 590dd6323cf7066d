//! Who is at the other end, where the system tells.

use std::os::unix::net::UnixStream;

use crate::answer::{Fault, kind};

/// The process at the other end, as it was when it connected.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) uid: Option<u32>,
    pub(crate) pid: Option<i32>,
}

impl Peer {
    /// # Errors
    /// `NOT_ALLOWED` if the system does not say it where it should.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn of(stream: &UnixStream) -> Result<Self, Fault> {
        use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
        // (The process id is 0 of a process that this one cannot see, such as one outside of its
        // container.)
        match getsockopt(stream, PeerCredentials) {
            Ok(found) => {
                Ok(Self { uid: Some(found.uid()), pid: Some(found.pid()).filter(|pid| *pid != 0) })
            }
            Err(error) => {
                let message = format!("the system does not say who is at the other end: {error}");
                Err(Fault::new(kind::NOT_ALLOWED, message))
            }
        }
    }

    /// Elsewhere the folder's mode alone says who may ask.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn of(_: &UnixStream) -> Result<Self, Fault> {
        Ok(Self::default())
    }

    /// Lets this process's own user pass, and root.
    ///
    /// # Errors
    /// `NOT_ALLOWED`
    pub(crate) fn check(self) -> Result<Self, Fault> {
        let own = nix::unistd::geteuid().as_raw();
        match self.uid {
            Some(uid) if uid != own && uid != 0 => Err(Fault::new(
                kind::NOT_ALLOWED,
                format!(
                    "the app takes requests of its own user ({own}) and of root, and this is the \
                     user {uid}. Nothing was done"
                ),
            )),
            _ => Ok(self),
        }
    }

    /// Whether it can be the app of the store that this user owns.
    ///
    /// # Errors
    /// `NOT_ALLOWED`: then no name is sent.
    pub(crate) fn check_owner(self, owner: u32) -> Result<(), Fault> {
        match self.uid {
            Some(uid) if uid != owner && uid != 0 => Err(Fault::new(
                kind::NOT_ALLOWED,
                format!(
                    "a process of the user {uid} listens at the control socket, and the store is of \
                     the user {owner}. Nothing was sent"
                ),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may")]

    use super::*;

    #[test]
    fn the_own_user_and_root_pass_and_nobody_else() {
        let own = nix::unistd::geteuid().as_raw();
        let of = |uid| Peer { uid: Some(uid), pid: None };
        assert!(of(own).check().is_ok() && of(0).check().is_ok());
        let stranger = own.wrapping_add(4321).max(1);
        assert_eq!(of(stranger).check().unwrap_err().kind, kind::NOT_ALLOWED);
        assert!(of(7).check_owner(7).is_ok() && of(0).check_owner(7).is_ok());
        assert!(of(8).check_owner(7).is_err());
        let (one, _other) = UnixStream::pair().unwrap();
        let found = Peer::of(&one).unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!((found.uid, found.pid), (Some(own), Some(std::process::id() as i32)));
        }
    }
}
