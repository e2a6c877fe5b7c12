#![doc = include_str!("../README.md")]
//!
//! [`TcpServer`]: crate::TcpServer
//! [`ThreadingTcpServer`]: crate::ThreadingTcpServer
//! [`ForkingTcpServer`]: crate::ForkingTcpServer
//! [`UdpServer`]: crate::UdpServer
//! [`ThreadingUdpServer`]: crate::ThreadingUdpServer
//! [`ForkingUdpServer`]: crate::ForkingUdpServer
//! [`UnixStreamServer`]: crate::UnixStreamServer
//! [`ThreadingUnixStreamServer`]: crate::ThreadingUnixStreamServer
//! [`ForkingUnixStreamServer`]: crate::ForkingUnixStreamServer
//! [`UnixDatagramServer`]: crate::UnixDatagramServer
//! [`ThreadingUnixDatagramServer`]: crate::ThreadingUnixDatagramServer
//! [`ForkingUnixDatagramServer`]: crate::ForkingUnixDatagramServer
//! [`Transport`]: crate::Transport
//! [`Concurrency`]: crate::Concurrency
//! [`Handler`]: crate::Handler
//! [`Sync`]: crate::Sync
//! [`Threading`]: crate::Threading
//! [`Forking`]: crate::Forking
//! [`ForkServer`]: crate::ForkServer
//! [`ThreadPool`]: crate::ThreadPool
//! [`Selecting`]: crate::Selecting
//! [`PreForking`]: crate::PreForking
//! [`Drain`]: crate::Drain
//! [`Limits`]: crate::Limits
//! [`Deadlines`]: crate::Deadlines
//! [`Hangup`]: crate::Hangup
//! [`Authenticated`]: crate::Authenticated
//! [`Channel`]: crate::Channel
//! [`Counters`]: crate::Counters
//! [`FinishInChild`]: crate::FinishInChild
//! [`Live`]: crate::Live
//! [`Beside`]: crate::Beside
//! [`Many`]: crate::Many
//! [`Limits::penalty`]: crate::Limits::penalty
//! [`StopAfterPanics`]: crate::StopAfterPanics
//! [`CrashOnPanic`]: crate::CrashOnPanic
//! [`event`]: crate::Handler::event
//! [`panicked`]: crate::Handler::panicked
//! [`child_init`]: crate::Handler::child_init
//! [`StopHandle`]: crate::StopHandle
//! [`Live`]: crate::Live
//! [`ReadLine`]: crate::ReadLine
//! [`Tcp::from_socket`]: crate::Tcp::from_socket
//! [`serve_forever`]: crate::Server::serve_forever
//! [`close`]: crate::Server::close
//! [`spawn`]: crate::Server::spawn
//! [`verify_request`]: crate::Handler::verify_request
//! [`setup`]: crate::Handler::setup
//! [`finish`]: crate::Handler::finish
//! [`handle_error`]: crate::Handler::handle_error
//! [`handle_timeout`]: crate::Handler::handle_timeout
//! [`service_actions`]: crate::Handler::service_actions
//! [`timeout`]: crate::Options::timeout
//! [`BufRead`]: std::io::BufRead
//! [`from_python`]: crate::from_python
//! [`Write`]: std::io::Write

#[cfg(not(unix))]
compile_error!(
    "socketserver serves Unix sockets and forks: it is for Unix systems, and tested on Linux"
);

/// The rustls that [`Tls`] is made of, to configure it with: a 0.x crate, whose next version will be
/// one of this crate's.
#[cfg(feature = "tls")]
pub use rustls;

#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
mod activation;
mod admission;
mod alias;
mod authentication;
mod concurrency;
mod control;
mod counters;
mod drain;
mod event;
mod failure;
mod fault;
mod handler;
mod in_flight;
mod live;
mod packed;
mod request;
#[cfg(feature = "rpc")]
pub mod rpc;
mod running;
mod server;
mod session;
mod sys;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
mod worker;

#[doc = include_str!("../docs/from-python.md")]
pub mod from_python {}

#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
pub use activation::{HandOver, Inherited, Offered, notify};
pub use admission::{Limits, PeerIp, PeerUid, Refuse, WhenFull, by_ip, by_prefix, by_uid};
#[cfg(feature = "proxy")]
pub use admission::{Network, NotANetwork, from_networks};
pub use alias::*;
#[cfg(feature = "hmac")]
pub use authentication::SharedKeys;
pub use authentication::{
    Authenticate, Authenticated, AuthenticatedRequest, Certificates, Denied, HasIdentity,
    PeerCertificate, PeerCredentials, Users,
};
pub use concurrency::{
    Concurrency, FinishInChild, ForkServer, Forking, InWorker, PoolSize, PreForking, Shareable,
    Sync, ThreadPool, Threading, Workers,
};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use concurrency::{InProcess, Selecting};
pub use control::{StopHandle, Waiter};
pub use counters::{Counters, ProcessCounts};
pub use drain::{Closing, Drain, Due, Report};
pub use event::{Event, Refusal};
pub use failure::{Failure, FailureKind, Stage};
#[cfg(feature = "log")]
pub use handler::Logged;
pub use handler::{
    Begun, CrashOnPanic, Guarded, Handler, HandlerFn, InHalves, Next, OnPanic, StopAfterPanics,
    frame_missing, handler_fn, line_missing,
};
pub use in_flight::{Activity, Cutter, Ticket};
pub use live::{Live, Served};
pub use request::{
    Amplifies, ChannelRequest, Connection, Credentials, Datagram, DatagramSocket, DeadlinePassed,
    Deadlines, Either, Hangup, LineTooLong, Progress, ReadLine, ReplyTooLong, Request,
    RequestTooLong, Room, Selectable, StreamRequest, StreamSocket, TcpRequest, Truncation,
    UdpRequest, UnixDatagramRequest, UnixStreamRequest,
};
#[cfg(feature = "proxy")]
pub use request::{BadProxyHeader, Proxiable, ProxiedRequest, ProxyHeader};
#[cfg(feature = "tls")]
pub use request::{HandshakeFailed, HandshakeReason, TlsRequest, TlsStream, TlsTruncated};
pub use running::Running;
pub use server::Server;
pub use session::{Outcome, Puller, Session, Taken};
pub use sys::{AssumeForkSafe, ForkRefused, ForkedChild};
#[cfg(feature = "proxy")]
pub use transport::Proxied;
pub use transport::{
    AddressFamily, Bind, Bound, Channel, DatagramTransport, ForkRole, IpTransport, LocalAddr,
    Options, Portable, Resumable, Sender, StreamTransport, Tcp, ToIpAddrs, ToUnixAddr, Transport,
    Udp, UnixDatagram, UnixStream, UnixTransport,
};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use transport::{Beside, Listeners, Many};
#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
pub use transport::{Inheritable, Show, SocketFile};
#[cfg(feature = "tls")]
pub use transport::{Tls, TlsConfig};
pub use worker::{Ending, Job, Worker};
