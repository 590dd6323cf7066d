//! An allocator that looks into every block that is given back, for needles that are noted
//! inverted, so that the notes are no copies of what is looked for. It always moves a block that
//! grows.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

/// What a needle is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Token,
    Key,
}

/// How many blocks held needles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) tokens: usize,
    pub(crate) keys: usize,
}

/// Nothing was found.
pub(crate) const CLEAN: Found = Found { tokens: 0, keys: 0 };

static IS_WATCHING: AtomicBool = AtomicBool::new(false);
static TOKENS: AtomicUsize = AtomicUsize::new(0);
static KEYS: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicUsize = AtomicUsize::new(0);
static STATE: Mutex<State> = Mutex::new(State {
    slots: [EMPTY; SLOTS],
    begins: [0; 1024],
    noted: 0,
    first: std::ptr::null_mut(),
});

thread_local! {
    /// While this thread does what it would find itself, or expects to be found.
    static IS_PAUSED: Cell<bool> = const { Cell::new(false) };
    static IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Notes a needle, given inverted, and says its number.
pub(crate) fn note(kind: Kind, inverted: [u8; 16]) -> usize {
    lock().note(kind, halves(inverted))
}

/// How many needles of a kind are known.
pub(crate) fn noted(kind: Kind) -> usize {
    lock().slots.iter().filter(|slot| slot.kind == Some(kind)).count()
}

/// From now on blocks are looked into.
pub(crate) fn watch() {
    IS_WATCHING.store(true, SeqCst);
}

/// Runs `work`, whose freed blocks (in this thread) are not looked into.
pub(crate) fn pause<T>(work: impl FnOnce() -> T) -> T {
    let before = IS_PAUSED.replace(true);
    let done = work();
    IS_PAUSED.set(before);
    done
}

/// Runs `work`, and says how many of the blocks that were given back meanwhile held a needle.
pub(crate) fn found(work: impl FnOnce()) -> Found {
    assert_eq!(freed(), CLEAN);
    IS_EXPECTED.set(true);
    work();
    IS_EXPECTED.set(false);
    freed()
}

/// How many blocks with a needle have been given back since this was asked last.
pub(crate) fn freed() -> Found {
    Found { tokens: TOKENS.swap(0, SeqCst), keys: KEYS.swap(0, SeqCst) }
}

/// The needles that blocks in use hold, by the order in which they were noted. No other thread may
/// be at work.
pub(crate) fn held() -> BTreeSet<usize> {
    // Found first, and put together when the list is no longer locked: that allocates.
    let mut is_held = vec![false; SLOTS];
    let state = lock();
    let mut next = state.first;
    while !next.is_null() {
        // SAFETY: blocks in the list have not been given back, and the list is locked. `alloc` put
        // a head before each, and zeroed the rest. Nobody writes to them meanwhile: the caller says
        // so.
        let bytes = unsafe {
            let head = next;
            next = (*head).next;
            std::slice::from_raw_parts(head.add(1).cast::<u8>(), (*head).size)
        };
        state.each_in(bytes, |at| is_held[state.slots[at].number] = true);
    }
    drop(state);
    (0..).zip(is_held).filter_map(|(number, is_held)| is_held.then_some(number)).collect()
}

/// Whether earlier calls of this thread left a secret on the stack, below its caller's part of it.
/// All of that is overwritten then.
#[inline(never)]
pub(crate) fn left_on_stack() -> Found {
    let mark = std::hint::black_box(0_u64);
    let from = std::ptr::from_ref(&mark).expose_provenance() - STACK_BYTES;
    // SAFETY: a test's thread has a stack of 2 MiB, of which the tests use little: what is read is
    // mapped. It belongs to no object any more, so it is read word by word, as it is.
    let word = |at: usize| unsafe {
        std::ptr::with_exposed_provenance::<u64>(from + at * 8).read_volatile()
    };
    let mut bytes = Zeroizing::new(vec![0; STACK_BYTES]);
    let words = bytes.as_chunks_mut::<8>().0;
    words.iter_mut().enumerate().for_each(|(at, to)| *to = word(at).to_ne_bytes());
    let [token, key] = lock().look(&bytes);
    zeroize::zeroize_stack::<STACK_BYTES>();
    Found { tokens: token.into(), keys: key.into() }
}

const STACK_BYTES: usize = 128 * 1024;

/// More than the tests make keys.
const SLOTS: usize = 1 << 16;
const EMPTY: Slot = Slot { halves: [0; 2], number: 0, kind: None };

#[derive(Clone, Copy)]
struct Slot {
    halves: [u64; 2],
    number: usize,
    kind: Option<Kind>,
}

struct State {
    /// The needles, inverted: a hash table without deletion.
    slots: [Slot; SLOTS],
    /// Which two bytes some needle begins with: a bit for each.
    begins: [u64; 1024],
    noted: usize,
    /// The blocks in use.
    first: *mut Head,
}

// SAFETY: the pointer is used under the lock only.
unsafe impl Send for State {}

/// Before each block.
#[repr(C, align(16))]
struct Head {
    before: *mut Head,
    next: *mut Head,
    size: usize,
}

impl State {
    fn note(&mut self, kind: Kind, needle: [u64; 2]) -> usize {
        assert!(self.noted < SLOTS / 2, "there is no room for more needles");
        let mut at = place(needle[0]);
        while self.slots[at].kind.is_some() {
            if self.slots[at].halves == needle {
                return self.slots[at].number;
            }
            at = (at + 1) % SLOTS;
        }
        // A key that was never filled in is all zeros, and no key.
        if needle != [u64::MAX; 2] {
            self.slots[at] = Slot { halves: needle, number: self.noted, kind: Some(kind) };
            let begin = (needle[0] & 0xffff) as usize;
            self.begins[begin / 64] |= 1 << (begin % 64);
            self.noted += 1;
        }
        self.noted - 1
    }

    /// Calls `found` with the slot of each needle in there.
    fn each_in(&self, bytes: &[u8], mut found: impl FnMut(usize)) {
        for window in bytes.array_windows::<16>() {
            // Most bytes begin no needle.
            let begin = usize::from(u16::from_le_bytes([!window[0], !window[1]]));
            if self.begins[begin / 64] & (1 << (begin % 64)) == 0 {
                continue;
            }
            let window = halves(window.map(|byte| !byte));
            let mut at = place(window[0]);
            while self.slots[at].kind.is_some() {
                if self.slots[at].halves == window {
                    found(at);
                }
                at = (at + 1) % SLOTS;
            }
        }
    }

    /// Whether a token and whether a key is in there.
    fn look(&self, bytes: &[u8]) -> [bool; 2] {
        let mut kinds = [false; 2];
        self.each_in(bytes, |at| {
            self.slots[at].kind.into_iter().for_each(|kind| kinds[kind as usize] = true)
        });
        kinds
    }
}

fn halves(bytes: [u8; 16]) -> [u64; 2] {
    let [first, second] = bytes.as_chunks().0 else { unreachable!("16 bytes are two times 8") };
    [u64::from_le_bytes(*first), u64::from_le_bytes(*second)]
}

fn place(half: u64) -> usize {
    (half.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize % SLOTS
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Canary;

#[global_allocator]
static CANARY: Canary = Canary;

/// The layout of a block with its head, and where the block starts in it.
fn with_head(layout: Layout) -> (Layout, usize) {
    let align = layout.align().max(align_of::<Head>());
    let front = size_of::<Head>().next_multiple_of(align);
    (
        Layout::from_size_align(front + layout.size(), align).expect("a head more is not too much"),
        front,
    )
}

// SAFETY: all calls are passed on to the system's allocator, with room for a head before the block
// and the alignment that was asked for. `realloc` is the trait's own, which allocates, copies and
// gives back: an allocator that always moves.
unsafe impl GlobalAlloc for Canary {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (whole, front) = with_head(layout);
        // SAFETY: zeroed, so that nothing older is found; the head is inside of what was allocated,
        // and aligned, as `front` is.
        unsafe {
            let start = System.alloc_zeroed(whole);
            if start.is_null() {
                return start;
            }
            let block = start.add(front);
            let head = block.cast::<Head>().sub(1);
            let mut state = lock();
            head.write(Head {
                before: std::ptr::null_mut(),
                next: state.first,
                size: layout.size(),
            });
            if !state.first.is_null() {
                (*state.first).before = head;
            }
            state.first = head;
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let mut hit = false;
        // SAFETY: the block is the caller's until it is given back, of this size, and was zeroed
        // when it was allocated. Its head was written then, and is changed under the lock only.
        unsafe {
            let mut state = lock();
            if IS_WATCHING.load(SeqCst) && !IS_PAUSED.get() {
                let bytes = std::slice::from_raw_parts(block, layout.size());
                for (found, count) in state.look(bytes).into_iter().zip([&TOKENS, &KEYS]) {
                    count.fetch_add(found.into(), SeqCst);
                    hit |= found;
                }
            }
            let Head { before, next, .. } = block.cast::<Head>().sub(1).read();
            if !next.is_null() {
                (*next).before = before;
            }
            if before.is_null() { state.first = next } else { (*before).next = next }
        }
        // The first few tell where it is.
        if hit && !IS_EXPECTED.get() && TOLD.fetch_add(1, SeqCst) < 3 {
            pause(|| {
                eprintln!(
                    "a block of {} bytes is given back with a secret in it:\n{}",
                    layout.size(),
                    Backtrace::force_capture()
                )
            });
        }
        let (whole, front) = with_head(layout);
        // SAFETY: this is what `alloc` got, and its layout.
        unsafe { System.dealloc(block.sub(front), whole) }
    }
}
