//! Who talks with the database.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socketserver::{Channel, Sender, Transport};

use crate::desk::{Held, Terms};
use crate::post::Post;
use crate::store::{Claim, End, Store};

/// How long it is until a database that is gone is looked for again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often it is tried to write down the last ends.
const LAST_TRIES: u32 = 8;

pub(crate) struct Clerk {
    link: Link,
    /// None, where there will be no more.
    rows: Option<Sender<Held>>,
    ends: Channel<End>,
    /// The rows in hand, and until when they are.
    hand: HashMap<i64, Instant>,
    /// What has ended and is not written down.
    unsettled: Vec<End>,
    settled: Instant,
    /// There may be rows that are due: there were more than were wanted, or it has been told of some.
    news: bool,
    /// When to look although there are no news.
    look: Instant,
}

impl Clerk {
    pub(crate) fn new(rows: Sender<Held>, ends: Channel<End>) -> Self {
        let now = Instant::now();
        Self {
            link: Link { store: None, again: now, pause: PAUSES.0 },
            rows: Some(rows),
            ends,
            hand: HashMap::new(),
            unsettled: Vec::new(),
            settled: now,
            news: true,
            look: now,
        }
    }

    /// Writes down ends and claims rows, where it is time to; whether rows have come.
    pub(crate) fn work(&mut self, terms: &Terms, selector: &Selector, post: &Post) -> bool {
        self.news |= selector.has_news();
        self.collect(post);
        if Instant::now() < self.link.again {
            return false;
        }
        let done = self.settle(terms, selector).and_then(|()| self.claim(terms, selector));
        done.unwrap_or_else(|error| {
            self.link.lose(&error, selector);
            self.news = true;
            false
        })
    }

    /// Takes what has ended off the hand, and what is another's by now.
    fn collect(&mut self, post: &Post) {
        let before = self.unsettled.len();
        while let Ok(Some(end)) = self.ends.get_request() {
            self.unsettled.push(end.into_inner());
        }
        if let Err(error) = post.collect(&mut self.unsettled) {
            crate::note(&format!("the ends of children can't be read: {error}"));
        }
        for end in &self.unsettled[before..] {
            self.hand.remove(&end.id);
        }
        let now = Instant::now();
        self.hand.retain(|_, until| now < *until);
    }

    fn settle(&mut self, terms: &Terms, selector: &Selector) -> io::Result<()> {
        let enough = terms.batch / 2 < self.unsettled.len() || self.hand.is_empty();
        if self.unsettled.is_empty() || !enough && self.settled.elapsed() < terms.interval {
            return Ok(());
        }
        self.link.store(terms, selector)?.settle(&self.unsettled, terms.retry)?;
        self.unsettled.clear();
        self.settled = Instant::now();
        Ok(())
    }

    fn claim(&mut self, terms: &Terms, selector: &Selector) -> io::Result<bool> {
        let room = terms.batch.saturating_sub(self.hand.len());
        let now = Instant::now();
        let wants = terms.batch.div_ceil(2) <= room && (self.news || self.look <= now);
        let Some(rows) = self.rows.clone().filter(|_| wants) else { return Ok(false) };
        let store = self.link.store(terms, selector)?;
        let claims = store.claim(room, terms.lease)?;
        if let Some(news) = store.news() {
            selector.listen(news)?;
        }
        (self.news, self.look) = (claims.len() == room, Instant::now() + terms.interval);
        if terms.until_empty && claims.is_empty() && self.hand.is_empty() {
            if store.count()?.open == 0 {
                self.rows = None;
            }
            return Ok(false);
        }
        let (come, until) = (!claims.is_empty(), now + terms.lease);
        for claim in claims {
            self.hand.insert(claim.id, until);
            // There is room for twice as many as may be in hand.
            let _ = rows.try_send((claim, until));
        }
        Ok(come)
    }

    /// Gives claims back, and writes down all that has ended. What can't be is done once more by
    /// whoever claims the rows when their lease is over.
    pub(crate) fn close(&mut self, left: &[Claim], terms: &Terms, post: &Post) {
        self.rows = None;
        self.collect(post);
        let mut pause = PAUSES.0;
        for _ in 0..LAST_TRIES {
            let Err(error) = self.try_close(left, terms) else { return };
            crate::note(&format!("the database, at the end: {error}"));
            self.link.store = None;
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    fn try_close(&mut self, left: &[Claim], terms: &Terms) -> io::Result<()> {
        if left.is_empty() && self.unsettled.is_empty() {
            return Ok(());
        }
        let mut store = match self.link.store.take() {
            Some(store) => store,
            None => terms.database.open()?,
        };
        store.release(left)?;
        store.settle(&self.unsettled, terms.retry)?;
        self.unsettled.clear();
        self.link.store = Some(store);
        Ok(())
    }
}

impl fmt::Debug for Clerk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clerk").field("hand", &self.hand.len()).finish_non_exhaustive()
    }
}

/// The connection with the database, while there is one.
struct Link {
    store: Option<Box<dyn Store>>,
    /// When the database may be looked for again, and the pause after that.
    again: Instant,
    pause: Duration,
}

impl Link {
    fn store(&mut self, terms: &Terms, selector: &Selector) -> io::Result<&mut Box<dyn Store>> {
        if self.store.is_none() {
            let store = terms.database.open()?;
            if let Some(news) = store.news() {
                selector.listen(news)?;
            }
            (self.store, self.pause) = (Some(store), PAUSES.0);
        }
        self.store.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The database is gone, or does not do what it should: another connection, after a pause.
    fn lose(&mut self, error: &io::Error, selector: &Selector) {
        crate::note(&format!("the database: {error}"));
        if let Some(news) = self.store.as_ref().and_then(|store| store.news()) {
            selector.forget(news);
        }
        self.store = None;
        self.again = Instant::now() + self.pause;
        self.pause = PAUSES.1.min(2 * self.pause);
    }
}

/// The one descriptor to wait at, for all that a desk waits for.
#[derive(Debug)]
pub(crate) struct Selector(Epoll);

const NEWS: u64 = 1;
const OTHER: u64 = 0;

impl Selector {
    pub(crate) fn new(rows: &impl AsFd, ends: &impl AsFd, post: &impl AsFd) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for fd in [rows.as_fd(), ends.as_fd(), post.as_fd()] {
            epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, OTHER))?;
        }
        Ok(Self(epoll))
    }

    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.0.0
    }

    /// Has the database tell once more. (What it has told stays unread until the next query.)
    fn listen(&self, news: impl AsFd) -> io::Result<()> {
        let once = EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT;
        let mut event = EpollEvent::new(once, NEWS);
        match self.0.modify(news.as_fd(), &mut event) {
            Err(Errno::ENOENT) => self.0.add(news, event)?,
            modified => modified?,
        }
        Ok(())
    }

    fn forget(&self, news: impl AsFd) {
        let _ = self.0.delete(news);
    }

    fn has_news(&self) -> bool {
        let mut events = [EpollEvent::empty(); 4];
        let ready = self.0.wait(&mut events, EpollTimeout::ZERO).unwrap_or_default();
        events[..ready].iter().any(|event| event.data() == NEWS)
    }
}
