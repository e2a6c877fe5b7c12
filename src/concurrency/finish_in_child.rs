//! Requests that are begun here, and finished in a child where their handler wants it.

use std::io;
use std::os::fd::OwnedFd;

use super::children;
use super::fork_server::{ForkServer, over};
use super::pre_forking::InWorker;
use super::{Concurrency, Forking};
use crate::drain::Closing;
use crate::handler::InHalves;
use crate::packed::{put, take};
use crate::session::{Session, finish_in_child};
use crate::transport::{Resumable, Transport};
use crate::worker::Worker;

/// Each request begins on the thread that serves, as under [`Sync`](crate::Sync), and where its
/// handler says so after a look at it, is finished in a child; the loop goes on at once. Python's
/// documentation describes it as "process part of a request synchronously, but finish processing in
/// a forked child depending on the request data", with an explicit fork; here the fork is the
/// strategy's, so children are counted, limited, reaped, and ended with the server.
///
/// The handler is one [in halves](InHalves), which says what is called when and where. `C` is where
/// children come from:
///
/// | strategy | children | what the first half can give the second |
/// | --- | --- | --- |
/// | `FinishInChild<Forking>` | are forked from this process, which needs to have one thread | anything |
/// | `FinishInChild<ForkServer>` | are forked from a helper: for a process with threads | bytes |
///
/// All that [`Forking`] and [`ForkServer`] say of their children holds for these: their number,
/// statuses, signals and descriptors; what is [counted](crate::Counters), when they are reaped, what
/// closing the server does. While there are as many as there may be, no request is begun. A fork that
/// is refused fails its request, which has been begun: `finish` and `handle_error` are called here,
/// the latter with [`ForkRefused`](crate::ForkRefused) at [`Stage::Start`](crate::Stage::Start).
///
/// # What is done here
///
/// The first half has the thread that serves for itself. A peer that keeps it waiting keeps everybody
/// waiting, so give connections [`Deadlines`](crate::Deadlines) or a
/// [`timeout`](crate::Options::timeout). A stop waits for it too: under [`Forking`] the time of a
/// [`Drain`](crate::Drain) begins after it, as what would end it is a thread, and a process with two
/// can't be forked.
///
/// # The connection in the child
///
/// Under [`Forking`] it is as it was: what has been read and not yet been used, what was written and
/// not yet been sent, deadlines and all. `ForkServer` takes it apart and puts it together again,
/// which the transport has to be able to do ([`Resumable`]): there deadlines begin anew.
///
/// # Examples
///
/// ```no_run
/// use std::io::{self, BufRead, Write};
/// use socketserver::{
///     Begun, FinishInChild, ForkServer, Handler, InHalves, Next, ReadLine, Server, Tcp,
/// };
///
/// struct Reports;
///
/// impl<R: BufRead + Write> InHalves<R> for Reports {
///     type Rest = Vec<u8>;
///
///     fn begin(&self, request: &mut R) -> io::Result<Begun<Vec<u8>>> {
///         let mut name = Vec::new();
///         request.read_bytes_bounded(&mut name, 100)?;
///         if name == b"ping\n" {
///             request.write_all(b"pong\n")?;
///             return Ok(Next::Done.into());
///         }
///         Ok(Begun::InChild(name))
///     }
///
///     fn finish_in_child(&self, request: &mut R, name: Vec<u8>) -> io::Result<Next> {
///         // … as long as it takes; a crash ends this child alone.
///         request.write_all(&name).map(Next::from)
///     }
/// }
///
/// impl<R: BufRead + Write> Handler<R> for Reports {
///     fn handle(&self, request: &mut R) -> io::Result<Next> {
///         self.both_halves(request)
///     }
/// }
///
/// fn main() -> io::Result<()> {
///     let tcp = Tcp::options().bind("127.0.0.1:8000")?;
///     let children = ForkServer::new().max_children(8)?;
///     let mut server = Server::new(tcp, FinishInChild::new(children), Reports)?;
///     // From here on, there may be threads.
///     server.serve_forever()?;
///     server.close()?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Default)]
#[doc(alias = "fork")]
pub struct FinishInChild<C> {
    children: C,
}

impl<C> FinishInChild<C> {
    /// The children are as those of `children`: [`Forking`] or [`ForkServer`], with their options.
    #[must_use]
    pub fn new(children: C) -> Self {
        Self { children }
    }

    /// The strategy that the children are of, which knows their process ids.
    #[must_use]
    pub fn get_ref(&self) -> &C {
        &self.children
    }
}

impl InWorker for FinishInChild<Forking> {}
impl InWorker for FinishInChild<ForkServer> {}

impl<T, H> Concurrency<T, H> for FinishInChild<Forking>
where
    T: Transport,
    H: InHalves<T::Request>,
{
    fn prepare(&mut self, session: &Session<T, H>) -> io::Result<()> {
        Concurrency::<T, H>::prepare(&mut self.children, session)
    }

    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.children.begin(session);
        children::serve(&mut self.children, session, |forking, place| {
            let mut rest = session.begin_in(place);
            if rest.is_none() {
                return Ok(());
            }
            let started = forking.start(session, place, |worker, place| {
                let Some(rest) = rest.take() else { return children::FAILED };
                children::handle(worker, place, |worker, place| {
                    finish_in_child(worker, place, rest)
                })
            });
            if let Err(error) = started {
                session.refuse_second_half(place, error);
            }
            session.worker().quietly(|| drop(rest));
            Ok(())
        })
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        Concurrency::<T, H>::close(&mut self.children, closing)
    }
}

impl<T, H> Concurrency<T, H> for FinishInChild<ForkServer>
where
    T: Resumable,
    H: InHalves<T::Request, Rest = Vec<u8>>,
{
    fn prepare(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.children.fork_helper(session, in_child)
    }

    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.children.check()?;
        session.attend_to_the_end();
        children::serve(&mut self.children, session, |server, place| {
            let Some(rest) = session.begin_in(place) else { return Ok(()) };
            let started = server.start(session, place, |transport, request, bytes| {
                put(&rest, bytes)?;
                transport.suspend(request, bytes)
            });
            started.or_else(|error| {
                let over = over(&error);
                session.refuse_second_half(place, error);
                over
            })
        })
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        Concurrency::<T, H>::close(&mut self.children, closing)
    }
}

/// The life of a child of the helper. Returns what it ends with.
fn in_child<T, H>(
    worker: &Worker<H>,
    transport: &T,
    bytes: &[u8],
    descriptor: Option<OwnedFd>,
) -> i32
where
    T: Resumable,
    H: InHalves<T::Request, Rest = Vec<u8>>,
{
    let Ok((rest, bytes)) = take(bytes) else { return children::FAILED };
    let make = || transport.resume(bytes, descriptor);
    children::make_and_handle(worker, make, |worker, place| {
        finish_in_child(worker, place, rest.to_vec())
    })
}
