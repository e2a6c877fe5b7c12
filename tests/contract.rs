//! What the types promise beside their methods: which threads they may go to, what can be printed.

use std::error::Error;
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use socketserver::{
    Activity, AddressFamily, Amplifies, AssumeForkSafe, Begun, Beside, Bound, Closing, Counters,
    CrashOnPanic, Credentials, Datagram, DeadlinePassed, Deadlines, Drain, Due, Either, Ending,
    Event, Failure, FailureKind, FinishInChild, ForkRefused, ForkRole, ForkServer, ForkedChild,
    Forking, Guarded, Handler, HandlerFn, Hangup, Job, Limits, LineTooLong, Listeners, Live, Many,
    Next, OnPanic, Options, Outcome, PoolSize, PreForking, ProcessCounts, Progress, Puller,
    Refusal, Refuse, ReplyTooLong, Report, RequestTooLong, Room, Running, Selecting, Served,
    Server, Session, Stage, StopAfterPanics, StopHandle, StreamRequest, Sync, Taken, Tcp,
    TcpRequest, TcpServer, ThreadPool, Threading, ThreadingUdpServer, Ticket, Truncation, Udp,
    UdpRequest, UnixDatagram, UnixDatagramRequest, UnixStream, UnixStreamRequest, Waiter, WhenFull,
    Worker, Workers, handler_fn,
};

fn assert_send<T: Send>() {}
fn assert_sync<T: std::marker::Sync>() {}
fn assert_debug<T: Debug>() {}
fn assert_clone<T: Clone>() {}
fn assert_error<T: Error + 'static>() {}

fn assert_send_sync_debug<T: Send + std::marker::Sync + Debug>() {}

/// Compiles only while `$type` does not implement `$trait`: two impls would be ambiguous.
macro_rules! assert_not {
    ($type:ty: $trait:path) => {{
        trait Ambiguous<A> {
            fn here() {}
        }
        impl<T> Ambiguous<()> for T {}
        struct Implements;
        impl<T: $trait> Ambiguous<Implements> for T {}
        <$type as Ambiguous<_>>::here();
    }};
}

#[test]
fn who_is_let_in_goes_anywhere() {
    use socketserver::{Authenticated, AuthenticatedRequest, Certificates, Denied, Users};
    assert_send_sync_debug::<Authenticated<UnixStream, Users>>();
    assert_send_sync_debug::<AuthenticatedRequest<UnixStreamRequest, Users>>();
    assert_send_sync_debug::<Users>();
    assert_clone::<Users>();
    assert_send_sync_debug::<Certificates<fn(&[u8]) -> Option<u8>>>();
    assert_error::<Denied>();
    assert_send_sync_debug::<Denied>();
}

#[cfg(feature = "hmac")]
#[test]
fn shared_keys_go_anywhere_and_are_not_printed() -> io::Result<()> {
    use socketserver::SharedKeys;
    assert_send_sync_debug::<SharedKeys<String>>();
    let keys = SharedKeys::new([("name", [7; 32]), ("other", [8; 32])])?;
    assert_eq!(format!("{keys:?}"), "SharedKeys(2)");
    for wrong in [vec![], vec![("short", vec![7; 31])]] {
        let error = SharedKeys::new(wrong).err().map(|error| error.kind());
        assert_eq!(error, Some(io::ErrorKind::InvalidInput));
    }
    Ok(())
}

#[cfg(feature = "proxy")]
#[test]
fn what_comes_through_proxies_goes_anywhere() {
    use socketserver::{
        BadProxyHeader, Network, NotANetwork, Proxied, ProxiedRequest, ProxyHeader,
    };
    assert_send_sync_debug::<Proxied<Tcp>>();
    assert_send_sync_debug::<ProxiedRequest<TcpRequest>>();
    assert_send_sync_debug::<ProxyHeader>();
    assert_send_sync_debug::<Network>();
    assert_error::<NotANetwork>();
    assert_error::<BadProxyHeader>();
    let wrong = |text: &str| text.parse::<Network>().err();
    assert_eq!(wrong("192.0.2.0/33"), Some(NotANetwork::Bits));
    assert_eq!(wrong("192.0.2.0/"), Some(NotANetwork::Bits));
    assert_eq!(wrong("::/129"), Some(NotANetwork::Bits));
    assert_eq!(wrong("192.0.2.7/24"), Some(NotANetwork::Host));
    assert_eq!(wrong("localhost/8"), Some(NotANetwork::Address));
    for right in ["0.0.0.0/0", "192.0.2.7", "192.0.2.7/32", "::/0", "2001:db8::/32"] {
        assert_eq!(wrong(right), None, "{right}");
    }
}

