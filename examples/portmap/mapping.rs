//! What a port mapper knows: where programs are, as its versions 3 and 4 say it, and as version 2 does.

use socketserver::rpc::{Bounded, Endpoint, Garbage, Xdr};

/// None of its words is as long.
pub(crate) type Word = Bounded<String, 128>;

pub(crate) fn word(text: &str) -> Word {
    Word::new(text.to_owned()).unwrap_or_default()
}

/// What version 2 says: a program, its version, the number of a protocol of IP, and a port.
pub(crate) type Old = (u32, u32, u32, u32);

const PROTOCOLS: [(u32, &str); 2] = [(6, "tcp"), (17, "udp")];

/// A program in one version, and where it is.
#[derive(Clone, PartialEq)]
pub(crate) struct Mapping {
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) netid: Word,
    pub(crate) address: Word,
    pub(crate) owner: Word,
}

impl Mapping {
    pub(crate) fn new(program: u32, version: u32, at: &Endpoint) -> Self {
        let (netid, address) = (word(at.netid()), word(&at.universal_address()));
        Self { program, version, netid, address, owner: Word::default() }
    }

    /// Version 2 knows no other protocol; port 0 is where a program is in question.
    pub(crate) fn from_old((program, version, protocol, port): Old) -> Option<Self> {
        let (_, netid) = PROTOCOLS.iter().find(|(number, _)| *number == protocol)?;
        let [high, low] = u16::try_from(port).ok()?.to_be_bytes();
        let (netid, address) = (word(netid), word(&format!("0.0.0.0.{high}.{low}")));
        Some(Self { program, version, netid, address, owner: Word::default() })
    }

    pub(crate) fn to_old(&self) -> Option<Old> {
        let (protocol, _) = PROTOCOLS.iter().find(|(_, netid)| *netid == self.netid.as_str())?;
        let (_, high, low) = parts(&self.address)?;
        let port = u16::from_be_bytes([high, low]);
        Some((self.program, self.version, *protocol, port.into()))
    }

    pub(crate) fn is_version_of(&self, program: u32, version: u32) -> bool {
        (self.program, self.version) == (program, version)
    }

    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.is_version_of(other.program, other.version) && self.netid == other.netid
    }

    /// Its address for somebody who has come to `here`, where it is at all addresses.
    pub(crate) fn address_beside(&self, here: &str) -> Word {
        match (parts(&self.address), parts(here)) {
            (Some(("0.0.0.0" | "::", high, low)), Some((ip, ..))) => {
                word(&format!("{ip}.{high}.{low}"))
            }
            _ => self.address.clone(),
        }
    }
}

/// A universal address: that of IP, and the two bytes of the port (RFC 5665, section 5.2.3).
fn parts(address: &str) -> Option<(&str, u8, u8)> {
    let (rest, low) = address.rsplit_once('.')?;
    let (ip, high) = rest.rsplit_once('.')?;
    Some((ip, high.parse().ok()?, low.parse().ok()?))
}

impl Xdr for Mapping {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (self.program, self.version).encode(bytes);
        for word in [&self.netid, &self.address, &self.owner] {
            word.encode(bytes);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        let (program, version, netid, address, owner) = Xdr::decode(input)?;
        Ok(Self { program, version, netid, address, owner })
    }
}

/// A list, each of it behind a word that says that there is another: what XDR has for a linked one.
pub(crate) struct Listed<T>(pub(crate) Vec<T>);

impl<T: Xdr> Xdr for Listed<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        for element in &self.0 {
            true.encode(bytes);
            element.encode(bytes);
        }
        false.encode(bytes);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        let mut listed = Vec::new();
        while let Some(element) = Xdr::decode(input)? {
            listed.push(element);
        }
        Ok(Self(listed))
    }
}
