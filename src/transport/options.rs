//! What can be chosen before a transport is bound; each option exists only where it means
//! something.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::Socket;

use super::AddressFamily;
use crate::request::{Hangup, PacketSettings, StreamSettings, Truncation};
use crate::sys::Wanted;

/// Python's `io.DEFAULT_BUFFER_SIZE`, which its `rbufsize` of -1 means.
const DEFAULT_BUFFER: usize = 8192;
/// The longest payload a UDP datagram over IPv4 or IPv6 can have is a little shorter.
const LONGEST_PACKET: usize = 65_535;

/// A stop may have to wait for one.
const LONGEST_SPIN: Duration = Duration::from_millis(10);

/// Far more than any datagram holds or any line needs.
const LARGEST_BUFFER: usize = 1 << 30;

/// The options of a transport, made by its `options()` and used up by `bind`, so that none can be
/// set too late: [`Tcp::options`](crate::Tcp::options), [`Udp::options`](crate::Udp::options),
/// [`UnixStream::options`](crate::UnixStream::options),
/// [`UnixDatagram::options`](crate::UnixDatagram::options).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use socketserver::{Server, Tcp, Threading};
///
/// let tcp = Tcp::options()
///     .request_queue_size(128)
///     .disable_nagle_algorithm(true)
///     .timeout(Duration::from_secs(30))
///     .bind("127.0.0.1:0")?;
/// let server = Server::new_fn(tcp, Threading::new(), |_conn| Ok(()))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "options do nothing before `bind`"]
pub struct Options<T> {
    // No field has the name of its method: where an option does not exist, the compiler would
    // speak of a private field instead.
    pub(super) family: Option<AddressFamily>,
    pub(super) reuse_address: Option<bool>,
    pub(super) reuse_port: bool,
    pub(crate) backlog: u32,
    pub(super) claims: bool,
    pub(super) file_mode: Option<u32>,
    pub(crate) packet: PacketSettings,
    pub(crate) stream: StreamSettings,
    #[cfg(feature = "testing")]
    pub(crate) memory: crate::testing::Script,
    transport: PhantomData<fn() -> T>,
}

impl<T> Options<T> {
    pub(crate) fn new() -> Self {
        Self {
            family: None,
            reuse_address: None,
            reuse_port: false,
            // Linux cuts it to /proc/sys/net/core/somaxconn, which is 4096 since 5.4.
            backlog: 4096,
            claims: false,
            file_mode: None,
            packet: PacketSettings {
                size: LONGEST_PACKET,
                truncation: Truncation::Deliver,
                amplification: None,
                wanted: Wanted::Nothing,
                spin: None,
            },
            stream: StreamSettings {
                timeout: None,
                rbufsize: DEFAULT_BUFFER,
                wbufsize: 0,
                nodelay: false,
                urgent_in_line: false,
                hangup: Hangup::default(),
                spin: None,
            },
            #[cfg(feature = "testing")]
            memory: crate::testing::Script::default(),
            transport: PhantomData,
        }
    }

    /// Says of the options what is wrong with them, before a socket is made.
    pub(crate) fn check(&self) -> io::Result<()> {
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if self.backlog == 0 {
            return wrong("a request_queue_size of 0 lets nobody connect; it has to be at least 1");
        }
        if self.packet.size == 0 {
            return wrong(
                "a max_packet_size of 0 cuts packets to nothing; it has to be at least 1",
            );
        }
        if self.packet.amplification == Some(0) {
            return wrong("a max_amplification of 0 forbids every reply; it has to be at least 1");
        }
        if self.file_mode.is_some_and(|mode| mode > 0o777) {
            return wrong("the mode of a socket file is at most 0o777, and written in octal");
        }
        if self.stream.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return wrong("a timeout of zero leaves no time for anything; it has to be longer");
        }
        if self.stream.spin.is_some_and(|time| time > LONGEST_SPIN) {
            return wrong("a spin is for microseconds; it can be 10 ms at most");
        }
        if [self.packet.size, self.stream.rbufsize, self.stream.wbufsize]
            .iter()
            .any(|size| *size > LARGEST_BUFFER)
        {
            return wrong("a buffer can have 1 GiB at most: max_packet_size, rbufsize, wbufsize");
        }
        self.stream.hangup.check()
    }
}