#[cfg(feature = "rpc")]
#[test]
fn what_remote_procedures_are_made_of_goes_anywhere() {
    use socketserver::rpc::{
        AuthStat, AuthSys, BadRecord, Bounded, Call, Credentials, Endpoint, Fault, Framing,
        Garbage, NotACall, Protocol, Registered, Rpc,
    };
    assert_send_sync_debug::<Rpc<()>>();
    assert_clone::<Rpc<()>>();
    assert_send_sync_debug::<Registered<Tcp>>();
    assert_send_sync_debug::<Call<'_>>();
    assert_send_sync_debug::<Credentials>();
    assert_send_sync_debug::<AuthSys>();
    assert_send_sync_debug::<Bounded<String, 1>>();
    assert_send_sync_debug::<Framing>();
    assert_send_sync_debug::<(Endpoint, Protocol)>();
    assert_send_sync_debug::<AuthStat>();
    assert_error::<Fault>();
    assert_error::<Garbage>();
    assert_error::<NotACall>();
    assert_error::<BadRecord>();
}

/// A handler with nothing in it.
struct Stateless;

impl<R> Handler<R> for Stateless {
    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        Ok(Next::Done)
    }
}

/// Two kinds of transports, one of which may grow.
type Two = Beside<Many<Tcp>, UnixStream>;

macro_rules! for_the_lattice {
    ($check:ident: $($transport:ident)*) => {$(
        $check::<Server<$transport, Sync, Stateless>>();
        $check::<Server<$transport, Threading, Stateless>>();
        $check::<Server<$transport, ThreadPool, Stateless>>();
        $check::<Server<$transport, Forking, Stateless>>();
        $check::<Server<$transport, ForkServer, Stateless>>();
        $check::<Server<$transport, FinishInChild<Forking>, Stateless>>();
        $check::<Server<$transport, PreForking<Sync>, Stateless>>();
        $check::<Server<$transport, PreForking<Threading>, Stateless>>();
        $check::<Running<$transport, Sync, Stateless>>();
        $check::<Running<$transport, Threading, Stateless>>();
        $check::<Running<$transport, ThreadPool, Stateless>>();
        $check::<Running<$transport, Forking, Stateless>>();
        $check::<Server<$transport, Selecting<Sync>, Stateless>>();
        $check::<Running<$transport, Selecting<Threading>, Stateless>>();
        $check::<Options<$transport>>();
        $check::<$transport>();
    )*};
}

#[test]
fn servers_and_transports_go_to_any_thread() {
    for_the_lattice!(assert_send_sync_debug: Tcp Udp UnixStream UnixDatagram);
    for_the_lattice!(assert_send_sync_debug: Two);
    assert_send_sync_debug::<Many<Udp>>();
    assert_send_sync_debug::<Listeners<Udp>>();
    assert_clone::<Listeners<Udp>>();
    assert_send_sync_debug::<Bound<Tcp>>();
    assert_send_sync_debug::<Bound<UnixStream>>();
}

#[test]
fn a_channel_goes_where_its_jobs_go() {
    use socketserver::{Channel, ChannelRequest, Sender};
    assert_send_sync_debug::<Channel<u8>>();
    assert_send_sync_debug::<Sender<u8>>();
    assert_send_sync_debug::<ChannelRequest<u8>>();
    assert_clone::<Channel<String>>();
    // What is sent need be no more than `Send`, nor has it to be printed.
    assert_send::<Sender<std::cell::Cell<u8>>>();
    assert_sync::<Channel<std::cell::Cell<u8>>>();
    assert_debug::<Sender<fn()>>();
    assert_not!(Channel<std::rc::Rc<u8>>: Send);
    assert_eq!(size_of::<ChannelRequest<u64>>(), size_of::<u64>());
}

#[test]
fn requests_go_to_any_thread() {
    assert_send_sync_debug::<TcpRequest>();
    assert_send_sync_debug::<UdpRequest>();
    assert_send_sync_debug::<UnixStreamRequest>();
    assert_send_sync_debug::<UnixDatagramRequest>();
    assert_send_sync_debug::<Either<TcpRequest, UdpRequest>>();
    // Whatever tells the peer.
    assert_send_sync_debug::<StreamRequest<TcpStream, ()>>();
    assert_send_sync_debug::<Datagram<UdpSocket, ()>>();
}

