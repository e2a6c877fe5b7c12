//! Descriptors that this process was started with.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes over the descriptors of these numbers, which whoever has started this process has put there
/// for it. Once: there are none the next time. They are not passed on to programs that are executed.
///
/// # Errors
///
/// `InvalidInput` where one of them is not open; then none is taken.
pub(crate) fn take_passed(numbers: Range<RawFd>) -> io::Result<Vec<OwnedFd>> {
    for number in numbers.clone() {
        // SAFETY: it is borrowed for this call, which says so where it is not open.
        let passed = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl(passed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|errno| {
            let what = format!("descriptor {number}, which should have been passed in: {errno}");
            io::Error::new(ErrorKind::InvalidInput, what)
        })?;
    }
    if TAKEN.swap(true, SeqCst) {
        return Ok(Vec::new());
    }
    // SAFETY: they are open, were there when the process began, and by the protocol are for whoever
    // asks for them first (sd_listen_fds(3)); that is here, as nobody has before.
    Ok(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}
