//! Locks, atomics and threads: the standard library's. Under `--cfg oubliette_shuttle` they are
//! those of a model checker, which decides at each of them which thread runs next
//! (`tests/shuttle`). So everything that threads of the store synchronize by comes from here, but
//! for what the sled engine has inside.

#[cfg(oubliette_shuttle)]
pub(crate) use shuttle::{sync::*, thread, thread_local};
#[cfg(not(oubliette_shuttle))]
pub(crate) use std::{sync::*, thread, thread_local};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
