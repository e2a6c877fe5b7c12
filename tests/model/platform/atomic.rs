//! Atomics that are sequentially consistent.
//!
//! Loom takes `SeqCst` for `AcqRel`, and would report outcomes that no system has: of two threads
//! that each write first and look second, neither might see the other. So every access is a
//! read-modify-write here, which loom lets see the last value there is. That is exact for a program
//! without a weaker ordering in it, and for no other: the orderings are looked at.

pub use std::sync::atomic::Ordering;

use Ordering::SeqCst;
use loom::sync::atomic as loom;

fn check(orderings: &[Ordering]) {
    assert!(orderings.iter().all(|ordering| *ordering == SeqCst), "the model knows SeqCst alone");
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        /// As that of `std::sync::atomic`.
        #[derive(Debug, Default)]
        pub struct $name(loom::$name);

        impl $name {
            pub fn new(value: $value) -> Self {
                Self(loom::$name::new(value))
            }

            pub fn load(&self, order: Ordering) -> $value {
                check(&[order]);
                self.0.fetch_or(<$value>::default(), SeqCst)
            }

            pub fn store(&self, value: $value, order: Ordering) {
                self.swap(value, order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                check(&[order]);
                self.0.swap(value, SeqCst)
            }

            pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                check(&[order]);
                self.0.fetch_or(value, SeqCst)
            }

            pub fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                check(&[success, failure]);
                self.0.compare_exchange(from, to, SeqCst, SeqCst)
            }

            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut next: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut seen = self.load(fetch);
                while let Some(value) = next(seen) {
                    match self.compare_exchange(seen, value, set, fetch) {
                        Ok(seen) => return Ok(seen),
                        Err(other) => seen = other,
                    }
                }
                Err(seen)
            }
        }
    };
}

macro_rules! number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);

        impl $name {
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                check(&[order]);
                self.0.fetch_add(value, SeqCst)
            }

            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                check(&[order]);
                self.0.fetch_sub(value, SeqCst)
            }
        }
    };
}

atomic!(AtomicBool, bool);
number!(AtomicU8, u8);
number!(AtomicU32, u32);
number!(AtomicU64, u64);
number!(AtomicUsize, usize);

/// As that of `std::sync::atomic`; there is nothing left for it to do.
pub fn fence(order: Ordering) {
    check(&[order]);
}
