//! The requests that calls come in.

use std::io::{BufRead, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net as unix;

use crate::authentication::{Authenticate, AuthenticatedRequest};
use crate::request::{Datagram, Either, StreamRequest};

/// How messages are told apart in what a request is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// They are records of a stream, one after the other.
    Records,
    /// There is one, and it is all there is: [`fill_buf`](BufRead::fill_buf) gives it as a whole.
    Packet,
}

/// A request that calls can come in: the connections and packets of this crate, and those that wrap
/// them and pass this on.
#[diagnostic::on_unimplemented(
    message = "no remote procedure calls come in `{Self}`",
    label = "neither records of a stream nor a packet",
    note = "calls come over `Tcp`, `Udp`, `UnixStream` and `UnixDatagram`, over two of them \
            `Beside` each other, and over transports that wrap these; implement `RpcRequest` for a \
            request of your own"
)]
pub trait RpcRequest: BufRead + Write {
    /// How messages are told apart.
    fn framing(&self) -> Framing;

    /// Where the caller is; `None` over Unix sockets, where it is on this machine.
    fn caller(&self) -> Option<SocketAddr>;
}

macro_rules! calls_come_in {
    ($framing:ident: $($request:ident<$socket:ty, $peer:ty>, $caller:expr;)*) => {$(
        impl RpcRequest for $request<$socket, $peer> {
            fn framing(&self) -> Framing {
                Framing::$framing
            }

            fn caller(&self) -> Option<SocketAddr> {
                $caller(self)
            }
        }
    )*};
}

calls_come_in! { Records:
    StreamRequest<TcpStream, SocketAddr>, |request: &Self| Some(*request.peer());
    StreamRequest<unix::UnixStream, unix::SocketAddr>, |_| None;
}

calls_come_in! { Packet:
    Datagram<UdpSocket, SocketAddr>, |request: &Self| Some(*request.peer());
    Datagram<unix::UnixDatagram, Option<unix::SocketAddr>>, |_| None;
}

#[diagnostic::do_not_recommend]
impl<A: RpcRequest, B: RpcRequest> RpcRequest for Either<A, B> {
    fn framing(&self) -> Framing {
        match self {
            Self::First(request) => request.framing(),
            Self::Second(request) => request.framing(),
        }
    }

    fn caller(&self) -> Option<SocketAddr> {
        match self {
            Self::First(request) => request.caller(),
            Self::Second(request) => request.caller(),
        }
    }
}

/// Passes on what the request inside says.
macro_rules! as_inside {
    (<R $(, $G:ident: $bound:path)?> $request:ty, $caller:expr) => {
        #[diagnostic::do_not_recommend]
        impl<R: RpcRequest $(, $G: $bound)?> RpcRequest for $request
        where
            Self: BufRead + Write,
        {
            fn framing(&self) -> Framing {
                self.get_ref().framing()
            }

            fn caller(&self) -> Option<SocketAddr> {
                $caller(self)
            }
        }
    };
}

as_inside!(<R, A: Authenticate<R>> AuthenticatedRequest<R, A>, |it: &Self| it.get_ref().caller());

#[cfg(feature = "tls")]
as_inside!(<R> crate::request::TlsRequest<R>, |it: &Self| it.get_ref().caller());

// Where the proxy says that the caller is.
#[cfg(feature = "proxy")]
as_inside!(<R> crate::request::ProxiedRequest<R>, |it: &Self| {
    it.header().map_or_else(|| it.get_ref().caller(), |header| header.source())
});