#[test]
fn what_a_strategy_moves_to_a_thread_goes_there() {
    assert_send_sync_debug::<Worker<Stateless>>();
    assert_clone::<Worker<Stateless>>();
    assert_send::<Session<Tcp, Stateless>>();
    assert_debug::<Session<Tcp, Stateless>>();
    // Each thread pulls through a puller of its own.
    assert_not!(Session<Tcp, Stateless>: std::marker::Sync);
    assert_send_sync_debug::<Puller<Tcp, Stateless>>();
    assert_clone::<Puller<Tcp, Stateless>>();
    assert_send_sync_debug::<Job<TcpRequest>>();
    assert_send_sync_debug::<Waiter<'static>>();
}

#[test]
fn a_stop_handle_goes_to_any_thread_and_outlives_the_server() {
    fn assert_static<T: 'static>() {}
    assert_send_sync_debug::<StopHandle>();
    assert_clone::<StopHandle>();
    assert_static::<StopHandle>();
}

#[test]
fn values_that_tell_what_happened_go_anywhere() {
    assert_send_sync_debug::<Outcome>();
    assert_send_sync_debug::<Ending>();
    assert_send_sync_debug::<Next>();
    assert_send_sync_debug::<Begun<u8>>();
    assert_send_sync_debug::<Stage>();
    assert_send_sync_debug::<FailureKind>();
    assert_send_sync_debug::<Taken<TcpRequest>>();
    assert_send_sync_debug::<AddressFamily>();
    assert_send_sync_debug::<Truncation>();
    assert_send_sync_debug::<Credentials>();
    assert_send_sync_debug::<Amplifies>();
    assert_send_sync_debug::<ForkRefused>();
    assert_send_sync_debug::<ForkRole>();
    assert_send_sync_debug::<AssumeForkSafe>();
    assert_send_sync_debug::<ForkedChild<'_>>();
    assert_send_sync_debug::<Event>();
    assert_send_sync_debug::<Refusal>();
    assert_send_sync_debug::<Report>();
    assert_send_sync_debug::<Due>();
    assert_send_sync_debug::<OnPanic>();
    assert_send_sync_debug::<LineTooLong>();
    assert_send_sync_debug::<Deadlines>();
    assert_send_sync_debug::<DeadlinePassed>();
    assert_send_sync_debug::<Hangup>();
    assert_send_sync_debug::<RequestTooLong>();
    assert_send_sync_debug::<ReplyTooLong>();
    assert_send_sync_debug::<Progress>();
    assert_send_sync_debug::<Room>();
    assert_send_sync_debug::<HandlerFn<fn(&mut TcpRequest) -> io::Result<()>>>();
    // A panic's payload need not be Sync.
    assert_send::<Failure>();
    assert_debug::<Failure>();
}

#[test]
fn what_a_server_is_given_goes_anywhere() {
    assert_send_sync_debug::<Limits<Tcp>>();
    assert_send_sync_debug::<WhenFull>();
    assert_send_sync_debug::<Refuse>();
    assert_send_sync_debug::<Drain>();
    assert_send_sync_debug::<Counters>();
    assert_clone::<Counters>();
    assert_send_sync_debug::<ProcessCounts>();
    assert_send_sync_debug::<Live>();
    assert_clone::<Live>();
    assert_send_sync_debug::<Served>();
    assert_send_sync_debug::<StopAfterPanics<()>>();
    assert_send_sync_debug::<CrashOnPanic<()>>();
    #[cfg(feature = "log")]
    assert_send_sync_debug::<socketserver::Logged<()>>();
    #[cfg(feature = "activation")]
    {
        use socketserver::{HandOver, Inherited, Offered, SocketFile};
        for_the_lattice!(assert_send_sync_debug: Handed);
        type Handed = Offered<Two>;
        assert_send_sync_debug::<HandOver>();
        assert_send_sync_debug::<Inherited>();
        assert_send_sync_debug::<SocketFile>();
    }
    // What strategies and requests meet.
    assert_send_sync_debug::<Ticket>();
    assert_send_sync_debug::<(Activity, socketserver::Cutter)>();
    assert_debug::<Closing<Stateless>>();
}

