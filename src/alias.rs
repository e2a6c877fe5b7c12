//! The twelve servers of Python's module, under its names in Rust's spelling.

use crate::concurrency::{Forking, Sync, Threading};
use crate::server::Server;
use crate::transport::{Tcp, Udp, UnixDatagram, UnixStream};

/// Python's `TCPServer`: connections over IP, one after the other.
#[doc(alias = "TCPServer")]
pub type TcpServer<H> = Server<Tcp, Sync, H>;

/// Python's `UDPServer`: packets over IP, one after the other.
#[doc(alias = "UDPServer")]
pub type UdpServer<H> = Server<Udp, Sync, H>;

/// Python's `UnixStreamServer`: connections over a Unix socket, one after the other.
pub type UnixStreamServer<H> = Server<UnixStream, Sync, H>;

/// Python's `UnixDatagramServer`: packets over a Unix socket, one after the other.
pub type UnixDatagramServer<H> = Server<UnixDatagram, Sync, H>;

/// Python's `ThreadingTCPServer`: connections over IP, each on a thread of its own.
#[doc(alias = "ThreadingTCPServer")]
pub type ThreadingTcpServer<H> = Server<Tcp, Threading, H>;

/// Python's `ThreadingUDPServer`: packets over IP, each on a thread of its own.
#[doc(alias = "ThreadingUDPServer")]
pub type ThreadingUdpServer<H> = Server<Udp, Threading, H>;

/// Python's `ThreadingUnixStreamServer`: connections over a Unix socket, each on a thread of its
/// own.
pub type ThreadingUnixStreamServer<H> = Server<UnixStream, Threading, H>;

/// Python's `ThreadingUnixDatagramServer`: packets over a Unix socket, each on a thread of its own.
pub type ThreadingUnixDatagramServer<H> = Server<UnixDatagram, Threading, H>;

/// Python's `ForkingTCPServer`: connections over IP, each in a process of its own.
#[doc(alias = "ForkingTCPServer")]
pub type ForkingTcpServer<H> = Server<Tcp, Forking, H>;

/// Python's `ForkingUDPServer`: packets over IP, each in a process of its own.
#[doc(alias = "ForkingUDPServer")]
pub type ForkingUdpServer<H> = Server<Udp, Forking, H>;

/// Python's `ForkingUnixStreamServer`: connections over a Unix socket, each in a process of its
/// own.
pub type ForkingUnixStreamServer<H> = Server<UnixStream, Forking, H>;

/// Python's `ForkingUnixDatagramServer`: packets over a Unix socket, each in a process of its own.
pub type ForkingUnixDatagramServer<H> = Server<UnixDatagram, Forking, H>;
