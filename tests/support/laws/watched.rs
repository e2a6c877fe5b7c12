//! A transport around one of the crate's, whose requests tell the ledger what is done to them.

use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use socketserver::{
    Activity, Datagram, DatagramSocket, Either, FailureKind, ForkedChild, Portable, Progress,
    Request, Resumable, Room, Selectable, Stage, StreamRequest, StreamSocket, Transport, Waiter,
};

use super::client::Address;
use super::panic_if;
use super::script::{Script, name_of};
use super::world::{Guest, World};

pub struct Watched<T> {
    pub inner: T,
    pub world: Arc<World>,
}

/// A request on its way through the server.
pub struct Visit<R> {
    /// Taken out when it is closed.
    inner: Option<R>,
    pub serial: usize,
    pub guest: Guest,
    /// What the peer's first line said.
    pub heard: Option<Script>,
    pub world: Arc<World>,
}

/// What a watched request has to tell beside its bytes.
pub trait Inner: Request + BufRead + Write {
    /// The peer's address, as the guest book has it.
    fn from(&self) -> String;

    /// The packet, for one that has all its bytes.
    fn packet(&self) -> Option<&[u8]>;
}

impl<S: StreamSocket, A: Address> Inner for StreamRequest<S, A> {
    fn from(&self) -> String {
        self.peer().text()
    }

    fn packet(&self) -> Option<&[u8]> {
        None
    }
}

impl<S: DatagramSocket, A: Address> Inner for Datagram<S, A> {
    fn from(&self) -> String {
        self.peer().text()
    }

    fn packet(&self) -> Option<&[u8]> {
        Some(self.data())
    }
}

impl<A: Inner, B: Inner> Inner for Either<A, B> {
    fn from(&self) -> String {
        match self {
            Self::First(inner) => inner.from(),
            Self::Second(inner) => inner.from(),
        }
    }

    fn packet(&self) -> Option<&[u8]> {
        match self {
            Self::First(inner) => inner.packet(),
            Self::Second(inner) => inner.packet(),
        }
    }
}

impl<T: Transport<Request: Inner>> Transport for Watched<T> {
    type Request = Visit<T::Request>;

    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        let Some(inner) = self.inner.get_request()? else { return Ok(None) };
        let guest = self.world.guest(&inner.from()).unwrap();
        let serial = self.world.taken.fetch_add(1, SeqCst) + 1;
        let world = Arc::clone(&self.world);
        let visit = Visit { inner: Some(inner), serial, guest, heard: None, world };
        visit.record("get_request");
        Ok(Some(visit))
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

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.inner.after_fork(child);
        self.world.close_ends();
        self.world.leave();
    }
}

impl<T: AsFd> AsFd for Watched<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: Portable<Request: Inner>> Portable for Watched<T> {
    fn pack<'r>(
        &self,
        visit: &'r Self::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        self.put(visit, bytes);
        self.inner.pack(visit.inner.as_ref().unwrap(), bytes)
    }

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request> {
        let (mut visit, rest) = self.take(bytes);
        visit.inner = Some(self.inner.unpack(rest, descriptor)?);
        Ok(visit)
    }
}

impl<T: Transport<Request: Inner>> Watched<T> {
    /// Puts what is known of a visit beside the request.
    fn put(&self, visit: &Visit<T::Request>, bytes: &mut Vec<u8>) {
        let Visit { serial, guest: Guest { client, script }, .. } = visit;
        bytes.extend(serial.to_le_bytes());
        bytes.extend(client.to_le_bytes());
        let word = script.word();
        bytes.extend(word.len().to_le_bytes());
        bytes.extend(word.as_bytes());
    }

    /// What was put, and what follows.
    fn take<'b>(&self, bytes: &'b [u8]) -> (Visit<T::Request>, &'b [u8]) {
        let mut rest = bytes;
        let mut number = || {
            let (number, tail) = rest.split_first_chunk().unwrap();
            rest = tail;
            usize::from_le_bytes(*number)
        };
        let (serial, client, length) = (number(), number(), number());
        let (word, rest) = rest.split_at(length);
        let script = Script::parse(std::str::from_utf8(word).unwrap()).unwrap();
        let guest = Guest { client, script };
        let world = Arc::clone(&self.world);
        (Visit { inner: None, serial, guest, heard: None, world }, rest)
    }
}

impl<T: Resumable<Request: Inner>> Resumable for Watched<T> {
    fn suspend<'r>(
        &self,
        visit: &'r Self::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        self.put(visit, bytes);
        self.inner.suspend(visit.inner.as_ref().unwrap(), bytes)
    }

    fn resume(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request> {
        let (mut visit, rest) = self.take(bytes);
        visit.inner = Some(self.inner.resume(rest, descriptor)?);
        // It has been set up.
        visit.heard = Some(visit.guest.script);
        Ok(visit)
    }
}

impl<R: Inner> Visit<R> {
    pub fn record(&self, event: &str) {
        self.world.ledger.record(self.serial, self.guest.client, event);
    }

    /// The script as far as it is known before anything has been read.
    pub fn announced(&self) -> Script {
        let packet = self.inner.as_ref().and_then(Inner::packet);
        let word = packet.and_then(|bytes| std::str::from_utf8(bytes.get(..2)?).ok());
        word.and_then(Script::parse).unwrap_or(self.guest.script)
    }

    fn inner(&mut self) -> &mut R {
        self.inner.as_mut().unwrap()
    }
}

impl<R: Inner> Request for Visit<R> {
    fn establish(&mut self) -> io::Result<()> {
        self.record(name_of(Stage::Establish));
        self.guest.script.act(Stage::Establish)?;
        self.inner().establish()
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.record(name_of(Stage::Deliver));
        self.guest.script.act(Stage::Deliver)?;
        self.inner().deliver()
    }

    fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_ref().and_then(Request::connection)
    }

    fn watch(&mut self, activity: &Activity) {
        self.inner().watch(activity);
    }

    fn classify(&self, error: &io::Error) -> FailureKind {
        self.inner.as_ref().map_or(FailureKind::Error, |inner| inner.classify(error))
    }

    fn shutdown_request(&mut self) {
        self.record("shutdown_request");
        if let Some(mut inner) = self.inner.take() {
            inner.shutdown_request();
        }
        self.record("closed");
        panic_if(self.guest.script == Script::PanicsInShutdown);
    }

    fn close_request(&mut self) {
        if let Some(mut inner) = self.inner.take() {
            inner.close_request();
        }
        self.record("copy closed");
    }
}

impl<R: Inner + Selectable> Selectable for Visit<R> {
    fn advance(&mut self, room: &mut Room) -> io::Result<Progress> {
        self.inner.as_mut().map_or(Ok(Progress::Ended), |inner| inner.advance(room))
    }

    fn input(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], Selectable::input)
    }

    fn until(&mut self) -> Option<Instant> {
        self.inner.as_mut()?.until()
    }
}

impl<R> Drop for Visit<R> {
    fn drop(&mut self) {
        if self.inner.is_some() {
            self.world.ledger.record(self.serial, self.guest.client, "lost");
        }
    }
}

impl<R: Inner> Read for Visit<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner().read(bytes)
    }
}

impl<R: Inner> BufRead for Visit<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner().fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner().consume(amount);
    }
}

impl<R: Inner> Write for Visit<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().flush()
    }
}