pub(super) fn listen(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// Options of all transports.
impl<T> Options<T> {
    /// How long a read of a connection, or a look for the next packet, that finds nothing looks
    /// again and again before it sleeps; 10 ms at most. By default it sleeps at once, and should
    /// where anything else has use for the processor.
    ///
    /// To be woken takes the system tens of microseconds, which is most of the time of an exchange
    /// with one peer that answers at once: with 100 µs it had two and a half times as many exchanges
    /// per second. The price is a processor that is busy for all of that time, whether anybody speaks
    /// or not: one for each thread that reads. With more readers than processors they take it from
    /// each other, and everybody waits longer. A stop waits for as long.
    #[doc(alias("busy_poll", "SO_BUSY_POLL"))]
    pub fn spin(mut self, time: Duration) -> Self {
        self.stream.spin = Some(time);
        self.packet.spin = Some(time);
        self
    }
}

/// Options of transports over IP.
impl<T> Options<T> {
    /// Serves this family, in place of the one that the address has: Python's `address_family`.
    ///
    /// An address of the other family is refused. [`AddressFamily::Dual`] is how one socket
    /// serves IPv6 and IPv4.
    pub fn address_family(mut self, family: AddressFamily) -> Self
    where
        T: IpTransport,
    {
        self.family = Some(family);
        self
    }

    /// Whether to bind although connections of an earlier server on this port linger
    /// (`SO_REUSEADDR`).
    ///
    /// For [`Tcp`](crate::Tcp) on by default, but for port 0, where it could only make two servers
    /// share an ephemeral port; for [`Udp`](crate::Udp) off. Python's default is off for both.
    pub fn allow_reuse_address(mut self, allow: bool) -> Self
    where
        T: IpTransport,
    {
        self.reuse_address = Some(allow);
        self
    }

    /// Whether several sockets may be bound to this address and share what arrives
    /// (`SO_REUSEPORT`). Off by default: a forgotten server would take its share.
    pub fn allow_reuse_port(mut self, allow: bool) -> Self
    where
        T: IpTransport,
    {
        self.reuse_port = allow;
        self
    }
}

/// Options of transports whose requests are connections.
impl<T> Options<T> {
    /// How many connections may wait to be accepted: the backlog of listen(2).
    ///
    /// 4096 by default, which the system may cut (`net.core.somaxconn`). Python's 5 makes
    /// connections of a burst wait for seconds, or fail.
    #[doc(alias = "backlog")]
    pub fn request_queue_size(mut self, size: u32) -> Self
    where
        T: StreamTransport,
    {
        self.backlog = size;
        self
    }

    /// How long each single read or write of a connection may take before it fails: the `timeout`
    /// of Python's `StreamRequestHandler`. For ever by default. It is set in the worker. It bounds
    /// no request as a whole: that is what [`Deadlines`](crate::Deadlines) are for.
    pub fn timeout(mut self, timeout: Duration) -> Self
    where
        T: StreamTransport,
    {
        self.stream.timeout = Some(timeout);
        self
    }

    /// The size of the read buffer in bytes, 8192 by default. With 0, every read is one of the
    /// socket, and [`BufRead`](std::io::BufRead)'s methods see one byte at a time.
    pub fn rbufsize(mut self, size: usize) -> Self
    where
        T: StreamTransport,
    {
        self.stream.rbufsize = size;
        self
    }

    /// The size of the write buffer in bytes. With 0, the default, every write goes to the socket
    /// at once.
    pub fn wbufsize(mut self, size: usize) -> Self
    where
        T: StreamTransport,
    {
        self.stream.wbufsize = size;
        self
    }

    /// Whether the peer's urgent byte stays in line, among the others where it was sent
    /// (`SO_OOBINLINE`). Off by default: it is taken out, and to be had by
    /// [`recv_urgent`](crate::StreamRequest::recv_urgent) alone, or lost. What urgent data is, and
    /// is not, says [`is_urgent`](crate::StreamRequest::is_urgent), which needs no option.
    ///
    /// It is set in the worker, for each connection. Where a Unix socket has no urgent data (Linux
    /// before 5.15), nothing is changed by it.
    #[doc(alias("SO_OOBINLINE", "urgent_data"))]
    pub fn out_of_band_inline(mut self, inline: bool) -> Self
    where
        T: StreamTransport,
    {
        self.stream.urgent_in_line = inline;
        self
    }

    /// How connections end. By default so that nothing of a reply is lost: see [`Hangup`].
    #[doc(alias("linger", "shutdown_request"))]
    pub fn hangup(mut self, hangup: Hangup) -> Self
    where
        T: StreamTransport,
    {
        self.stream.hangup = hangup;
        self
    }
}

/// Options of TCP alone.
impl Options<crate::Tcp> {
    /// Whether small writes are sent at once instead of being held back until the peer has
    /// acknowledged the last (`TCP_NODELAY`). Off by default, as in Python.
    #[doc(alias("nodelay", "TCP_NODELAY"))]
    pub fn disable_nagle_algorithm(mut self, disable: bool) -> Self {
        self.stream.nodelay = disable;
        self
    }
}

/// Options of transports whose requests are packets.
impl<T> Options<T> {
    /// The longest packet that is taken whole, in bytes; a longer one is cut, and says so
    /// ([`Datagram::is_truncated`](crate::Datagram::is_truncated)). 65535 by default, which is
    /// more than UDP can carry; Python's is 8192.
    pub fn max_packet_size(mut self, size: usize) -> Self
    where
        T: DatagramTransport,
    {
        self.packet.size = size;
        self
    }

    /// What becomes of longer packets: [`Truncation::Deliver`] by default.
    pub fn on_truncation(mut self, truncation: Truncation) -> Self
    where
        T: DatagramTransport,
    {
        self.packet.truncation = truncation;
        self
    }
}

/// Options of transports over Unix sockets.
impl<T> Options<T> {
    /// Whether to take over the path of a server that is no more: one that was killed, and could
    /// not remove its socket file. Off by default: a path that exists is an error then.
    ///
    /// What is removed is a socket file that no socket of this machine is bound to any more, and
    /// nothing else: no file of another kind, no symbolic link, and no path that any process still
    /// serves. Nor is the path of a server that could not be asked, because its file may not be
    /// connected to. Of several servers that claim one path at once, one gets it, and the others
    /// fail with `AddrInUse`; meanwhile the path with `.lock` appended is a file that they lock.
    ///
    /// A server on another machine that has the directory mounted too is not seen, nor is a program
    /// that removes the file at the same moment without that lock. Abstract names are never stale.
    #[doc(alias = "unlink")]
    pub fn claim_stale(mut self, claim: bool) -> Self
    where
        T: UnixTransport,
    {
        self.claims = claim;
        self
    }

    /// The permissions of the socket file, such as `0o660`: who may write to it may connect, or
    /// send (unix(7)). By default they are what the process's umask leaves of `0o777`.
    ///
    /// They hold from the moment the file is there. Where the umask forbids some of them, a client
    /// of [`UnixDatagram`](crate::UnixDatagram) may be refused for that moment, but none is let in
    /// that should not be. Other systems than Linux can't do this for packets, and refuse.
    #[doc(alias("chmod", "umask"))]
    pub fn mode(mut self, mode: u32) -> Self
    where
        T: UnixTransport,
    {
        self.file_mode = Some(mode);
        self
    }
}

/// Options of UDP alone.
impl Options<crate::Udp> {
    /// How many times the bytes of a packet, IP and UDP headers included, the replies to it may
    /// have together, unless its source has been [verified](crate::UdpRequest::set_verified). 3 by
    /// default, as in QUIC (RFC 9000, section 8.1); `None` lifts the limit.
    ///
    /// The source of a packet can be forged. A server that answers little with much hits whomever
    /// an attacker names with much more than the attacker sends. With 3, the answer to an empty
    /// packet over IPv4 can have 56 bytes. Loopback is no exception, so that what works in a test
    /// works outside.
    pub fn max_amplification(mut self, factor: impl Into<Option<u32>>) -> Self {
        self.packet.amplification = factor.into();
        self
    }
}

/// Options of packets over Unix sockets alone.
impl Options<crate::UnixDatagram> {
    /// Whether to ask who sends each packet
    /// ([`credentials`](crate::UnixDatagramRequest::credentials)). Off by default. Linux alone
    /// tells; elsewhere binding fails with `Unsupported`.
    #[doc(alias("SO_PASSCRED", "SCM_CREDENTIALS"))]
    pub fn credentials(mut self, ask: bool) -> Self {
        self.packet.wanted = if ask { Wanted::Credentials } else { Wanted::Nothing };
        self
    }
}

impl<T> fmt::Debug for Options<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// A transport over IP. Sealed: [`Tcp`](crate::Tcp) and [`Udp`](crate::Udp).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transport over IP, and has no such option",
    label = "an option of `Tcp` and `Udp` alone"
)]
pub trait IpTransport: sealed::Sealed + sealed::Divided {}

