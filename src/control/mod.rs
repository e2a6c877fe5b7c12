//! Stop as a message: the state of a server's sessions, the handle that posts the message, and the
//! wait that hears it.

mod state;
mod stop;
mod waiter;

pub use stop::StopHandle;
pub use waiter::Waiter;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use self::state::{ASKED, CLOSING, ENDED, HURRIED};
use crate::sys::{Bell, SharedWords};

/// So many requests to cut one may wait to be seen by the one that reaps.
const CUTS: usize = 13;
/// The words before them.
const WORDS: usize = 3;

/// What the loop, its handles and its workers share.
pub(crate) struct Control {
    first: Place,
    /// This process is a child that the server's strategy has forked for a request.
    is_child: AtomicBool,
    /// This process serves for another one, or is a child of one that does.
    is_worker: AtomicBool,
    /// The process that has posted a stop before it had a place of its own.
    early: AtomicU32,
    wakers: Mutex<Vec<Waker>>,
    /// The wakers have to be called, which whoever has their lock does.
    unheard: AtomicBool,
}

/// The state of a server in the process that serves, and in the children that its strategy forks:
/// one word in memory that they share, so that a stop from a handler in a child reaches the loop.
///
/// An application may fork too, and serve in its child, or in both: the process that begins a
/// session where the place is another's gets one of its own.
struct Place {
    /// The state, whether requests are taken for a while after a stop, and how many panics there
    /// have been in children that nobody has been told of yet; and the numbers of requests whose
    /// children are to be ended.
    words: SharedWords<{ WORDS + CUTS }>,
    bell: Bell,
    owner: u32,
    /// Whether it is that of a process that serves for the one whose place is before it.
    is_workers: bool,
    next: OnceLock<Box<Self>>,
}

impl Place {
    fn new(number: u64) -> io::Result<Self> {
        let (words, bell) = (SharedWords::new()?, Bell::new()?);
        let (owner, next) = (process::id(), OnceLock::new());
        let place = Self { words, bell, owner, is_workers: false, next };
        place.state().store(state::before(number), SeqCst);
        Ok(place)
    }

    #[inline]
    fn state(&self) -> &AtomicU64 {
        &self.words[0]
    }

    #[inline]
    fn load(&self) -> u64 {
        self.state().load(SeqCst)
    }

    fn announces(&self) -> &AtomicU64 {
        &self.words[1]
    }

    fn panics(&self) -> &AtomicU64 {
        &self.words[2]
    }

    fn cuts(&self) -> &[AtomicU64] {
        &self.words[WORDS..]
    }

    /// Puts what `next` makes of the state in its place, and returns what was there.
    fn update(&self, next: impl Fn(u64) -> u64) -> u64 {
        let updated = self.state().fetch_update(SeqCst, SeqCst, |state| Some(next(state)));
        updated.unwrap_or_else(|state| state)
    }

    fn is_ours(&self) -> bool {
        self.owner == process::id()
    }

    /// Puts what `next` makes of the state in its place, and returns what that is; `None`, where it
    /// makes nothing of it.
    fn change(&self, next: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let before = self.state().fetch_update(SeqCst, SeqCst, &next).ok()?;
        next(before)
    }
}

