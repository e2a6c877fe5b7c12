//! A transport around the one under test, whose requests tell the ledger what is done to them.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use super::ledger::What;
use super::script::{Script, panic_if};
use super::world::{Guest, World, locked, this_process};
use crate::{
    Activity, Cutter, FailureKind, ForkRole, ForkedChild, Portable, Progress, Request, Resumable,
    Room, Selectable, Stage, Transport, Waiter,
};

/// A transport that the kit looks at from outside: what a strategy under test serves.
pub struct Watched<T: Transport> {
    inner: T,
    world: Arc<World>,
}

/// A request on its way through the server, which the kit looks at: what a mixin under test handles.
pub struct Visit<R> {
    /// Taken out when it is at its end.
    inner: Option<R>,
    /// At its end, for which a table may have something to wait for.
    leaving: Option<R>,
    /// Its second stage has begun, which may be gone on with several times.
    opening: bool,
    pub(super) guest: Guest,
    /// What the client's first line said.
    pub(super) heard: Option<Script>,
    world: Arc<World>,
}

impl<T: Transport> Watched<T> {
    pub(super) fn new(inner: T, world: Arc<World>) -> Self {
        Self { inner, world }
    }

    fn new_visit(&self, inner: Option<T::Request>, guest: Guest) -> Visit<T::Request> {
        let world = Arc::clone(&self.world);
        Visit { inner, leaving: None, opening: false, guest, heard: None, world }
    }

    fn visit(&self, inner: T::Request) -> Visit<T::Request> {
        let number = self.world.ledger.take();
        let guest = self.world.guest(number);
        if guest.is_none() {
            self.world.ledger.record(0, What::Uninvited);
        }
        let guest = guest.unwrap_or_else(Guest::stranger);
        let visit = self.new_visit(Some(inner), guest);
        visit.record(What::GetRequest);
        visit
    }
}

impl<T: Transport<Request: BufRead + Write>> Transport for Watched<T> {
    type Request = Visit<T::Request>;

    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        let _entrance = locked(&self.world.entrance);
        let got = self.inner.get_request();
        if !matches!(got, Ok(Some(_))) {
            self.world.looks.fetch_add(1, SeqCst);
        }
        if got.as_ref().err().is_some_and(|error| error.kind() != ErrorKind::WouldBlock) {
            self.world.errors.fetch_add(1, SeqCst);
        }
        Ok(got?.map(|inner| self.visit(inner)))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.inner.wait(waiter)
    }

    fn is_level_triggered(&self) -> bool {
        self.inner.is_level_triggered()
    }

    fn server_close(self) -> io::Result<()> {
        self.inner.server_close()
    }

    fn check_fork(&self, role: ForkRole) -> io::Result<()> {
        self.inner.check_fork(role)
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.inner.after_fork(child);
        self.world.ledger.record(this_process(), What::AfterFork);
    }
}

impl<T: Transport + AsFd> AsFd for Watched<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: Transport> Watched<T> {
    /// Puts what the kit has of a request, for another process that goes on with it.
    fn put(visit: &Visit<T::Request>, bytes: &mut Vec<u8>) {
        let word = visit.guest.script.word();
        bytes.extend(visit.guest.client.to_le_bytes());
        bytes.extend(word.len().to_le_bytes());
        bytes.extend(word.as_bytes());
    }

    /// The same without the request inside, and what that is to be made of.
    fn take<'b>(&self, mut bytes: &'b [u8]) -> io::Result<(Visit<T::Request>, &'b [u8])> {
        let mut number = || {
            let (number, rest) = bytes.split_first_chunk().ok_or(ErrorKind::InvalidData)?;
            bytes = rest;
            io::Result::Ok(usize::from_le_bytes(*number))
        };
        let (client, length) = (number()?, number()?);
        let (word, rest) = bytes.split_at_checked(length).ok_or(ErrorKind::InvalidData)?;
        let word = std::str::from_utf8(word).map_err(io::Error::other)?;
        let script = Script::parse(word).ok_or(ErrorKind::InvalidData)?;
        Ok((self.new_visit(None, Guest { client, script }), rest))
    }
}