/// A transport over Unix sockets. Sealed: [`UnixStream`](crate::UnixStream) and
/// [`UnixDatagram`](crate::UnixDatagram).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transport over Unix sockets, and has no such option",
    label = "an option of `UnixStream` and `UnixDatagram` alone"
)]
pub trait UnixTransport: sealed::Sealed {}

/// A transport of connections. Sealed: [`Tcp`](crate::Tcp) and [`UnixStream`](crate::UnixStream).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transport of connections, and has no such option",
    label = "an option of `Tcp` and `UnixStream` alone"
)]
pub trait StreamTransport: sealed::Sealed {}

/// A transport of packets. Sealed: [`Udp`](crate::Udp) and
/// [`UnixDatagram`](crate::UnixDatagram).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transport of packets, and has no such option",
    label = "an option of `Udp` and `UnixDatagram` alone"
)]
pub trait DatagramTransport: sealed::Sealed {}

pub(crate) mod sealed {
    use super::{AsFd, Options, Socket, io};

    pub trait Sealed {}

    /// Several sockets at one address, among which the kernel divides what arrives.
    pub trait Divided: AsFd {
        /// One more, from which requests may be taken as from the first.
        fn another(&self) -> io::Result<Socket>;
    }

    pub trait Listening: Sized {
        /// What goes with the socket, and is dropped with it.
        type Guard;

