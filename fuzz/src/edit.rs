//! Changes of bytes that were valid, for modes in which every change must be noticed.

use arbitrary::Arbitrary;

/// One change.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Edit {
    Flip { at: u16, mask: u8 },
    Set { at: u16, to: u8 },
    Cut { to: u16 },
    Extend { by: u8, with: u8 },
    Insert { at: u16, byte: u8 },
    Remove { at: u16, count: u8 },
    Copy { from: u16, to: u16, count: u8 },
}

impl Edit {
    /// Makes the change. Places count round and round.
    pub fn apply(self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let place = |at: u16| usize::from(at) % len.max(1);
        match self {
            Self::Extend { by, with } => bytes.resize(len + usize::from(by), with),
            _ if len == 0 => {}
            Self::Flip { at, mask } => bytes[place(at)] ^= mask,
            Self::Set { at, to } => bytes[place(at)] = to,
            Self::Cut { to } => bytes.truncate(place(to)),
            Self::Insert { at, byte } => bytes.insert(place(at), byte),
            Self::Remove { at, count } => {
                drop(bytes.drain(place(at)..(place(at) + usize::from(count)).min(len)))
            }
            Self::Copy { from, to, count } => {
                let count = usize::from(count).min(len - place(from)).min(len - place(to));
                bytes.copy_within(place(from)..place(from) + count, place(to));
            }
        }
    }
}
