//! Histories of the store's verbs on a pretended machine that dies, fills up, fails and is tampered with, against a plain model of the
//! rule: a list of sign-ins, a list of sign-outs, and the tokens that each place can hold.

mod cast;
mod check;
mod model;
mod world;

use arbitrary::{Arbitrary, Unstructured};

use self::world::World;
use crate::input::Encode;

/// More verbs of one history are not run.
const MOST_VERBS: usize = 60;

crate::plans! {
    pub enum Plan {
        /// If `settled`, the rows of a sign-out are deleted before the next verb; if not, at the same time.
        History { settled: bool, verbs: Vec<Verb> },
    }
}

crate::plans! {
    /// A verb of the store, or what happens to its machine.
    pub enum Verb {
        SignIn { account: u8, tenant: u8, session: Option<u8>, subject: Option<u8>, ago: u8, continued: bool },
        /// A handle, late or not, stores tokens: a bit for each of five; some of a tenant of their own.
        Put { handle: u8, what: u8, tenant: Option<u8>, size: u8, lifetime: u16 },
        /// Of account, tenant, session, subject or everybody.
        SignOut { scope: u8, number: u8, ago: Option<u8>, taking: bool, only_session: bool },
        Clock { by: u16, back: bool },
        Sweep { budget: u8 },
        WaitReclaimed {},
        Close {},
        /// The process or the machine dies; and perhaps once more while the store is being opened again.
        Crash { power: bool, seed: u64, again: Option<u8> },
        /// After so many disk calls the disk is gone.
        DieAfter { calls: u8 },
        FailSyncs {},
        FailEngine {},
        Full { is_full: bool },
        /// Somebody changes a row: of the store while it works, or of one that is closed.
        Tamper { how: u8, row: u16, other: u16, at: u16, mask: u8, live: bool },
        /// Somebody copies all rows, or puts the copied ones back: all, or every so many.
        CopyRows {},
        PutBackRows { every: u8, seed: u8, live: bool },
        /// Somebody changes a file of a copy of the machine, which is then opened.
        TamperFile { file: u8, how: u8, at: u16, mask: u8 },
        /// The ledger is damaged, and the store is told to forget everyone.
        Forget { at: u16, mask: u8 },
        List {},
        /// What an operator does: other keys, a fresh engine, or both with a fresh ledger.
        Move { kind: u8, keys: u8 },
        Verify {},
    }
}

/// The bytes of a run.
pub fn input(settled: bool, verbs: &[Verb]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Plan::History { settled, verbs: verbs.to_vec() }.encode(&mut bytes);
    bytes
}

pub fn run(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else { return };
    crate::show(&plan);
    let Plan::History { settled, verbs } = plan;
    let mut world = World::new(settled);
    for verb in verbs.iter().take(MOST_VERBS) {
        world.run(verb);
        world.check(false);
    }
    world.check(true);
    // Whatever happened, a crash at the end changes nothing.
    world.run(&Verb::Crash { power: verbs.len() % 2 == 0, seed: 7, again: None });
    world.check(true);
}