        fn listening(
            socket: Socket,
            guard: Self::Guard,
            options: &Options<Self>,
        ) -> io::Result<Self>;
    }
}

impl sealed::Sealed for crate::Tcp {}
impl sealed::Sealed for crate::Udp {}
impl sealed::Sealed for crate::UnixStream {}
impl sealed::Sealed for crate::UnixDatagram {}
impl StreamTransport for crate::Tcp {}
impl StreamTransport for crate::UnixStream {}
impl IpTransport for crate::Tcp {}
impl IpTransport for crate::Udp {}
impl UnixTransport for crate::UnixStream {}
impl UnixTransport for crate::UnixDatagram {}
impl DatagramTransport for crate::Udp {}
impl DatagramTransport for crate::UnixDatagram {}

/// A stream transport that has its address and does not listen yet: between Python's
/// `server_bind` and `server_activate`.
///
/// Made by `server_bind` of [`Options<Tcp>`](Options) and [`Options<UnixStream>`](Options), for
/// those who have to do something in between: drop privileges, tell somebody the port. Clients
/// that connect before [`server_activate`](Self::server_activate) are refused.
#[must_use = "nobody can connect before `server_activate`"]
pub struct Bound<T: sealed::Listening> {
    // Before the socket: see `SocketFile`.
    pub(super) guard: T::Guard,
    pub(super) socket: Socket,
    pub(super) options: Options<T>,
}

impl<T: sealed::Listening> Bound<T> {
    /// Listens: Python's `server_activate`.
    ///
    /// # Errors
    ///
    /// What listen(2) says.
    pub fn server_activate(self) -> io::Result<T> {
        listen(&self.socket, self.options.backlog)?;
        T::listening(self.socket, self.guard, &self.options)
    }
}

impl<T: sealed::Listening> AsFd for Bound<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<T: sealed::Listening> fmt::Debug for Bound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("socket", &self.socket).finish_non_exhaustive()
    }
}
