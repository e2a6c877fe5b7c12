//! What a server has been asked to keep, and to keep to.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::admission::{Limits, Shut};
use crate::control::Control;
use crate::counters::Counters;
use crate::drain::Drain;
use crate::in_flight::{InFlight, Permits, Ticket};
use crate::live::Live;
use crate::transport::Transport;

/// What has been asked for.
pub(crate) struct Asked<T> {
    pub(crate) limits: Option<Arc<Limits<T>>>,
    pub(crate) drain: Option<Drain>,
    pub(crate) counters: Option<Counters>,
    pub(crate) live: Option<Live>,
}

/// The same in use: what all sessions of a server share.
pub(crate) struct Books<T> {
    pub(crate) asked: Asked<T>,
    pub(crate) flight: Arc<InFlight>,
}

impl<T> Books<T> {
    /// Those of a process that serves for this one, and counts in a row of its own.
    pub(crate) fn in_worker(&self, counters: Counters) -> Self {
        let control = Arc::clone(&self.flight.control);
        let flight = InFlight::new(control, counters, self.flight.permits.anew());
        Self::new(self.asked.clone(), flight)
    }

    fn new(asked: Asked<T>, flight: InFlight) -> Self {
        let flight = Arc::new(flight);
        if let Some(live) = &asked.live {
            let limits = asked.limits.as_ref();
            live.attend(&flight, limits.map_or((false, 0), |limits| limits.others()));
        }
        Self { asked, flight }
    }
}

impl<T: Transport> Books<T> {
    /// Before a request is taken; see [`Limits::enter`].
    pub(super) fn enter(&self, since: Option<Instant>) -> Result<Ticket, Shut> {
        let flight = &self.flight;
        match &self.asked.limits {
            Some(limits) => limits.enter(flight, since),
            // There may be a limit that was set while the server runs.
            None => flight.permits.take().then(|| Ticket::new(flight, None)).ok_or(Shut(None)),
        }
    }

    /// See [`Limits::is_patient`].
    pub(super) fn is_patient(&self) -> bool {
        self.asked.limits.as_ref().is_some_and(|limits| limits.is_patient())
    }
}

/// A server's books.
#[derive(Default)]
pub(crate) enum Bookkeeping<T> {
    /// Nothing is kept, and nothing is in the way.
    #[default]
    None,
    Asked(Box<Asked<T>>),
    /// From the first session on.
    Open(Arc<Books<T>>),
}

impl<T> Bookkeeping<T> {
    /// For something else to be asked for. Where the books were open, others are opened by the next
    /// session; what is in flight stays in the old ones.
    pub(crate) fn ask(&mut self) -> &mut Asked<T> {
        let asked = match self {
            Self::Asked(asked) => return asked,
            Self::Open(books) => books.asked.clone(),
            Self::None => Asked { limits: None, drain: None, counters: None, live: None },
        };
        *self = Self::Asked(Box::new(asked));
        self.ask()
    }

    /// Opens the books, where there is anything to write into them.
    pub(crate) fn open(&mut self, control: &Arc<Control>) -> io::Result<Option<Arc<Books<T>>>> {
        if matches!(self, Self::Open(books) if !books.flight.is_ours()) {
            self.ask();
        }
        if let Self::Asked(asked) = self {
            let asked = asked.as_ref().clone();
            let counters = asked.counters.clone().map_or_else(Counters::new, Ok)?;
            let most = asked.limits.as_ref().map_or(usize::MAX, |limits| limits.most());
            let permits = Permits::new(most).steered(asked.live.as_ref().map(Live::board));
            let flight = InFlight::new(Arc::clone(control), counters, permits);
            *self = Self::Open(Arc::new(Books::new(asked, flight)));
        }
        match self {
            Self::Open(books) => Ok(Some(Arc::clone(books))),
            _ => Ok(None),
        }
    }

    /// Those that are open.
    pub(crate) fn books(&self) -> Option<&Books<T>> {
        match self {
            Self::Open(books) if books.flight.is_ours() => Some(books),
            _ => None,
        }
    }
}

impl<T> Clone for Asked<T> {
    fn clone(&self) -> Self {
        let Self { limits, drain, counters, live } = self;
        let (limits, counters, live) = (limits.clone(), counters.clone(), live.clone());
        Self { limits, drain: *drain, counters, live }
    }
}

impl<T> fmt::Debug for Asked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("limits", &self.limits)
            .field("drain", &self.drain)
            .field("counters", &self.counters)
            .field("live", &self.live)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::in_flight::{Activity, Listed};

    /// A connection in flight: its two ends, and what a drain has of it.
    struct Connection {
        _own: UnixStream,
        other: UnixStream,
        listed: Listed,
        activity: Activity,
    }

    fn flight() -> io::Result<Arc<InFlight>> {
        let control = Arc::new(Control::new()?);
        Ok(Arc::new(InFlight::new(control, Counters::new()?, Permits::new(usize::MAX))))
    }

    fn enter(flight: &Arc<InFlight>) -> io::Result<Connection> {
        let (own, other) = UnixStream::pair()?;
        other.set_nonblocking(true)?;
        let listed = Ticket::new(flight, None).list(Some(own.as_fd().into()));
        let (listed, activity) = listed.ok_or(ErrorKind::NotFound)?;
        Ok(Connection { _own: own, other, listed, activity })
    }

    impl Connection {
        fn is_cut(&mut self) -> bool {
            self.other.read(&mut [0]).is_ok_and(|count| count == 0)
        }
    }

    #[test]
    fn those_that_are_idle_are_cut_first_and_all_are_counted_when_they_leave() -> io::Result<()> {
        let flight = flight()?;
        let (mut new, mut idle) = (enter(&flight)?, enter(&flight)?);
        let (mut again, mut gone) = (enter(&flight)?, enter(&flight)?);
        for connection in [&idle, &again, &gone] {
            connection.activity.idle();
        }
        again.activity.busy();
        drop(std::mem::take(&mut gone.listed));

        flight.connections.cut_idle();
        assert!(idle.is_cut());
        assert!(!new.is_cut() && !again.is_cut() && !gone.is_cut());
        assert_eq!(flight.connections.count_cut(), 0);
        drop(idle);
        assert_eq!(flight.connections.count_cut(), 1);

        flight.connections.cut_all();
        assert!(new.is_cut() && again.is_cut() && !gone.is_cut());
        drop(new);
        assert_eq!(flight.connections.count_cut(), 2);
        Ok(())
    }

    #[test]
    fn whoever_comes_when_all_have_been_cut_is_cut_too_until_another_session() -> io::Result<()> {
        let flight = flight()?;
        flight.connections.cut_all();
        let mut late = enter(&flight)?;
        assert!(late.is_cut());
        drop(late);
        assert_eq!(flight.connections.count_cut(), 1);

        flight.begin(1);
        let mut next = enter(&flight)?;
        assert!(!next.is_cut());
        assert_eq!(flight.connections.count_cut(), 0);
        Ok(())
    }
}
