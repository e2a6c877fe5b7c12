//! The kernel: descriptors, the wait for them, and the time.
//!
//! Descriptors are numbers that are used again, the lowest first, as POSIX wants it. A wait ends
//! when one of its descriptors is found readable: whoever is woken and finds it quiet again waits
//! on, as in poll(2). Time stands still until a test lets it pass.

use std::marker::PhantomData;
use std::ops::Add;
use std::time::Duration;

use loom::sync::{Condvar, Mutex, MutexGuard};

loom::lazy_static! {
    static ref KERNEL: Kernel = Kernel::default();
}

#[derive(Default)]
struct Kernel {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    descriptors: Vec<Option<Descriptor>>,
    now: Duration,
    waiting: usize,
}

#[derive(Clone, Copy, Default)]
struct Descriptor {
    readable: bool,
    cut: bool,
}

impl State {
    #[track_caller]
    fn at(&mut self, number: RawFd) -> &mut Descriptor {
        let descriptor = self.descriptors.get_mut(number).and_then(Option::as_mut);
        descriptor.unwrap_or_else(|| panic!("EBADF: {number} is not open"))
    }

    fn wake(&self) {
        if self.waiting > 0 {
            KERNEL.changed.notify_all();
        }
    }
}

fn state() -> MutexGuard<'static, State> {
    KERNEL.state.lock().unwrap()
}

/// A new descriptor.
pub fn open() -> RawFd {
    let mut state = state();
    let free = state.descriptors.iter().position(Option::is_none);
    let number = free.unwrap_or(state.descriptors.len());
    if number == state.descriptors.len() {
        state.descriptors.push(None);
    }
    state.descriptors[number] = Some(Descriptor::default());
    number
}

/// Closes it; returns whether it had been cut off.
pub fn close(number: RawFd) -> bool {
    let mut state = state();
    let cut = state.at(number).cut;
    state.descriptors[number] = None;
    cut
}

/// Makes it readable, or quiet.
pub fn set_readable(number: RawFd, readable: bool) {
    let mut state = state();
    state.at(number).readable = readable;
    state.wake();
}

/// As shutdown(2): whoever reads from it finds its end.
pub fn cut_off(number: RawFd) {
    let mut state = state();
    *state.at(number) = Descriptor { readable: true, cut: true };
    state.wake();
}

/// Waits until it is readable.
pub fn wait(number: RawFd) {
    poll(&mut [PollFd::new(BorrowedFd::new(number), PollFlags)], None);
}

/// Lets time pass.
pub fn advance(time: Duration) {
    let mut state = state();
    state.now += time;
    state.wake();
}

/// As poll(2).
pub fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) {
    let mut state = state();
    loop {
        for fd in &mut *fds {
            fd.readable = state.at(fd.number).readable;
        }
        let is_late = deadline.is_some_and(|deadline| deadline.0 <= state.now);
        if is_late || fds.iter().any(|fd| fd.readable) {
            return;
        }
        state.waiting += 1;
        state = KERNEL.changed.wait(state).unwrap();
        state.waiting -= 1;
    }
}

/// As `std::time::Instant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    pub fn now() -> Self {
        Self(state().now)
    }

    pub fn checked_add(self, time: Duration) -> Option<Self> {
        self.0.checked_add(time).map(Self)
    }

    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

/// As `std::os::fd::RawFd`.
pub type RawFd = usize;

/// As `std::os::fd::BorrowedFd`.
#[derive(Debug, Clone, Copy)]
pub struct BorrowedFd<'a>(RawFd, PhantomData<&'a ()>);

impl BorrowedFd<'_> {
    pub fn new(number: RawFd) -> Self {
        Self(number, PhantomData)
    }
}

/// As `std::os::fd::AsFd`.
pub trait AsFd {
    fn as_fd(&self) -> BorrowedFd<'_>;
}

/// As `std::os::fd::AsRawFd`.
pub trait AsRawFd {
    fn as_raw_fd(&self) -> RawFd;
}

impl AsRawFd for BorrowedFd<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// As `nix::poll::PollFlags`.
pub struct PollFlags;

impl PollFlags {
    pub const POLLIN: Self = Self;
}

/// As `nix::poll::PollFd`.
#[derive(Clone, Copy)]
pub struct PollFd<'a> {
    number: RawFd,
    readable: bool,
    borrowed: PhantomData<BorrowedFd<'a>>,
}

impl<'a> PollFd<'a> {
    pub fn new(fd: BorrowedFd<'a>, _readable: PollFlags) -> Self {
        Self { number: fd.0, readable: false, borrowed: PhantomData }
    }

    pub fn any(&self) -> Option<bool> {
        Some(self.readable)
    }
}
