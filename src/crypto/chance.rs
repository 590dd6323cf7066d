//! For this crate's own tests: random numbers that repeat, so that known answers can be made. Each
//! thread has its own stream; without one, random numbers come from the operating system, as they
//! always do outside of these tests.

use std::cell::RefCell;
use std::collections::VecDeque;

use sha2::{Digest, Sha256};

thread_local! {
    static STREAM: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

enum Stream {
    /// SHA-256 over the seed and a counter, block by block.
    Seeded { seed: String, blocks: u64, left: VecDeque<u8> },
    /// Just these bytes, and no more.
    Given(VecDeque<u8>),
}

/// Runs `work` with random numbers that depend on the seed alone.
pub(crate) fn seeded<T>(seed: &str, work: impl FnOnce() -> T) -> T {
    with(Stream::Seeded { seed: seed.into(), blocks: 0, left: VecDeque::new() }, work)
}

/// Runs `work` with these bytes as its random numbers; it must draw exactly these.
pub(crate) fn given<T>(bytes: &[u8], work: impl FnOnce() -> T) -> T {
    with(Stream::Given(bytes.iter().copied().collect()), work)
}

/// While the work lasts, its stream is used and no outer one; the outer one is restored, also after
/// a panic.
fn with<T>(stream: Stream, work: impl FnOnce() -> T) -> T {
    struct Outer(Option<Stream>);
    impl Drop for Outer {
        fn drop(&mut self) {
            STREAM.set(self.0.take());
        }
    }
    let _outer = Outer(STREAM.replace(Some(stream)));
    let done = work();
    if let Some(Stream::Given(left)) = STREAM.take() {
        assert!(left.is_empty(), "not all of the given bytes were drawn");
    }
    done
}

/// Fills `bytes` from this thread's stream; `false` if it has none.
pub(super) fn fill(bytes: &mut [u8]) -> bool {
    STREAM.with_borrow_mut(|stream| {
        match stream {
            None => return false,
            Some(Stream::Given(left)) => {
                bytes.iter_mut().for_each(|byte| {
                    *byte = left.pop_front().expect("more bytes were drawn than given")
                });
            }
            Some(Stream::Seeded { seed, blocks, left }) => {
                for byte in bytes {
                    if left.is_empty() {
                        left.extend(Sha256::digest(
                            [seed.as_bytes(), &blocks.to_be_bytes()].concat(),
                        ));
                        *blocks += 1;
                    }
                    *byte = left.pop_front().expect("a block was just added");
                }
            }
        }
        true
    })
}

#[test]
fn a_seed_repeats_and_ends_with_its_work() {
    use super::fresh;
    let draw = || (fresh::<5>().unwrap(), fresh::<40>().unwrap());
    let [first, again, other] = ["a", "a", "b"].map(|seed| seeded(seed, draw));
    assert!(first == again && first != other && first != draw());
    assert_eq!(first, seeded("b", || seeded("a", draw)));
    assert_eq!(given(&[1, 2, 3], || fresh::<3>().unwrap()), [1, 2, 3]);
    let too_few = std::panic::catch_unwind(|| given(&[1, 2], || fresh::<1>().unwrap()));
    assert!(too_few.is_err() && draw() != draw(), "a panic ends the stream too");
}