impl Control {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            first: Place::new(0)?,
            is_child: AtomicBool::new(false),
            is_worker: AtomicBool::new(false),
            early: AtomicU32::new(0),
            wakers: Mutex::default(),
            unheard: AtomicBool::new(false),
        })
    }

    #[inline]
    fn place(&self) -> &Place {
        let mut place = &self.first;
        while let Some(next) = place.next.get() {
            place = next;
        }
        place
    }

    /// Has every stop of a session that runs announced.
    pub(crate) fn announce(&self) {
        self.place().announces().store(1, SeqCst);
    }

    /// Somebody serves: begins a session, or goes on with it. Returns its number.
    pub(crate) fn begin(&self) -> io::Result<u64> {
        let mut place = self.place();
        if !place.is_ours() {
            let mut own = Place::new(state::number(place.load()))?;
            own.is_workers = self.is_worker();
            own.announces().store(place.announces().load(SeqCst), SeqCst);
            place = place.next.get_or_init(|| Box::new(own));
            if self.early.load(SeqCst) == process::id() {
                place.state().fetch_or(ASKED | ENDED, SeqCst);
                place.bell.ring();
            }
        }
        Ok(state::number(place.update(state::begun)))
    }

    /// The session is over; a stop that was meant for it is taken.
    pub(crate) fn end(&self, number: u64) {
        self.enter(number + 1, 0);
    }

    /// Nobody will serve any more: the session that has begun, if one has, is over, and every stop
    /// from now on is one more.
    pub(crate) fn close(&self) {
        self.enter(self.number() + 1, CLOSING);
    }

    /// Between two sessions, or after the last.
    fn enter(&self, number: u64, flags: u64) {
        let place = self.place();
        // A copy in a child that the application has forked ends nothing.
        if !place.is_ours() {
            return;
        }
        place.update(|state| state::entered(state, number, flags));
        // A stop for what comes now, if it has rung in between, is seen there before anybody waits.
        place.bell.drain();
        // A hurry outlives the session, and wakes whoever waits for its end, having looked or not.
        if self.is_hurried() {
            place.bell.ring();
        }
    }

    /// The number of the session that runs, or else of the next one.
    pub(crate) fn number(&self) -> u64 {
        state::number(self.place().load())
    }

    /// The wake-up.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.place().bell.as_fd()
    }

    /// Wakes whoever waits, for another reason than a stop.
    pub(crate) fn ring(&self) {
        self.place().bell.ring();
    }

    /// The same, and whoever supervises this process: there is something new for all that serve.
    pub(crate) fn call(&self) {
        self.ring();
        if let Some(supervisor) = self.supervisor() {
            supervisor.bell.ring();
        }
    }

    /// Asks whoever has it to end the child of this request. Whether it will be heard: too many may
    /// be waiting already.
    pub(crate) fn ask_to_cut(&self, id: u64) -> bool {
        let is_free = |word: &AtomicU64| word.compare_exchange(0, id, SeqCst, SeqCst).is_ok();
        let asked = self.place().cuts().iter().any(is_free);
        self.ring();
        asked
    }

    /// What has been asked for so.
    pub(crate) fn take_cuts(&self) -> impl Iterator<Item = u64> {
        let words = self.place().cuts().iter();
        words.map(|word| word.swap(0, SeqCst)).filter(|id| *id != 0)
    }

    /// Whether session `number` has been asked to stop, or is over.
    #[inline]
    pub(crate) fn is_stopping(&self, number: u64) -> bool {
        self.has(number, ASKED)
    }

    /// Whether session `number` takes no further request.
    pub(crate) fn has_ended(&self, number: u64) -> bool {
        self.has(number, ENDED)
    }

    /// Whether the session that runs has been asked to stop, or else the one after `born` is over.
    pub(crate) fn is_asked(&self, born: u64) -> bool {
        state::is_asked(self.place().load(), born)
    }

    #[inline]
    fn has(&self, number: u64, flag: u64) -> bool {
        state::has(self.place().load(), number, flag)
    }

    /// Whether what is in flight is to be waited for no longer.
    pub(crate) fn is_hurried(&self) -> bool {
        self.place().load() & HURRIED != 0
    }

    /// Whether the server is closed, and waits for what is in flight.
    pub(crate) fn is_closing(&self) -> bool {
        self.place().load() & CLOSING != 0
    }

    /// Runs `fork`, by which the strategy forks a child whose stops are those of its parent. The
    /// child finds that said already: saying it there would cost a page of its own.
    pub(crate) fn sharing<V>(&self, fork: impl FnOnce() -> V) -> V {
        let before = self.is_child.swap(true, SeqCst);
        let forked = fork();
        self.is_child.store(before, SeqCst);
        forked
    }

    /// Whether this is a child that the strategy has forked.
    pub(crate) fn is_child(&self) -> bool {
        self.is_child.load(SeqCst)
    }

    /// Called in a process that serves for another one, before it begins a session: its stops are
    /// that one's too, and so are its panics.
    pub(crate) fn supervise(&self) {
        self.is_worker.store(true, SeqCst);
    }

    /// Whether this process serves for another one.
    pub(crate) fn is_worker(&self) -> bool {
        self.is_worker.load(SeqCst)
    }

    /// The place of the process that this one serves for.
    fn supervisor(&self) -> Option<&Place> {
        let (mut place, mut supervisor) = (&self.first, None);
        while let Some(next) = place.next.get() {
            if next.is_workers {
                supervisor = Some(place);
            }
            place = next;
        }
        supervisor
    }

    /// Called in a child of either kind, for a panic that its parent is to be asked about, and that
    /// its end does not tell of.
    pub(crate) fn note_panic(&self) {
        // A child for a request has a parent that looks when the child ends.
        let supervisor = if self.is_child() { None } else { self.supervisor() };
        supervisor.unwrap_or_else(|| self.place()).panics().fetch_add(1, SeqCst);
        if let Some(supervisor) = supervisor {
            supervisor.bell.ring();
        }
    }

    /// How many of those have been noted since the last look.
    pub(crate) fn take_panics(&self) -> u64 {
        self.place().panics().swap(0, SeqCst)
    }

    /// Posts a stop, for whoever was `born` when so many sessions had ended.
    pub(crate) fn stop(&self, born: u64) {
        self.post(|state, announces| Some(state::stopped(state, born, announces)));
    }

    /// The same, unless there has been a stop already: it is no reason to hurry.
    pub(crate) fn ask(&self, born: u64) {
        self.post(|state, announces| state::asked(state, born, announces));
    }

    fn post(&self, next: impl Fn(u64, bool) -> Option<u64>) {
        let place = self.place();
        if !self.is_child.load(SeqCst) && !place.is_ours() {
            // A child of the application, which may serve later, must not stop its parent.
            self.early.store(process::id(), SeqCst);
            return;
        }
        let announces = place.announces().load(SeqCst) != 0;
        let next = |state| next(state, announces);
        match self.supervisor() {
            None => self.change(next),
            // Whether it is the first stop, that one knows: here, the end may have been for a worker
            // alone.
            Some(supervisor) => {
                if let Some(theirs) = supervisor.change(next) {
                    supervisor.bell.ring();
                    self.change(|state| Some(state::passed_on(state, theirs)));
                }
            }
        }
    }

    /// Session `number` takes no further request: the time is over in which its end was announced,
    /// or there will be none.
    pub(crate) fn conclude(&self, number: u64) {
        self.change(|state| state::concluded(state, number));
    }

    /// Session `number` hears that it has been asked to stop, and will be told when it ends.
    pub(crate) fn foretell(&self, number: u64) {
        self.change(|state| state::announced(state, number));
    }

    /// What is in flight is waited for no longer.
    pub(crate) fn hurry(&self) {
        self.change(|state| Some(state::hurried(state)));
    }

    /// Puts what `next` makes of the state in its place, calls the wakers, and rings. Does nothing
    /// where it makes nothing of it.
    fn change(&self, next: impl Fn(u64) -> Option<u64>) {
        let place = self.place();
        // Again where the flags had been set: whoever did may have been killed before it rang.
        if place.change(next).is_some() {
            // They first: of those at the bell, nobody need be awake for serving to end.
            self.wake();
            place.bell.ring();
        }
    }

    /// Calls every waker. Without waiting for the lock, as a signal handler must not: whoever holds
    /// it does so after letting it go.
    fn wake(&self) {
        self.unheard.store(true, SeqCst);
        self.wake_unheard();
    }

    fn wake_unheard(&self) {
        while self.unheard.load(SeqCst) {
            let Some(wakers) = self.wakers.try_lock() else { return };
            if self.unheard.swap(false, SeqCst) {
                wakers.iter().for_each(|wake| wake());
            }
        }
    }

    fn with_wakers(&self, change: impl FnOnce(&mut Vec<Waker>)) {
        change(&mut self.wakers.lock());
        self.wake_unheard();
    }

    /// Has every stop call `wake` while `wait` runs. The caller looks for one that is there already
    /// when `wait` begins, and not before.
    pub(crate) fn waking<V>(
        &self,
        wake: impl Fn() + Send + Sync + 'static,
        wait: impl FnOnce(&dyn Fn()) -> V,
    ) -> V {
        let wake: Waker = Arc::new(wake);
        self.with_wakers(|wakers| wakers.push(Arc::clone(&wake)));
        let registered = Registered { control: self, wake };
        wait(&*registered.wake)
    }

    /// Silences the bell where it rang for a session that is over.
    pub(crate) fn hush(&self, number: u64) {
        let bell = &self.place().bell;
        if !self.has_ended(number) {
            bell.drain();
            // Others may be about to poll for the stop whose ring has just been taken from them.
            if self.has_ended(number) {
                bell.ring();
            }
        }
    }
}

type Waker = Arc<dyn Fn() + Send + Sync>;

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("state", &self.place().load()).finish_non_exhaustive()
    }
}

/// A waker in the list, until the wait is over, by a panic too.
struct Registered<'a> {
    control: &'a Control,
    wake: Waker,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.control.with_wakers(|wakers| {
            wakers.retain(|other| !Arc::ptr_eq(other, &self.wake));
        });
    }
}
