//! A transport whose requests have a second stage: in the worker, before the handler, the peer says
//! its name. It wraps any transport of what can be read and written.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use socketserver::{
    Bind, Concurrency, Connection, Deadlines, Failure, FailureKind, ForkedChild, Handler, Hangup,
    LocalAddr, Next, Outcome, ReadLine, Request, Running, Server, Stage, Sync, Tcp, ThreadPool,
    Threading, Transport, Udp, UnixStream, Waiter,
};

use crate::{FAR, ask, end, hear, in_time, say};

#[derive(Debug)]
struct Named<T>(T);

impl<T: Transport> Transport for Named<T>
where
    T::Request: BufRead,
{
    type Request = Introduced<T::Request>;

    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        let request = self.0.get_request()?;
        Ok(request.map(|request| Introduced { request, name: String::new() }))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.0.wait(waiter)
    }

    fn is_level_triggered(&self) -> bool {
        self.0.is_level_triggered()
    }

    fn server_close(self) -> io::Result<()> {
        self.0.server_close()
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.0.after_fork(child);
    }
}

impl<A, T: Bind<A>> Bind<A> for Named<T>
where
    T::Request: BufRead,
{
    fn bind(address: A) -> io::Result<Self> {
        T::bind(address).map(Self)
    }
}

impl<T: LocalAddr> LocalAddr for Named<T> {
    type Addr = T::Addr;

    fn local_addr(&self) -> io::Result<T::Addr> {
        self.0.local_addr()
    }
}

/// A request of which it is known who sent it.
#[derive(Debug)]
struct Introduced<R> {
    request: R,
    name: String,
}

impl<R: Request + BufRead> Request for Introduced<R> {
    fn establish(&mut self) -> io::Result<()> {
        self.request.establish()?;
        let mut line = String::new();
        if self.request.read_line_bounded(&mut line, 64)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        assert_ne!(line, "panic\n", "as asked for");
        let name = line.strip_prefix("I am ").map(str::trim_end);
        self.name =
            name.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, line.clone()))?.into();
        Ok(())
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.request.deliver()
    }

    fn shutdown_request(&mut self) {
        self.request.shutdown_request();
    }

    fn close_request(&mut self) {
        self.request.close_request();
    }
}

impl<R: Connection> Connection for Introduced<R> {
    fn set_deadlines(&mut self, deadlines: Deadlines) -> io::Result<()> {
        self.request.set_deadlines(deadlines)
    }

    fn set_hangup(&mut self, hangup: Hangup) -> io::Result<()> {
        self.request.set_hangup(hangup)
    }

    fn set_stage_end(&mut self, end: Option<Instant>) {
        self.request.set_stage_end(end);
    }
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Verified { name: String },
    Hook(&'static str),
    Failed { name: String, stage: Stage, kind: FailureKind },
}

/// Greets whoever has said a name.
struct Greeter(Sender<Event>);

impl Greeter {
    fn new() -> (Self, Receiver<Event>) {
        let (tell, told) = unbounded();
        (Self(tell), told)
    }

    fn tell(&self, event: Event) {
        let _ = self.0.send(event);
    }
}

impl<R: BufRead + Write> Handler<Introduced<R>> for Greeter {
    fn handle(&self, introduced: &mut Introduced<R>) -> io::Result<Next> {
        self.tell(Event::Hook("handle"));
        let mut rest = String::new();
        introduced.request.read_to_string(&mut rest)?;
        write!(introduced.request, "hello {}: {rest}", introduced.name)?;
        Ok(Next::Done)
    }

    fn setup(&self, _introduced: &mut Introduced<R>) -> io::Result<()> {
        self.tell(Event::Hook("setup"));
        Ok(())
    }

    fn finish(&self, _introduced: &mut Introduced<R>) -> io::Result<()> {
        self.tell(Event::Hook("finish"));
        Ok(())
    }

    fn verify_request(&self, introduced: &Introduced<R>) -> io::Result<bool> {
        self.tell(Event::Verified { name: introduced.name.clone() });
        Ok(true)
    }

