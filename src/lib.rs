#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc = include_str!("../README.md")]

#[cfg(not(unix))]
compile_error!(
    "socketserver serves Unix sockets and forks: it is for Unix systems, and tested on Linux"
);

mod alias;
mod concurrency;
mod control;
mod failure;
mod handler;
mod request;
mod running;
mod server;
mod session;
mod sys;
mod transport;
mod worker;

pub use alias::*;
pub use concurrency::{Concurrency, Forking, Sync, Threading};
pub use control::{StopHandle, Waiter};
pub use failure::{Failure, FailureKind, Stage};
pub use handler::{Handler, HandlerFn, Next, handler_fn};
pub use request::{
    Datagram, DatagramSocket, LineTooLong, ReadLine, Request, StreamRequest, StreamSocket,
    TcpRequest, UdpRequest, UnixDatagramRequest, UnixStreamRequest,
};
pub use running::Running;
pub use server::Server;
pub use session::{Outcome, Session, Taken};
pub use sys::{ForkRefused, ForkedChild};
pub use transport::{
    AddressFamily, Bind, Bound, DatagramTransport, IpTransport, LocalAddr, Options,
    StreamTransport, Tcp, ToIpAddrs, ToUnixAddr, Transport, Udp, UnixDatagram, UnixStream,
};
pub use worker::{Ending, Worker};