impl<T: Portable<Request: BufRead + Write>> Portable for Watched<T> {
    fn pack<'r>(
        &self,
        visit: &'r Self::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        Self::put(visit, bytes);
        self.inner.pack(visit.inner.as_ref().ok_or(ErrorKind::NotConnected)?, bytes)
    }

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request> {
        let (mut visit, rest) = self.take(bytes)?;
        visit.inner = Some(self.inner.unpack(rest, descriptor)?);
        Ok(visit)
    }

    fn is_from(&self, visit: &Self::Request) -> bool {
        visit.inner.as_ref().is_some_and(|inner| self.inner.is_from(inner))
    }
}

impl<T: Resumable<Request: BufRead + Write>> Resumable for Watched<T> {
    fn suspend<'r>(
        &self,
        visit: &'r Self::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        Self::put(visit, bytes);
        self.inner.suspend(visit.inner.as_ref().ok_or(ErrorKind::NotConnected)?, bytes)
    }

    fn resume(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request> {
        let (mut visit, rest) = self.take(bytes)?;
        visit.inner = Some(self.inner.resume(rest, descriptor)?);
        // It has been set up.
        visit.heard = Some(visit.guest.script);
        Ok(visit)
    }
}

impl<R> Visit<R> {
    /// The request under test, unless it has come to its end.
    #[must_use]
    pub fn get_ref(&self) -> Option<&R> {
        self.inner.as_ref()
    }

    /// That, or the same at its end.
    fn present(&self) -> Option<&R> {
        self.inner.as_ref().or(self.leaving.as_ref())
    }

    fn present_mut(&mut self) -> Option<&mut R> {
        self.inner.as_mut().or(self.leaving.as_mut())
    }

    pub(super) fn record(&self, what: What) {
        self.world.ledger.record(self.guest.client, what);
    }

    fn inner(&mut self) -> io::Result<&mut R> {
        self.inner.as_mut().ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl<R: Request> Request for Visit<R> {
    fn establish(&mut self) -> io::Result<()> {
        if !mem::replace(&mut self.opening, true) {
            self.record(What::Hook(Stage::Establish));
            self.guest.script.act(Stage::Establish)?;
        }
        self.inner()?.establish()
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.record(What::Hook(Stage::Deliver));
        self.guest.script.act(Stage::Deliver)?;
        self.inner()?.deliver()
    }

    fn next_exchange(&mut self) -> io::Result<()> {
        self.inner()?.next_exchange()
    }

    fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.present().and_then(Request::connection)
    }

    fn cutter(&self) -> Option<Cutter> {
        self.present().and_then(Request::cutter)
    }

    fn watch(&mut self, activity: &Activity) {
        if let Some(inner) = &mut self.inner {
            inner.watch(activity);
        }
    }

    fn classify(&self, error: &io::Error) -> FailureKind {
        self.inner.as_ref().map_or(FailureKind::Error, |inner| inner.classify(error))
    }

    fn answer(&mut self, bytes: &[u8]) {
        if let Some(inner) = &mut self.inner {
            inner.answer(bytes);
        }
    }

    fn shutdown_request(&mut self) {
        self.record(What::Shutdown);
        self.leaving = self.inner.take();
        if let Some(inner) = &mut self.leaving {
            inner.shutdown_request();
        }
        self.record(What::Closed);
        panic_if(self.guest.script == Script::PanicsInShutdown);
    }

    fn close_request(&mut self) {
        if let Some(mut inner) = self.inner.take() {
            inner.close_request();
        }
        self.record(What::CopyClosed);
    }
}

impl<R: Selectable> Selectable for Visit<R> {
    fn advance(&mut self, room: &mut Room) -> io::Result<Progress> {
        self.present_mut().map_or(Ok(Progress::Ended), |inner| inner.advance(room))
    }

    fn input(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], Selectable::input)
    }

    fn until(&mut self) -> Option<Instant> {
        self.present_mut()?.until()
    }
}

impl<R> Drop for Visit<R> {
    fn drop(&mut self) {
        if self.inner.is_some() {
            self.record(What::Lost);
        }
    }
}

impl<R: Read> Read for Visit<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner()?.read(bytes)
    }
}

impl<R: BufRead> BufRead for Visit<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Some(inner) = &mut self.inner {
            inner.consume(amount);
        }
    }
}

impl<R: Write> Write for Visit<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner()?.flush()
    }
}

impl<T: Transport + fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<R: fmt::Debug> fmt::Debug for Visit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, guest, .. } = self;
        f.debug_struct("Visit").field("inner", inner).field("client", &guest.client).finish()
    }
}
