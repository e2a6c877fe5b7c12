//! The signals of a process, and what a child has of them.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::libc;

/// Linux's last real-time signal; other systems have fewer, or say `EINVAL`.
const LAST: i32 = 64;

/// The signals for which the process has handlers, a bit for each.
///
/// Those for faults in memory are left out: the standard library has handlers for them, by which it
/// tells of a stack that has overflown, and they are right in a child too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Caught(u64);

impl Caught {
    /// Those of now: a look at each signal.
    pub(crate) fn now() -> Self {
        let caught = (1..=LAST).filter(|signal| is_caught(*signal));
        Self(caught.fold(0, |all, signal| all | 1 << (signal - 1)))
    }

    fn each(self) -> impl Iterator<Item = i32> {
        (1..=LAST).filter(move |signal| self.0 >> (signal - 1) & 1 == 1)
    }

    /// Holds them back in this thread, until the mask is put back. Without any, nothing is done.
    #[inline]
    pub(super) fn hold(self) -> Option<Mask> {
        (self.0 != 0).then(|| self.hold_each())
    }

    #[cold]
    fn hold_each(self) -> Mask {
        let mut set = empty();
        for signal in self.each() {
            // SAFETY: `set` is a signal set, and the number is that of a signal.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        Mask::replace(libc::SIG_BLOCK, &set)
    }

    /// In a child that serves as its parent does: the parent alone is who they are for. They are not
    /// ignored, which programs that the child executes would inherit (execve(2)).
    pub(crate) fn leave_to_parent(self) {
        for signal in self.each() {
            handle(signal, pass_over);
        }
    }

    /// In a child: what the parent's handlers were for does now what it does by default.
    #[inline]
    pub(super) fn reset(self) {
        if self.0 != 0 {
            self.reset_each();
        }
    }

    #[cold]
    fn reset_each(self) {
        for signal in self.each() {
            set_action(signal, libc::SIG_DFL);
        }
    }
}

fn is_caught(signal: i32) -> bool {
    let handler = action(signal);
    let ours = [libc::SIGSEGV, libc::SIGBUS].contains(&signal);
    !ours && handler.is_some_and(|handler| ![libc::SIG_DFL, libc::SIG_IGN].contains(&handler))
}

/// What the process does at a signal; `None` where it has nothing to say to that.
fn action(signal: i32) -> Option<libc::sighandler_t> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, sigaction(2) only writes to where the present one goes.
    let told = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zeros are an action, SIG_DFL, and sigaction(2) has written a better one over it.
    (told == 0).then(|| unsafe { action.assume_init() }.sa_sigaction)
}

/// Sets `SIG_DFL` or `SIG_IGN`, which can't fail for a signal that the process has had a handler for.
fn set_action(signal: i32, handler: libc::sighandler_t) {
    // SAFETY: all zeros are an action without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    // SAFETY: `action` is complete, and neither SIG_DFL nor SIG_IGN runs any code of ours.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

extern "C" fn pass_over(_signal: libc::c_int) {}

/// Has `handler` called at a signal, which has to do no more than signal-safety(7) allows. Calls of
/// the system that it interrupts go on, where they can (signal(7)).
pub(super) fn handle(signal: i32, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zeros are an action without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is complete, and its handler is a function of the program.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

fn empty() -> libc::sigset_t {
    let mut set = MaybeUninit::zeroed();
    // SAFETY: sigemptyset(3) initializes the set that it is given, and can't fail.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// This thread's signal mask as it was, put back when this is dropped.
pub(super) struct Mask(libc::sigset_t);

impl Mask {
    fn replace(how: i32, set: &libc::sigset_t) -> Self {
        let mut before = empty();
        // SAFETY: both are signal sets; it can't fail for a `how` that there is.
        unsafe { libc::pthread_sigmask(how, set, &raw mut before) };
        Self(before)
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // SAFETY: as in `replace`; the set is one that the system has given.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// What a process of ours makes of signals that has no business but its children: none is
/// delivered to it, and a descriptor tells of the ends of children.
pub(crate) struct Quiet {
    mask: Mask,
    at_child: Option<libc::sighandler_t>,
    ends: OwnedFd,
}

impl Quiet {
    /// # Errors
    ///
    /// `Unsupported` on systems without signalfd(2), and what that says.
    pub(crate) fn new() -> io::Result<Self> {
        let mut all = empty();
        // SAFETY: sigfillset(3) fills the set that it is given.
        unsafe { libc::sigfillset(&raw mut all) };
        let mask = Mask::replace(libc::SIG_SETMASK, &all);
        // The statuses of children are lost where it is ignored (waitpid(2)).
        let at_child = action(libc::SIGCHLD);
        set_action(libc::SIGCHLD, libc::SIG_DFL);
        Ok(Self { mask, at_child, ends: child_ends()? })
    }

    /// Makes the descriptor quiet until the next child ends.
    pub(crate) fn drain(&self) {
        // One signalfd_siginfo, as a pending signal is pending once (signal(7)). EAGAIN means that
        // it is quiet already.
        let mut bytes = [0; 128];
        let _ = nix::unistd::read(&self.ends, &mut bytes);
    }

    /// In a child of that process: signals are what they were before.
    pub(crate) fn end(self) {
        if let Some(handler) = self.at_child {
            set_action(libc::SIGCHLD, handler);
        }
        drop(self.mask);
    }
}

impl AsFd for Quiet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ends.as_fd()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn child_ends() -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let mut set = empty();
    // SAFETY: `set` is a signal set, and the number is that of a signal.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) };
    // SAFETY: signalfd(2) reads the set, and makes a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just returned this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn child_ends() -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}
