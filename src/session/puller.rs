//! Pulling from a session on other threads.

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::holders::{Holder, Holders};
use super::trouble::Trouble;
use super::{Books, Look, Scope, Session, Share, after};
use crate::handler::Handler;
use crate::sys::{Turn, Turns};
use crate::transport::Transport;
use crate::worker::{Place, Worker};

/// The way for other threads to pull from a session: [`Session::puller`].
///
/// It does not keep the transport open, so a thread may hold on to one while it handles a request.
/// Of the threads that wait for a request one is woken for each where the system can do so (epoll(7)
/// of Linux), and the transport waits with [`Waiter::readable`](crate::Waiter::readable).
/// Only the thread that serves calls [`service_actions`](crate::Handler::service_actions) by the
/// clock.
pub struct Puller<T, H> {
    transport: Weak<T>,
    worker: Worker<H>,
    books: Option<Arc<Books<T>>>,
    scope: Scope,
    trouble: Arc<Trouble>,
    pulled: Pulled,
    share: Option<Arc<Share>>,
}

impl<T, H> Puller<T, H> {
    pub(super) fn new(session: &Session<T, H>) -> Self {
        Self {
            transport: session.transport.as_ref().map_or_else(Weak::new, Arc::downgrade),
            worker: session.worker.clone(),
            books: session.books.clone(),
            scope: session.scope,
            trouble: Arc::clone(&session.trouble),
            pulled: session.pulled(),
            share: session.share.clone(),
        }
    }

    /// The session, for as long as the caller has something to pull; `None` where the server has
    /// closed its transport, or the session is for the one request of
    /// [`handle_request`](crate::Server::handle_request), which the thread that serves takes.
    #[must_use]
    pub fn session(&self) -> Option<Session<T, H>> {
        if self.scope.once {
            return None;
        }
        let transport = Some(self.transport.upgrade()?);
        let turn = self.pulled.turns.as_ref().map(Turn::new);
        Some(Session { transport, turn, ..self.apart() })
    }

    /// The session without the transport, for [`Session::next_apart`].
    pub(crate) fn apart(&self) -> Session<T, H> {
        let scope = Scope { service_interval: None, ..self.scope };
        let session = Session::new(None, self.worker.clone(), self.books.clone(), scope);
        let Pulled { turns, holders } = &self.pulled;
        let turn = turns.as_ref().map(|turns| Turn::new(turns).dozing());
        let holder = Some(Holder::new(holders));
        let (trouble, share) = (Arc::clone(&self.trouble), self.share.clone());
        Session { trouble, turn, holder, share, ..session }
    }
}

/// What those share who pull.
#[derive(Clone)]
pub(super) struct Pulled {
    /// What they wait at. Where they can't, all that wait are woken for each request.
    turns: Option<Arc<Turns>>,
    holders: Arc<Holders>,
}

impl<T, H> Session<T, H> {
    fn pulled(&self) -> Pulled {
        let pulled = self.pulled.get_or_init(|| {
            let turns = Turns::new(self.worker.control().bell()).ok().map(Arc::new);
            Pulled { turns, holders: Arc::new(Holders::new()) }
        });
        pulled.clone()
    }

    /// The session is over, for those too who pull apart: none of them takes a request any more, or
    /// has the transport.
    pub(crate) fn dismiss(&self) {
        if let Some(Pulled { turns, holders }) = self.pulled.get() {
            holders.close();
            if let Some(turns) = turns {
                turns.end();
            }
            holders.wait();
        }
    }

    /// Has the transport again, where the session goes on and the server has not closed it.
    fn hold(&mut self, puller: &Puller<T, H>) -> bool {
        if self.holder.as_mut().is_some_and(Holder::enter) {
            self.transport = puller.transport.upgrade();
        }
        self.transport.is_some()
    }

    /// Does without the transport, and lets others have the turn to look.
    fn let_go(&mut self) {
        if let Some(turn) = &self.turn {
            turn.pass_on();
        }
        self.transport = None;
        if let Some(holder) = &mut self.holder {
            holder.leave();
        }
    }
}

