//! Strategies that wrap another, and handlers that wrap another.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use socketserver::{
    Closing, Concurrency, Failure, Handler, Next, Outcome, Server, Session, Sync, Tcp, TcpRequest,
    ThreadPool, Threading, Transport, handler_fn,
};

use crate::{FAR, ask, end, hear, say};

/// Any strategy, with its calls counted.
#[derive(Debug, Default)]
pub(crate) struct Counted<C> {
    inner: C,
    calls: Arc<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    served: AtomicUsize,
    closed: AtomicUsize,
}

impl<T, H, C: Concurrency<T, H>> Concurrency<T, H> for Counted<C> {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.calls.served.fetch_add(1, Ordering::SeqCst);
        self.inner.serve(session)
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        self.calls.closed.fetch_add(1, Ordering::SeqCst);
        self.inner.close(closing)
    }
}

/// Several of any strategy at once, each on a thread that pulls for it.
#[derive(Debug)]
pub(crate) struct Several<C>(pub(crate) Vec<C>);

impl<T, H, C> Concurrency<T, H> for Several<C>
where
    T: Transport + Send + std::marker::Sync,
    H: Handler<T::Request> + Send + std::marker::Sync,
    C: Concurrency<T, H> + Send,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        let Some((first, others)) = self.0.split_first_mut() else { return Ok(()) };
        thread::scope(|scope| {
            let threads = Vec::from_iter(others.iter_mut().map(|inner| {
                let puller = session.puller();
                scope
                    .spawn(move || puller.session().map_or(Ok(()), |session| inner.serve(&session)))
            }));
            first.serve(session)?;
            threads.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| io::Error::other("it panicked"))?
            })
        })
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        self.0.iter_mut().map(|one| one.close(closing)).fold(Ok(()), io::Result::and)
    }
}

/// Any handler, into which no request is let while `most` are inside; such a one is closed unheard.
///
/// It counts in `setup` and `finish`, which come in pairs: after `verify_request` a request may fail
/// before any other hook of success. So those that are on their way in are not counted yet.
#[derive(Debug)]
struct AtMost<H> {
    inner: H,
    most: usize,
    inside: AtomicUsize,
    told: Sender<&'static str>,
}

impl<H> AtMost<H> {
    fn new(most: usize, inner: H) -> (Self, Receiver<&'static str>) {
        let (told, tells) = unbounded();
        (Self { inner, most, inside: AtomicUsize::new(0), told }, tells)
    }

    fn tell(&self, what: &'static str) {
        let _ = self.told.send(what);
    }
}

impl<R, H: Handler<R>> Handler<R> for AtMost<H> {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        self.inner.handle(request)
    }

    fn setup(&self, request: &mut R) -> io::Result<()> {
        self.inner.setup(request)?;
        self.inside.fetch_add(1, Ordering::SeqCst);
        self.tell("in");
        Ok(())
    }

    fn finish(&self, request: &mut R) -> io::Result<()> {
        let finished = self.inner.finish(request);
        self.inside.fetch_sub(1, Ordering::SeqCst);
        self.tell("out");
        finished
    }

    fn verify_request(&self, request: &R) -> io::Result<bool> {
        if self.inside.load(Ordering::SeqCst) < self.most {
            return self.inner.verify_request(request);
        }
        self.tell("away");
        Ok(false)
    }

    fn handle_error(&self, request: &mut R, failure: &Failure) {
        self.inner.handle_error(request, failure);
    }

    fn handle_timeout(&self) {
        self.inner.handle_timeout();
    }

    fn service_actions(&self) {
        self.inner.service_actions();
    }

    fn get_request_failed(&self, error: &io::Error) {
        self.inner.get_request_failed(error);
    }
}

fn tcp() -> io::Result<Tcp> {
    Tcp::options().bind("127.0.0.1:0")
}

fn greet(conn: &mut TcpRequest) -> io::Result<()> {
    conn.write_all(b"hi")
}

#[test]
fn a_wrapper_is_called_where_the_wrapped_one_would_be() -> io::Result<()> {
    fn under<C>() -> io::Result<()>
    where
        C: Default + Send + 'static,
        C: Concurrency<Tcp, socketserver::HandlerFn<fn(&mut TcpRequest) -> io::Result<()>>>,
    {
        let strategy = Counted::<C>::default();
        let calls = Arc::clone(&strategy.calls);
        let handler = handler_fn(greet as fn(&mut TcpRequest) -> io::Result<()>);
        let mut server = Server::new(tcp()?, strategy, handler)?;
        let address = server.local_addr()?;
        let client = say(address, "")?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(hear(&client)?, "hi");
        let running = server.spawn()?;
        assert_eq!(ask(address, "")?, "hi");
        running.stop();
        assert_eq!(calls.closed.load(Ordering::SeqCst), 0);
        end(running)?;
        assert_eq!(calls.served.load(Ordering::SeqCst), 2);
        assert_eq!(calls.closed.load(Ordering::SeqCst), 1);
        Ok(())
    }
    under::<Sync>()?;
    under::<Threading>()?;
    under::<Counted<Threading>>()?;
    under::<Counted<ThreadPool>>()
}

#[test]
fn several_of_one_strategy_serve_one_transport() -> io::Result<()> {
    // Each of the two handlers waits until the other one runs.
    let together = std::sync::Barrier::new(2);
    let server = Server::new_fn(tcp()?, Several(vec![Sync, Sync]), move |conn| {
        together.wait();
        greet(conn)
    })?;
    let running = server.spawn()?;
    let address = running.local_addr()?;
    let (one, other) = (say(address, "")?, say(address, "")?);
    assert_eq!((hear(&one)?, hear(&other)?), ("hi".into(), "hi".into()));
    running.stop();
    end(running)
}

#[test]
fn strategies_nest_as_deep_as_one_likes() -> io::Result<()> {
    let inner = || Several(vec![Threading::new(), Threading::new()]);
    let strategy = Counted { inner: Several(vec![inner(), inner()]), calls: Arc::default() };
    let calls = Arc::clone(&strategy.calls);
    let running = Server::new_fn(tcp()?, strategy, greet)?.spawn()?;
    let address = running.local_addr()?;
    for _ in 0..20 {
        assert_eq!(ask(address, "")?, "hi");
    }
    running.stop();
    end(running)?;
    assert_eq!(calls.closed.load(Ordering::SeqCst), 1);
    Ok(())
}

#[test]
fn a_handler_that_wraps_another_sheds_load() -> io::Result<()> {
    let (let_go, go_on) = unbounded();
    let slow = handler_fn(move |conn: &mut TcpRequest| {
        go_on.recv_timeout(FAR).map_err(io::Error::other)?;
        greet(conn)
    });
    let (handler, tells) = AtMost::new(1, slow);
    let told = || tells.recv_timeout(FAR).map_err(io::Error::other);
    let running = Server::new(tcp()?, Threading::new(), handler)?.spawn()?;
    let address = running.local_addr()?;

    let first = say(address, "")?;
    assert_eq!(told()?, "in");
    assert_eq!(ask(address, "")?, "", "there is no room");
    assert_eq!(told()?, "away");
    let_go.send(()).map_err(io::Error::other)?;
    assert_eq!(hear(&first)?, "hi");
    assert_eq!(told()?, "out");

    let_go.send(()).map_err(io::Error::other)?;
    assert_eq!(ask(address, "")?, "hi", "there is room again");
    running.stop();
    end(running)
}
