//! What the laws need where the strategy forks: a child has a copy of all that the process of the
//! clients has, their ends of the connections among it, and the end of a connection comes when the
//! last copy is closed.

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::unistd::close;
use socketserver::testing::{Client, Reach};
use socketserver::{Begun, Handler, InHalves, Next, forward_hooks};

static ENDS: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

fn ends() -> MutexGuard<'static, BTreeSet<RawFd>> {
    ENDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transport whose clients' ends are known.
pub struct Listed<R>(pub R);

pub struct End<L: AsFd>(Option<L>);

impl<R: Reach<Client: AsFd>> Reach for Listed<R> {
    type Transport = R::Transport;
    type Address = R::Address;
    type Client = End<R::Client>;

    const IS_PACKET: bool = R::IS_PACKET;
    const HAS_OPENING: bool = R::HAS_OPENING;

    fn open(&self) -> io::Result<(R::Transport, R::Address)> {
        self.0.open()
    }

    fn connect(&self, to: &R::Address) -> io::Result<Self::Client> {
        let client = self.0.connect(to)?;
        ends().insert(client.as_fd().as_raw_fd());
        Ok(End(Some(client)))
    }

    fn remains(&self) -> io::Result<Vec<String>> {
        self.0.remains()
    }
}

impl<L: AsFd> End<L> {
    fn client(&mut self) -> io::Result<&mut L> {
        self.0.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn leave(&mut self) -> Option<L> {
        let client = self.0.take()?;
        ends().remove(&client.as_fd().as_raw_fd());
        Some(client)
    }
}

impl<L: Client + AsFd> Client for End<L> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.client()?.send(bytes)
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.client()?.half_close()
    }

    fn receive(&mut self, answer: bool, patience: Duration) -> io::Result<Vec<u8>> {
        self.client()?.receive(answer, patience)
    }

    fn abort(mut self) -> io::Result<()> {
        self.leave().map_or(Ok(()), Client::abort)
    }
}

impl<L: AsFd> Drop for End<L> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Closes them in each child, which never drops the clients that they belong to.
#[derive(Debug)]
pub struct LetsGo<H>(pub H);

impl<R, H: Handler<R>> Handler<R> for LetsGo<H> {
    forward_hooks!(R, self => self.0; handle missing setup finish verify_request handle_error
        handle_timeout service_actions get_request_failed event panicked);

    fn child_init(&self) {
        for end in mem::take(&mut *ends()) {
            let _ = close(end);
        }
        self.0.child_init();
    }
}

impl<R, H: InHalves<R>> InHalves<R> for LetsGo<H> {
    type Rest = H::Rest;

    fn begin(&self, request: &mut R) -> io::Result<Begun<H::Rest>> {
        self.0.begin(request)
    }

    fn finish_in_child(&self, request: &mut R, rest: H::Rest) -> io::Result<Next> {
        self.0.finish_in_child(request, rest)
    }
}
