//! One atomic word in memory that forked children share with their parent.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

const SIZE: NonZeroUsize = NonZeroUsize::new(size_of::<AtomicU64>()).unwrap();

/// An [`AtomicU64`], zero at first, in a `MAP_SHARED` page of its own: what a child stores the
/// parent loads.
#[derive(Debug)]
pub(crate) struct SharedWord(NonNull<AtomicU64>);

impl SharedWord {
    pub(crate) fn new() -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the place, so no mapping that anybody uses is replaced.
        let page = unsafe { mmap_anonymous(None, SIZE, access, MapFlags::MAP_SHARED) }?;
        Ok(Self(page.cast()))
    }
}

impl Deref for SharedWord {
    type Target = AtomicU64;

    fn deref(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped until `drop`, aligned to more than eight bytes, and zeroed by
        // the kernel, which is a valid AtomicU64; every access to it goes through that type.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedWord {
    fn drop(&mut self) {
        // SAFETY: `new` mapped this page with this size, and no reference outlives `self`.
        // It can't fail for a whole mapping, and there is nothing to be done if it did.
        let _ = unsafe { munmap(self.0.cast::<libc::c_void>(), SIZE.get()) };
    }
}

// SAFETY: the pointer is owned, and what it points to is an atomic.
unsafe impl Send for SharedWord {}
// SAFETY: shared access gives an `&AtomicU64`, which is `Sync`.
unsafe impl Sync for SharedWord {}
