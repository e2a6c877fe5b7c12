//! A lock whose holder can be seen.

use std::ops::{Deref, DerefMut};

use crate::atomic::{AtomicBool, Ordering::SeqCst};

/// As `parking_lot::Mutex`.
///
/// To loom, a critical section in which nothing else happens is one step, and nobody ever finds the
/// lock taken. So the holder says that it holds it.
#[derive(Debug, Default)]
pub struct Mutex<T> {
    is_held: AtomicBool,
    value: loom::sync::Mutex<T>,
}

/// As `parking_lot::MutexGuard`.
pub struct MutexGuard<'a, T> {
    is_held: &'a AtomicBool,
    value: loom::sync::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let value = self.value.lock().unwrap();
        self.is_held.store(true, SeqCst);
        MutexGuard { is_held: &self.is_held, value }
    }

    /// Where another takes it between the two steps, this is the same as a later call.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        (!self.is_held.load(SeqCst)).then(|| self.lock())
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.is_held.store(false, SeqCst);
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
