//! The header with which a proxy begins a connection: the PROXY protocol, versions 1 and 2.
//!
//! Section numbers are those of its specification, `doc/proxy-protocol.txt` of HAProxy.

use std::io::{self, BufRead, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::{error, fmt};

use ppp::{v1, v2};

/// The longest header that is taken, in bytes. Section 2 has proxies send no more than 536, and
/// those that add certificates go beyond.
const LONGEST: usize = 4096;
/// The longest of version 1, section 2.1.
const LONGEST_V1: usize = 107;
const PREFIX_V1: &[u8] = b"PROXY ";
/// What a header of version 2 has before its addresses, section 2.2.
const FIXED_V2: usize = 16;
/// The low half of the 13th byte for a connection of the proxy's own.
const LOCAL: u8 = 0x20;
/// `PP2_TYPE_CRC32C`
const CRC32C: u8 = 0x03;

/// What a proxy has said of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    addresses: Option<(SocketAddr, SocketAddr)>,
    local: bool,
    values: Box<[u8]>,
}

impl ProxyHeader {
    /// Where the proxied connection comes from; `None` where the proxy does not know or does not
    /// say: its health checks (`LOCAL`), `UNKNOWN` and `UNSPEC`, and what came to it by anything
    /// other than TCP. An IPv4 address is one, also where it was sent as a mapped one.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.addresses.map(|(source, _)| source)
    }

    pub(super) fn as_source(&self) -> Option<&SocketAddr> {
        self.addresses.as_ref().map(|(source, _)| source)
    }

    /// Where the client had connected to; known where the source is.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.addresses.map(|(_, destination)| destination)
    }

    /// Whether the connection is the proxy's own, such as a health check, and no client's.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// What else the proxy has said, in version 2: types (section 2.2.7 has those with names) and
    /// values, in the order in which they came. `PP2_TYPE_CRC32C` has been verified.
    pub fn values(&self) -> impl Iterator<Item = (u8, &[u8])> {
        values(&self.values)
    }
}

/// Splits the values of a header; what is no value ends them.
fn values(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (kind, after) = rest.split_first()?;
        let (length, after) = after.split_first_chunk()?;
        let (value, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        rest = after;
        Some((*kind, value))
    })
}

/// Why what a connection began with is no header: inside an `io::Error` of the kind `InvalidData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BadProxyHeader {
    /// It begins like neither version: the peer is no proxy, or does not send the header.
    Missing,
    /// It begins like one, and is wrong.
    Malformed,
    /// It is longer than any that is to be expected: 107 bytes in version 1, 4096 in version 2.
    TooLong,
    /// Its checksum is not that of its bytes.
    Checksum,
}

impl fmt::Display for BadProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => {
                "the connection does not begin with a PROXY header; have the proxy send it"
            }
            Self::Malformed => "the PROXY header is malformed",
            Self::TooLong => "the PROXY header is too long",
            Self::Checksum => "the checksum of the PROXY header is wrong",
        })
    }
}

impl error::Error for BadProxyHeader {}

impl From<BadProxyHeader> for io::Error {
    fn from(bad: BadProxyHeader) -> Self {
        Self::new(ErrorKind::InvalidData, bad)
    }
}

/// Reads a header into `bytes`, which has what an earlier call has read of it, and not a byte
/// beyond.
pub(super) fn read(input: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<ProxyHeader> {
    loop {
        let missing = missing(bytes)?;
        if missing == 0 {
            return Ok(parse(bytes)?);
        }
        let come = match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            come => come?,
        };
        if come.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let part = come.len().min(missing);
        bytes.extend_from_slice(&come[..part]);
        input.consume(part);
    }
}

