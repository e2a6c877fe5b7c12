//! The addresses in memory, of this process alone.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::datagram::Inbox;
use super::transport::Door;

/// Where connections are taken, and where packets are.
pub(super) static STREAMS: Network<Door> = Network::new();
pub(super) static DATAGRAMS: Network<Inbox> = Network::new();

/// The port that was given last where anybody did.
static PORT: AtomicU16 = AtomicU16::new(0);

pub(super) struct Network<L>(Mutex<BTreeMap<SocketAddr, Weak<L>>>);

impl<L> Network<L> {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Has somebody be reached at an address until it leaves that; for port 0 a free one is found.
    pub(super) fn enter(&self, address: SocketAddr, who: &Arc<L>) -> io::Result<SocketAddr> {
        let mut all = self.0.lock();
        let is_free = |address: &SocketAddr| !all.contains_key(address);
        let found = match address.port() {
            0 => (0..u16::MAX).map(|_| address_beside(address)).find(is_free),
            _ => Some(address).filter(is_free),
        };
        let address = found.ok_or_else(|| {
            io::Error::new(ErrorKind::AddrInUse, format!("{address} is taken in memory"))
        })?;
        all.insert(address, Arc::downgrade(who));
        Ok(address)
    }

    pub(super) fn leave(&self, address: SocketAddr) {
        self.0.lock().remove(&address);
    }

    pub(super) fn find(&self, address: SocketAddr) -> io::Result<Arc<L>> {
        self.0.lock().get(&address).and_then(Weak::upgrade).ok_or_else(|| {
            let what = format!("nobody is at {address} in memory");
            io::Error::new(ErrorKind::ConnectionRefused, what)
        })
    }
}

/// The same address with another port than the last that was given, of the range that systems have
/// for this: RFC 6335, section 6.
pub(super) fn address_beside(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), 0xC000 | PORT.fetch_add(1, Relaxed))
}