/// For a thread that pulls for long, and must not keep the transport open while it handles a
/// request, or dozes: at the end of the session nobody has to wait until it wakes up.
impl<T: Transport, H: Handler<T::Request>> Session<T, H> {
    /// As [`next_into`](Self::next_into), with the transport only while it is looked at. Where there
    /// is an error, it is held still.
    ///
    /// Who waits in vain for as long as `idle`, where that is given, is told so; and so is who finds,
    /// when there is no request, that it `leaves`. That a request is there for which a permit is
    /// lacking is not in vain.
    pub(crate) fn next_apart(
        &mut self,
        puller: &Puller<T, H>,
        idle: Option<Duration>,
        leaves: impl Fn() -> bool,
        place: &mut Place<T::Request>,
    ) -> io::Result<Look> {
        let mut until = None;
        let mut dozes = self.patience.waits_first() && self.can_doze();
        loop {
            if dozes {
                until = until.or_else(|| idle.and_then(after));
                self.wait_by(&[], until, |waiter| waiter.in_turn())?;
            }
            if !self.hold(puller) {
                return Ok(Look::End);
            }
            let look = self.look(place)?;
            let is_over = |until: Instant| !self.is_shut() && until <= Instant::now();
            let waits = look == Look::Idle && !until.is_some_and(is_over) && !leaves();
            dozes = waits && self.can_doze();
            if waits && !dozes {
                until = until.or_else(|| idle.and_then(after));
                self.wait_until(&[], until.filter(|_| !self.is_shut()))?;
                dozes = self.can_doze();
            }
            self.let_go();
            if !waits {
                return Ok(look);
            }
        }
    }

    /// Whether what it waits for wakes it at the end of the session too, however late it begins.
    fn can_doze(&self) -> bool {
        !self.is_shut() && self.turn.as_ref().is_some_and(Turn::knows_source)
    }
}

impl<T, H> Clone for Puller<T, H> {
    fn clone(&self) -> Self {
        Self {
            transport: Weak::clone(&self.transport),
            worker: self.worker.clone(),
            books: self.books.clone(),
            scope: self.scope,
            trouble: Arc::clone(&self.trouble),
            pulled: self.pulled.clone(),
            share: self.share.clone(),
        }
    }
}

impl<T, H> fmt::Debug for Puller<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller").field("scope", &self.scope).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;
    use crate::control::{Control, Waiter};
    use crate::handler::handler_fn;
    use crate::request::Request;
    use crate::worker::Shared;

    /// Has something to say at once, and a request at the fourth look.
    struct Fourth(UnixStream, AtomicU32);

    #[derive(Debug)]
    struct Empty;

    impl Request for Empty {}

    impl Transport for Fourth {
        type Request = Empty;

        fn get_request(&self) -> io::Result<Option<Empty>> {
            let look = self.1.fetch_add(1, SeqCst);
            if look < 3 { Err(ErrorKind::WouldBlock.into()) } else { Ok(Some(Empty)) }
        }

        fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
            waiter.readable_as_ever(&self.0)
        }
    }

    #[test]
    fn who_has_waited_in_vain_leaves_the_turn_to_another() -> io::Result<()> {
        const FAR: Duration = Duration::from_secs(20);
        let (source, mut other) = UnixStream::pair()?;
        other.write_all(b"x")?;
        let handler = handler_fn(|_: &mut Empty| Ok(()));
        let shared = Shared { handler, control: Arc::new(Control::new()?) };
        let number = shared.control.begin()?;
        let transport = Arc::new(Fourth(source, AtomicU32::new(0)));
        let worker = Worker::new(Arc::new(shared), number);
        let session = Session::new(Some(transport), worker, None, Scope::default());
        let puller = session.puller();
        let [mut first, mut second] = [puller.apart(), puller.apart()];

        let mut place = None;
        // It is woken, and the request is not there yet.
        assert_eq!(
            first.next_apart(&puller, Some(Duration::ZERO), || false, &mut place)?,
            Look::Idle
        );
        let begun = Instant::now();
        assert_eq!(second.next_apart(&puller, Some(FAR), || false, &mut place)?, Look::Request);
        assert!(begun.elapsed() < FAR, "it was not woken");
        Ok(())
    }
}
