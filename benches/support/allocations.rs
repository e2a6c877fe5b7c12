//! Counts allocations, those of forked children included.
#![expect(unsafe_code, reason = "a global allocator is unsafe to implement, and so is mmap(2)")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::num::NonZeroUsize;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::Fallible;
use super::role::Role;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// In a page that children share; null as long as nobody counts.
static COUNT: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    static UNCOUNTED: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Begins to count. Not twice: the page stays for as long as the process does.
pub fn count() -> io::Result<()> {
    let size = NonZeroUsize::MIN.saturating_add(size_of::<AtomicU64>());
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the place, so no mapping that anybody uses is replaced.
    let page = unsafe { mmap_anonymous(None, size, access, MapFlags::MAP_SHARED) }?;
    COUNT.store(page.as_ptr().cast(), Ordering::SeqCst);
    Ok(())
}

/// How many there have been since the count began.
pub fn so_far() -> u64 {
    counter().map_or(0, |count| count.load(Ordering::SeqCst))
}

/// How many a paced role makes in the requests that count.
pub fn of(role: Role) -> Fallible<u64> {
    let output = role.command(&[])?.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{role}: {}\n{said}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn counter() -> Option<&'static AtomicU64> {
    // SAFETY: null, or a page that is never unmapped, zeroed by the kernel, which is a valid value.
    unsafe { COUNT.load(Ordering::Relaxed).as_ref() }
}

/// Runs what is not to be counted.
pub fn uncounted<V>(run: impl FnOnce() -> V) -> V {
    UNCOUNTED.set(true);
    let value = run();
    UNCOUNTED.set(false);
    value
}

fn note() {
    if let Some(count) = counter().filter(|_| !UNCOUNTED.get()) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
