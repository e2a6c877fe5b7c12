//! How many requests each source has in flight.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::event::{Event, Refusal};
use crate::request::{Datagram, DatagramSocket, StreamRequest, StreamSocket};
use crate::transport::Transport;

/// A table of sources, whatever it knows them by.
pub(super) trait Sources<T>: Send + Sync {
    /// One more request of its source, until what this returns is dropped; or why there may be no
    /// more. Where it has been `changed` how many there may be, that counts.
    fn enter(
        &self,
        request: &T::Request,
        changed: Option<usize>,
    ) -> Result<Box<dyn Entered>, Refusal>
    where
        T: Transport;

    /// How many there may be, where that is what the table is for.
    fn most(&self) -> Option<usize> {
        None
    }
}

/// What a table of sources has given for a request, which gives it back when it is dropped.
pub(crate) trait Entered: Send + Sync {
    /// How the request has ended.
    fn ended(&self, _event: Event) {}
}

/// How many requests are in flight for each key.
pub(super) struct Table<K, F> {
    most: usize,
    key: F,
    /// Never held while the user's code runs, but for the key's own `Hash` and `Eq`.
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K, F> Table<K, F> {
    pub(super) fn new(most: usize, key: F) -> Self {
        Self { most, key, counts: Arc::default() }
    }

    fn take<R>(&self, request: &R, most: usize) -> Option<Place<K>>
    where
        K: Hash + Eq + Clone,
        F: Fn(&R) -> K,
    {
        let key = (self.key)(request);
        let mut counts = self.counts.lock();
        let count = counts.entry(key.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { key, counts: Arc::clone(&self.counts) })
    }
}

impl<T, K, F> Sources<T> for Table<K, F>
where
    T: Transport,
    K: Hash + Eq + Clone + Send + Sync + 'static,
    F: Fn(&T::Request) -> K + Send + Sync,
{
    fn enter(
        &self,
        request: &T::Request,
        changed: Option<usize>,
    ) -> Result<Box<dyn Entered>, Refusal> {
        let most = changed.unwrap_or(self.most);
        Ok(Box::new(self.take(request, most).ok_or(Refusal::Source)?))
    }

    fn most(&self) -> Option<usize> {
        Some(self.most)
    }
}

/// The same for those whose source is known when they have been established, and not before.
#[cfg(feature = "proxy")]
pub(crate) fn gate<R, K>(
    most: usize,
    key: impl Fn(&R) -> K + Send + Sync,
) -> impl Fn(&R) -> Option<Box<dyn Entered>> + Send + Sync
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    let table = Table::new(most, key);
    move |request| Some(Box::new(table.take(request, table.most)?))
}

/// A place in a table.
struct Place<K: Hash + Eq> {
    key: K,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Hash + Eq + Send + Sync> Entered for Place<K> {}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// A request whose peer has an IP address: those of [`Tcp`](crate::Tcp) and
/// [`Udp`](crate::Udp), and those that wrap them and pass this on.
#[diagnostic::on_unimplemented(
    message = "the peer of `{Self}` has no IP address",
    label = "no IP address to know its source by",
    note = "`by_ip` and `by_prefix` are for `Tcp` and `Udp`, `by_uid` is for Unix sockets; with \
            other transports, give `per_source` a function of your own"
)]
pub trait PeerIp {
    /// The peer's address; an IPv4 peer's is an IPv4 address, through a dual-stack socket too.
    fn peer_ip(&self) -> IpAddr;
}

impl<S: StreamSocket> PeerIp for StreamRequest<S, SocketAddr> {
    fn peer_ip(&self) -> IpAddr {
        self.peer().ip()
    }
}

impl<S: DatagramSocket> PeerIp for Datagram<S, SocketAddr> {
    fn peer_ip(&self) -> IpAddr {
        self.peer().ip()
    }
}

/// Sources are IP addresses; for [`Limits::per_source`](crate::Limits::per_source).
///
/// Over UDP, where anybody may write any address into a packet, a limit by it protects the server,
/// and not one client from another.
pub fn by_ip<R: PeerIp>(request: &R) -> IpAddr {
    request.peer_ip()
}

/// Sources are networks, of so many bits of an IPv4 address (32 at most) and so many of an IPv6
/// address (128 at most); for [`Limits::per_source`](crate::Limits::per_source).
///
/// One IPv6 client usually has a whole /64 to itself.
///
/// # Examples
///
/// ```
/// use socketserver::{Limits, TcpServer, by_prefix};
///
/// let server = TcpServer::bind_fn("127.0.0.1:0", |_conn| Ok(()))?
///     .limits(Limits::new().per_source(64, by_prefix(24, 56)))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn by_prefix<R: PeerIp>(v4_bits: u8, v6_bits: u8) -> impl Fn(&R) -> IpAddr {
    move |request| network(request.peer_ip(), v4_bits, v6_bits)
}

/// A request whose peer is a process that the kernel vouches for: those of
/// [`UnixStream`](crate::UnixStream) and [`UnixDatagram`](crate::UnixDatagram), and those that wrap
/// them and pass this on.
#[diagnostic::on_unimplemented(
    message = "nobody vouches for the user at the other end of `{Self}`",
    label = "no user to know its source by",
    note = "`by_uid` is for Unix sockets; `Tcp` and `Udp` have `by_ip` and `by_prefix`"
)]
pub trait PeerUid {
    /// The peer's effective user, where it is known.
    fn peer_uid(&self) -> Option<u32>;
}

impl<A> PeerUid for StreamRequest<UnixStream, A> {
    fn peer_uid(&self) -> Option<u32> {
        self.peer_credentials().ok().map(|peer| peer.uid)
    }
}

impl<A> PeerUid for Datagram<UnixDatagram, A> {
    fn peer_uid(&self) -> Option<u32> {
        self.credentials().map(|sender| sender.uid)
    }
}

/// Sources are the users of this machine; for [`Limits::per_source`](crate::Limits::per_source).
///
/// All of whom the user is not known are one source, `None`: those of packets, where the transport
/// was not told to ask for [`credentials`](crate::Options::credentials), and everybody on systems
/// other than Linux.
///
/// # Examples
///
/// ```
/// use socketserver::{Limits, ThreadingUnixStreamServer, by_uid};
///
/// # let directory = tempfile::tempdir()?;
/// let path = directory.path().join("socket");
/// let server = ThreadingUnixStreamServer::bind_fn(path, |_conn| Ok(()))?
///     .limits(Limits::new().per_source(8, by_uid))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn by_uid<R: PeerUid>(request: &R) -> Option<u32> {
    request.peer_uid()
}

pub(super) fn network(address: IpAddr, v4_bits: u8, v6_bits: u8) -> IpAddr {
    // A shift by all bits is none in Rust, but an overflow.
    match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(v4_bits.into()).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & !host).into()
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(v6_bits.into()).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & !host).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_leading_bits_of_its_addresses() {
        let net = |text: &str, v4, v6| {
            text.parse().map(|address| network(address, v4, v6).to_string()).unwrap_or_default()
        };
        assert_eq!(net("192.168.77.1", 24, 0), "192.168.77.0");
        assert_eq!(net("192.168.77.1", 0, 0), "0.0.0.0");
        assert_eq!(net("192.168.77.1", 32, 0), "192.168.77.1");
        assert_eq!(net("192.168.77.1", 200, 0), "192.168.77.1");
        assert_eq!(net("2001:db8:1:2:3::4", 0, 56), "2001:db8:1::");
        assert_eq!(net("2001:db8:1:2:3::4", 0, 128), "2001:db8:1:2:3::4");
    }
}