/// How many bytes at least are missing from a header of which so much has come.
fn missing(bytes: &[u8]) -> Result<usize, BadProxyHeader> {
    let begins = |prefix: &[u8]| bytes.iter().zip(prefix).all(|(byte, right)| byte == right);
    if begins(PREFIX_V1) {
        // Empty is the beginning of both.
        return match bytes {
            [.., b'\n'] => Ok(0),
            _ if bytes.len() == LONGEST_V1 => Err(BadProxyHeader::TooLong),
            _ => Ok(1),
        };
    }
    if !begins(v2::PROTOCOL_PREFIX) {
        return Err(BadProxyHeader::Missing);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_V2>() else {
        return Ok(FIXED_V2 - bytes.len());
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED_V2 + length > LONGEST {
        return Err(BadProxyHeader::TooLong);
    }
    Ok(length - rest.len())
}

/// Makes sense of a whole header.
fn parse(bytes: &[u8]) -> Result<ProxyHeader, BadProxyHeader> {
    if bytes.starts_with(PREFIX_V1) {
        let header = v1::Header::try_from(bytes).map_err(|_| BadProxyHeader::Malformed)?;
        return Ok(ProxyHeader {
            addresses: addresses_v1(&header.addresses),
            ..Default::default()
        });
    }
    // Section 2.2: what stands in one of these is skipped, whatever its family.
    if bytes[12] == LOCAL {
        return Ok(ProxyHeader { local: true, ..Default::default() });
    }
    let header = v2::Header::try_from(bytes).map_err(|_| BadProxyHeader::Malformed)?;
    let values = header.tlv_bytes();
    if !header.tlvs().all(|value| value.is_ok()) {
        return Err(BadProxyHeader::Malformed);
    }
    check(bytes, values)?;
    Ok(ProxyHeader { addresses: addresses_v2(&header), local: false, values: values.into() })
}

fn addresses_v1(addresses: &v1::Addresses) -> Option<(SocketAddr, SocketAddr)> {
    match addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(tcp) => Some((
            address(tcp.source_address, tcp.source_port),
            address(tcp.destination_address, tcp.destination_port),
        )),
        v1::Addresses::Tcp6(tcp) => Some((
            address(tcp.source_address, tcp.source_port),
            address(tcp.destination_address, tcp.destination_port),
        )),
    }
}

fn addresses_v2(header: &v2::Header<'_>) -> Option<(SocketAddr, SocketAddr)> {
    match header.addresses {
        // HAProxy, too, keeps the connection's own addresses then.
        _ if header.protocol != v2::Protocol::Stream => None,
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
        v2::Addresses::IPv4(tcp) => Some((
            address(tcp.source_address, tcp.source_port),
            address(tcp.destination_address, tcp.destination_port),
        )),
        v2::Addresses::IPv6(tcp) => Some((
            address(tcp.source_address, tcp.source_port),
            address(tcp.destination_address, tcp.destination_port),
        )),
    }
}

fn address(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into().to_canonical(), port)
}

/// Verifies the checksum, where there is one (section 2.2.3): that of the whole header, in which
/// itself is zero.
fn check(header: &[u8], own: &[u8]) -> Result<(), BadProxyHeader> {
    let Some((_, sum)) = values(own).find(|(kind, _)| *kind == CRC32C) else { return Ok(()) };
    let expected: [u8; 4] = sum.try_into().map_err(|_| BadProxyHeader::Malformed)?;
    // Where it stands: values are parts of the header.
    let at = sum.as_ptr().addr() - header.as_ptr().addr();
    let zeros = at..at + expected.len();
    let bytes = header.iter().enumerate();
    let zeroed = bytes.map(|(at, byte)| if zeros.contains(&at) { 0 } else { *byte });
    if crc32c(zeroed) == u32::from_be_bytes(expected) {
        Ok(())
    } else {
        Err(BadProxyHeader::Checksum)
    }
}

/// RFC 4960, appendix B; bit by bit, as headers are short, and the checksum is rare.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let bit = |rest: u32, _| (rest >> 1) ^ (0x82f6_3b78 & (rest & 1).wrapping_neg());
    !bytes.fold(!0, |rest, byte| (0..8).fold(rest ^ u32::from(byte), bit))
}
