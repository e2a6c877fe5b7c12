//! What happened, in order, written by all threads and processes of a server.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, SeqCst};
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::SharedWords;
use crate::{Event, FailureKind, Refusal, Stage};

/// How often it is looked whether another process has written something.
const LOOK: Duration = Duration::from_millis(1);
/// Far longer than it takes to write an entry that has been begun.
const A_MOMENT: Duration = Duration::from_secs(1);
const WORDS: usize = 4096;
/// Where the next entry goes, and how many requests have been taken.
const NEXT: usize = 0;
const TAKEN: usize = 1;
const FIRST: usize = 2;

/// Something that happened, to a request or to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    GetRequest,
    /// A request that no client had made.
    Uninvited,
    /// One that says that it is another client's.
    Mistaken,
    Hook(Stage),
    HandleError(Stage, FailureKind),
    Shutdown,
    Closed,
    /// Of a request that another process goes on with.
    CopyClosed,
    /// Dropped, and never closed.
    Lost,
    ServiceActions,
    HandleTimeout,
    /// The first half of `handle` is over.
    Begun,
    /// A process begins to take requests, or to handle one; its entry has that for a client.
    ChildInit,
    /// It takes no request any more.
    AfterFork,
    Event(Event),
}

const STAGES: [Stage; 7] = [
    Stage::Verify,
    Stage::Start,
    Stage::Establish,
    Stage::Setup,
    Stage::Handle,
    Stage::Finish,
    Stage::Deliver,
];

/// All that can happen: what stands in the ledger is the place in this list.
static ALL: LazyLock<Vec<What>> = LazyLock::new(|| {
    use What::{
        AfterFork, Begun, ChildInit, Closed, CopyClosed, GetRequest, HandleError, HandleTimeout,
        Hook, Lost, Mistaken, ServiceActions, Shutdown, Uninvited,
    };
    let kinds = FailureKind::ALL.iter().copied();
    let plain = [
        GetRequest,
        Uninvited,
        Mistaken,
        Shutdown,
        Closed,
        CopyClosed,
        Lost,
        ServiceActions,
        HandleTimeout,
        Begun,
        ChildInit,
        AfterFork,
        What::Event(Event::Accepted),
        What::Event(Event::Finished),
        What::Event(Event::AcceptFailed),
    ];
    let mut all = Vec::from(plain);
    all.extend(STAGES.map(Hook));
    all.extend(kinds.clone().map(|kind| What::Event(Event::Failed(kind))));
    all.extend(Refusal::ALL.iter().map(|why| What::Event(Event::Refused(*why))));
    all.extend(kinds.flat_map(|kind| STAGES.map(|stage| HandleError(stage, kind))));
    all
});

static CODES: LazyLock<HashMap<What, u64>> =
    LazyLock::new(|| ALL.iter().copied().zip(0..).collect());

/// As the hook is called, and what was told to it.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandleError(stage, kind) => write!(f, "handle_error({stage:?}, {kind:?})"),
            Self::Event(event) => write!(f, "event({event:?})"),
            other => f.write_str(match other {
                Self::GetRequest => "get_request",
                Self::Uninvited => "get_request of nobody's",
                Self::Mistaken => "the words of another",
                Self::Hook(Stage::Verify) => "verify_request",
                Self::Hook(Stage::Establish) => "establish",
                Self::Hook(Stage::Setup) => "setup",
                Self::Hook(Stage::Handle) => "handle",
                Self::Hook(Stage::Finish) => "finish",
                Self::Hook(Stage::Deliver) => "deliver",
                Self::Shutdown => "shutdown_request",
                Self::Closed => "closed",
                Self::CopyClosed => "close_request",
                Self::Lost => "dropped without being closed",
                Self::ServiceActions => "service_actions",
                Self::HandleTimeout => "handle_timeout",
                Self::Begun => "begin",
                Self::ChildInit => "child_init",
                Self::AfterFork => "after_fork",
                _ => "start",
            }),
        }
    }
}

/// One of many: the request by the order in which it was taken, the client by the order in which it
/// came; both from 1, and 0 where it belongs to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) client: usize,
    pub(super) what: What,
}

/// What a word says, once its writer has come to write it. One that has been killed before never
/// does; what comes behind it is not seen.
fn written(word: &AtomicU64) -> Option<Entry> {
    let until = Instant::now() + A_MOMENT;
    loop {
        match word.load(Acquire) {
            0 if Instant::now() < until => thread::yield_now(),
            word => return Entry::of(word),
        }
    }
}

impl Entry {
    fn of(word: u64) -> Option<Self> {
        let code = usize::try_from((word & 0xffff_ffff).checked_sub(1)?).ok()?;
        let client = usize::try_from(word >> 32).ok()?;
        Some(Self { client, what: *ALL.get(code)? })
    }
}

/// One word for each entry, in memory that forked children share.
pub(super) struct Ledger {
    words: SharedWords<WORDS>,
    written: Condvar,
    /// What has been read of it.
    read: Mutex<Vec<Entry>>,
}

impl Ledger {
    pub(super) fn new() -> io::Result<Self> {
        let words = SharedWords::new()?;
        words[NEXT].store(FIRST as u64, SeqCst);
        Ok(Self { words, written: Condvar::new(), read: Mutex::default() })
    }

    /// How many requests have been taken.
    pub(super) fn taken(&self) -> usize {
        usize::try_from(self.words[TAKEN].load(SeqCst)).unwrap_or(usize::MAX)
    }

    /// One more has been taken; which one it is.
    pub(super) fn take(&self) -> usize {
        usize::try_from(self.words[TAKEN].fetch_add(1, SeqCst) + 1).unwrap_or(usize::MAX)
    }

    pub(super) fn record(&self, client: usize, what: What) {
        let code = CODES.get(&what).copied().unwrap_or_default();
        let place = self.words[NEXT].fetch_add(1, SeqCst);
        // What is beyond the end is missed by whoever counts.
        let word = usize::try_from(place).ok().and_then(|place| self.words.get(place));
        if let Some(word) = word {
            word.store(((client as u64) << 32) | (code + 1), SeqCst);
        }
        drop(self.read.lock().unwrap_or_else(PoisonError::into_inner));
        self.written.notify_all();
    }

    /// All entries so far.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.read(&mut self.read.lock().unwrap_or_else(PoisonError::into_inner)).to_vec()
    }

    /// Goes on where the reading had come to, up to what has been begun by now.
    fn read<'r>(&self, read: &'r mut Vec<Entry>) -> &'r [Entry] {
        let end = usize::try_from(self.words[NEXT].load(SeqCst)).unwrap_or(WORDS).min(WORDS);
        let begun = self.words.get(FIRST + read.len()..end).unwrap_or_default();
        read.extend(begun.iter().map_while(written));
        read
    }

    /// Whether there was more than there is room for.
    pub(super) fn is_full(&self) -> bool {
        self.words[NEXT].load(SeqCst) > WORDS as u64
    }

    /// Waits until the entries are as wanted, for as long as `patience`; whether they came to be.
    pub(super) fn wait_until(&self, patience: Duration, wanted: impl Fn(&[Entry]) -> bool) -> bool {
        let until = Instant::now() + patience;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        while !wanted(self.read(&mut read)) {
            if until <= Instant::now() {
                return false;
            }
            let waited = self.written.wait_timeout(read, LOOK);
            read = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
