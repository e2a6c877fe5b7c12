//! Atomic words in memory that forked children share with their parent.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// `N` words, zero at first, in a `MAP_SHARED` mapping of their own: what a child stores the parent
/// loads.
#[derive(Debug)]
pub(crate) struct SharedWords<const N: usize>(NonNull<[AtomicU64; N]>);

impl<const N: usize> SharedWords<N> {
    const SIZE: NonZeroUsize = match NonZeroUsize::new(size_of::<[AtomicU64; N]>()) {
        Some(size) => size,
        None => panic!("there has to be a word to share"),
    };

    pub(crate) fn new() -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the place, so no mapping that anybody uses is replaced.
        let pages = unsafe { mmap_anonymous(None, Self::SIZE, access, MapFlags::MAP_SHARED) }?;
        Ok(Self(pages.cast()))
    }
}

impl<const N: usize> Deref for SharedWords<N> {
    type Target = [AtomicU64; N];

    fn deref(&self) -> &[AtomicU64; N] {
        // SAFETY: `SIZE` bytes are mapped until `drop`, aligned to a page, and zeroed by the kernel,
        // which is a valid value of each word; every access to them goes through this type.
        unsafe { self.0.as_ref() }
    }
}

impl<const N: usize> Drop for SharedWords<N> {
    fn drop(&mut self) {
        // SAFETY: `new` mapped these pages with this size, and no reference outlives `self`.
        // It can't fail for a whole mapping, and there is nothing to be done if it did.
        let _ = unsafe { munmap(self.0.cast::<libc::c_void>(), Self::SIZE.get()) };
    }
}

// SAFETY: the pointer is owned, and what it points to are atomics.
unsafe impl<const N: usize> Send for SharedWords<N> {}
// SAFETY: shared access gives references to atomics, which are `Sync`.
unsafe impl<const N: usize> Sync for SharedWords<N> {}