#[test]
fn strategies_are_plain_values() {
    assert_send_sync_debug::<Sync>();
    assert_send_sync_debug::<Threading>();
    assert_send_sync_debug::<ThreadPool>();
    assert_send_sync_debug::<Forking>();
    assert_send_sync_debug::<ForkServer>();
    assert_send_sync_debug::<FinishInChild<Forking>>();
    assert_send_sync_debug::<FinishInChild<ForkServer>>();
    assert_eq!(size_of::<FinishInChild<Forking>>(), size_of::<Forking>());
    assert_send_sync_debug::<PreForking<Sync>>();
    assert_send_sync_debug::<Workers>();
    assert_clone::<Workers>();
    assert_send_sync_debug::<PoolSize>();
    assert_clone::<PoolSize>();
    assert_send_sync_debug::<Selecting<Sync>>();
    assert_send_sync_debug::<Selecting<Threading>>();
    assert_clone::<Sync>();
    assert_clone::<Selecting<Sync>>();
}

#[test]
fn errors_are_errors() {
    assert_error::<Failure>();
    assert_error::<ForkRefused>();
    assert_error::<LineTooLong>();
    assert_error::<DeadlinePassed>();
    assert_error::<RequestTooLong>();
    assert_error::<ReplyTooLong>();
    assert_error::<Amplifies>();
}

#[test]
#[cfg(feature = "tls")]
fn tls_goes_where_its_transport_goes() {
    use socketserver::{
        HandshakeFailed, HandshakeReason, Portable, Selectable, Tls, TlsConfig, TlsRequest,
        TlsTruncated,
    };
    fn assert_portable<T: Portable>() {}
    fn assert_selectable<R: Selectable>() {}
    assert_send_sync_debug::<Tls<Tcp>>();
    assert_send_sync_debug::<TlsConfig>();
    assert_clone::<TlsConfig>();
    assert_send_sync_debug::<HandshakeReason>();
    assert_error::<HandshakeFailed>();
    assert_error::<TlsTruncated>();
    assert_send::<TlsRequest<TcpRequest>>();
    assert_debug::<TlsRequest<TcpRequest>>();
    assert_portable::<Tls<UnixStream>>();
    assert_selectable::<TlsRequest<UnixStreamRequest>>();
    // As plain a value as the transport inside, and a pointer.
    assert_eq!(size_of::<Tls<Tcp>>(), size_of::<Tcp>() + size_of::<usize>());
}

#[test]
fn a_server_is_no_freer_than_its_handler() {
    type Counting = HandlerFn<std::cell::Cell<u8>>;
    assert_not!(Server<Tcp, Sync, Counting>: std::marker::Sync);
    assert_not!(Server<Tcp, Sync, std::rc::Rc<u8>>: Send);
    assert_not!(Worker<std::rc::Rc<u8>>: Send);
    assert_sync::<HandlerFn<u8>>();
}

#[test]
fn a_guarded_handler_is_as_free_as_the_handler() {
    assert_send_sync_debug::<Guarded<HandlerFn<u8>>>();
    assert_clone::<Guarded<u8>>();
    assert_not!(Guarded<std::rc::Rc<u8>>: Send);
    assert_eq!(size_of::<Guarded<Stateless>>(), size_of::<Deadlines>());
}

/// Answers with the letter it was made with.
struct Letter(u8);

impl<R: Write> Handler<R> for Letter {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        request.write_all(&[self.0])?;
        Ok(Next::Done)
    }
}

#[test]
fn handlers_behind_a_box_serve() -> io::Result<()> {
    let closure = handler_fn(|conn: &mut TcpRequest| conn.write_all(b"b"));
    let handlers: [Box<dyn Handler<TcpRequest>>; 2] = [Box::new(Letter(b'a')), Box::new(closure)];
    for (handler, letter) in handlers.into_iter().zip(["a", "b"]) {
        let mut server: TcpServer<_> = Server::bind("127.0.0.1:0", handler)?;
        let mut client = TcpStream::connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let mut said = String::new();
        client.read_to_string(&mut said)?;
        assert_eq!(said, letter);
    }
    Ok(())
}

#[test]
fn a_shared_handler_serves_two_servers_on_threads() -> io::Result<()> {
    type Shared = Arc<dyn Handler<UdpRequest> + Send + std::marker::Sync>;
    let handler: Shared = Arc::new(Letter(b'x'));
    let running = [0; 2].map(|_| {
        ThreadingUdpServer::bind("127.0.0.1:0", Arc::clone(&handler)).and_then(Server::spawn)
    });
    for running in running {
        let running = running?;
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.set_read_timeout(Some(Duration::from_secs(30)))?;
        client.send_to(b"?", running.local_addr()?)?;
        let mut said = [0; 8];
        let length = client.recv(&mut said)?;
        assert_eq!(&said[..length], b"x");
        running.stop();
        running.join()?.close()?;
    }
    Ok(())
}
