//! Networks of IP addresses.

use std::net::IpAddr;
use std::str::FromStr;
use std::{error, fmt, num};

use super::sources::{PeerIp, network};

/// A network of IP addresses, written as `192.0.2.0/24`, `2001:db8::/32`, or as one address.
///
/// # Examples
///
/// ```
/// use socketserver::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?));
/// assert!(network.contains("::ffff:10.1.2.3".parse()?), "a mapped address is the IPv4 one");
/// assert!(!network.contains("11.0.0.0".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is one of this network's.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && network(address, self.bits, self.bits) == self.address
    }
}

impl From<IpAddr> for Network {
    /// The network of one address.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork::Address)?;
        let Some(bits) = bits else { return Ok(address.into()) };
        let bits = bits.parse().map_err(|_: num::ParseIntError| NotANetwork::Bits)?;
        let whole = Self { address, bits };
        match address {
            IpAddr::V4(_) if bits > 32 => Err(NotANetwork::Bits),
            IpAddr::V6(_) if bits > 128 => Err(NotANetwork::Bits),
            // Somebody meant something else.
            _ if network(address, bits, bits) != address => Err(NotANetwork::Host),
            _ => Ok(whole),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Why a text is no [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotANetwork {
    /// What stands before the slash is no IP address.
    Address,
    /// What stands behind it is no number of bits that such an address has.
    Bits,
    /// The address has bits of a host: "192.0.2.7/24" is written "192.0.2.0/24".
    Host,
}

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "not a network: it begins with an IP address, as 192.0.2.0/24 does",
            Self::Bits => {
                "not a network: behind the slash is a number of bits, up to 32 for IPv4 and 128 for \
                 IPv6"
            }
            Self::Host => "not a network: its address has bits set beyond those of the network",
        })
    }
}

impl error::Error for NotANetwork {}

/// Whether the peer of a request is in one of these networks; for
/// [`Proxied::new`](crate::Proxied::new).
pub fn from_networks<R: PeerIp>(
    networks: impl IntoIterator<Item = Network>,
) -> impl Fn(&R) -> bool {
    let networks: Vec<Network> = networks.into_iter().collect();
    move |request| {
        let address = request.peer_ip();
        networks.iter().any(|network| network.contains(address))
    }
}