    fn handle_error(&self, introduced: &mut Introduced<R>, failure: &Failure) {
        let (stage, kind) = (failure.stage(), failure.kind());
        self.tell(Event::Failed { name: introduced.name.clone(), stage, kind });
    }
}

type Serving<C> = (Running<Named<Tcp>, C, Greeter>, SocketAddr, Receiver<Event>);

fn serve<C>() -> io::Result<Serving<C>>
where
    C: Concurrency<Named<Tcp>, Greeter> + Default + Send + 'static,
{
    let (greeter, events) = Greeter::new();
    let running = Server::<Named<Tcp>, C, _>::bind("127.0.0.1:0", greeter)?.spawn()?;
    let address = running.local_addr()?;
    Ok((running, address, events))
}

/// Speaks its whole part at once.
fn speak(address: SocketAddr, what: &str) -> io::Result<String> {
    let client = say(address, what)?;
    client.shutdown(Shutdown::Write)?;
    hear(&client)
}

fn the_second_stage_comes_between_verify_and_setup<C>() -> io::Result<()>
where
    C: Concurrency<Named<Tcp>, Greeter> + Default + Send + 'static,
{
    let (running, address, events) = serve::<C>()?;
    assert_eq!(speak(address, "I am Ada\nanything?")?, "hello Ada: anything?");
    running.stop();
    end(running)?;
    let verified = Event::Verified { name: String::new() };
    let hooks = ["setup", "handle", "finish"].map(Event::Hook);
    assert_eq!(Vec::from_iter(events), Vec::from_iter([verified].into_iter().chain(hooks)));
    Ok(())
}

fn what_fails_in_the_second_stage_is_not_handled<C>() -> io::Result<()>
where
    C: Concurrency<Named<Tcp>, Greeter> + Default + Send + 'static,
{
    for (line, kind) in [
        ("who asks?\n", FailureKind::Error),
        ("", FailureKind::PeerGone),
        ("panic\n", FailureKind::Panic),
    ] {
        let (running, address, events) = serve::<C>()?;
        assert_eq!(speak(address, line)?, "", "a clean end, and no answer");
        assert_eq!(speak(address, "I am Bob\n")?, "hello Bob: ", "the next is served");
        running.stop();
        end(running)?;
        let failed = Event::Failed { name: String::new(), stage: Stage::Establish, kind };
        let mut events =
            events.into_iter().filter(|event| !matches!(event, Event::Verified { .. }));
        assert_eq!(events.next(), Some(failed), "after {line:?}");
        assert_eq!(Vec::from_iter(events), ["setup", "handle", "finish"].map(Event::Hook));
    }
    Ok(())
}

macro_rules! under_all {
    ($($test:ident)*) => {$(
        mod $test {
            #[test]
            fn sync() -> std::io::Result<()> {
                super::$test::<super::Sync>()
            }

            #[test]
            fn threading() -> std::io::Result<()> {
                super::$test::<super::Threading>()
            }

            #[test]
            fn thread_pool() -> std::io::Result<()> {
                super::$test::<super::ThreadPool>()
            }
        }
    )*};
}

under_all! {
    the_second_stage_comes_between_verify_and_setup
    what_fails_in_the_second_stage_is_not_handled
}

#[test]
fn under_threading_a_silent_peer_holds_up_nobody() -> io::Result<()> {
    let (running, address, events) = serve::<Threading>()?;
    let silent = say(address, "")?;
    let verified = Event::Verified { name: String::new() };
    assert_eq!(events.recv_timeout(FAR), Ok(verified), "it has been taken, and is waited for");
    for _ in 0..3 {
        assert_eq!(speak(address, "I am loud\n")?, "hello loud: ");
    }
    (&silent).write_all(b"I am shy\n")?;
    silent.shutdown(Shutdown::Write)?;
    assert_eq!(hear(&silent)?, "hello shy: ");
    running.stop();
    end(running)
}

#[test]
fn the_second_stage_has_the_timeout_of_the_first() -> io::Result<()> {
    let (greeter, events) = Greeter::new();
    let tcp = Tcp::options().timeout(Duration::from_millis(20)).bind("127.0.0.1:0")?;
    let mut server = Server::new(Named(tcp), Sync, greeter)?;
    let silent = say(server.local_addr()?, "")?;
    let (outcome, server) = in_time(move || (server.handle_request(), server))?;
    assert_eq!(outcome?, Outcome::Failed);
    assert_eq!(hear(&silent)?, "");
    let kind = FailureKind::TimedOut;
    let failed = Event::Failed { name: String::new(), stage: Stage::Establish, kind };
    assert_eq!(events.try_iter().last(), Some(failed));
    server.close()?;
    Ok(())
}

#[test]
fn it_is_held_to_the_deadlines_of_a_connection() -> io::Result<()> {
    let (greeter, events) = Greeter::new();
    let guarded = Deadlines::new().first_byte(Duration::from_millis(20)).guard(greeter)?;
    let mut server = Server::<Named<Tcp>, Sync, _>::bind("127.0.0.1:0", guarded)?;
    let silent = say(server.local_addr()?, "I am Ada\n")?;
    let (outcome, server) = in_time(move || (server.handle_request(), server))?;
    assert_eq!(outcome?, Outcome::Failed);
    assert_eq!(hear(&silent)?, "");
    let (name, kind) = ("Ada".into(), FailureKind::TimedOut);
    let failed = Event::Failed { name, stage: Stage::Handle, kind };
    assert_eq!(events.try_iter().last(), Some(failed));
    server.close().map(drop)
}

#[test]
fn it_wraps_packets_and_unix_sockets_as_well() -> io::Result<()> {
    let (greeter, _events) = Greeter::new();
    let mut packets = Server::<Named<Udp>, Sync, _>::bind("127.0.0.1:0", greeter)?;
    let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(FAR))?;
    client.send_to(b"I am Eve\nhi", packets.local_addr()?)?;
    packets.handle_request()?;
    let mut said = [0; 64];
    let length = client.recv(&mut said)?;
    assert_eq!(&said[..length], b"hello Eve: hi");

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("named.sock");
    let (greeter, _events) = Greeter::new();
    let mut stream = Server::<Named<UnixStream>, Sync, _>::bind(&path, greeter)?;
    let mut client = std::os::unix::net::UnixStream::connect(&path)?;
    client.write_all(b"I am Kim\n")?;
    client.shutdown(Shutdown::Write)?;
    stream.handle_request()?;
    let mut said = String::new();
    client.read_to_string(&mut said)?;
    assert_eq!(said, "hello Kim: ");
    stream.close()?;
    assert!(!path.exists(), "server_close has been passed on");
    packets.close()?;
    Ok(())
}

#[test]
fn a_plain_handler_does_not_see_the_name_and_need_not() -> io::Result<()> {
    let named = Named(Tcp::options().bind("127.0.0.1:0")?);
    let server = Server::new_fn(named, Threading::new(), |introduced| {
        writeln!(introduced.request, "{}", introduced.name.len())
    })?;
    let running = server.spawn()?;
    assert_eq!(ask(running.local_addr()?, "I am four\n")?, "4\n");
    running.stop();
    end(running)
}
