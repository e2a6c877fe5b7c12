//! Control messages (cmsg(3)): what the kernel says of a packet beside its bytes and its sender,
//! and what it is told of a reply.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use crate::request::Credentials;

/// What the kernel is asked to say of each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    /// The address of this machine that it came to.
    Arrival,
    /// The process that sent it.
    Credentials,
}

/// What it has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    CameTo(Local),
    SentBy(Credentials),
}

/// An address of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    pub(crate) ip: IpAddr,
    /// That of a link-local address, which means nothing without; else 0, and the routes choose.
    interface: u32,
}

impl Told {
    /// Puts it where it is taken from again in another process of this program.
    pub(crate) fn put(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Nothing => bytes.push(0),
            Self::CameTo(Local { ip: IpAddr::V4(ip), interface }) => {
                bytes.push(1);
                bytes.extend(ip.octets());
                bytes.extend(interface.to_ne_bytes());
            }
            Self::CameTo(Local { ip: IpAddr::V6(ip), interface }) => {
                bytes.push(2);
                bytes.extend(ip.octets());
                bytes.extend(interface.to_ne_bytes());
            }
            Self::SentBy(Credentials { pid, uid, gid }) => {
                bytes.push(3);
                for number in [pid.unwrap_or(0), uid, gid] {
                    bytes.extend(number.to_ne_bytes());
                }
            }
        }
    }

    /// What was put first, and the rest.
    pub(crate) fn take(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            0 => Some((Self::Nothing, rest)),
            1 => {
                let (ip, rest) = rest.split_first_chunk::<4>()?;
                let (interface, rest) = take_number(rest)?;
                Some((Self::CameTo(Local { ip: (*ip).into(), interface }), rest))
            }
            2 => {
                let (ip, rest) = rest.split_first_chunk::<16>()?;
                let (interface, rest) = take_number(rest)?;
                Some((Self::CameTo(Local { ip: (*ip).into(), interface }), rest))
            }
            3 => {
                let (pid, rest) = take_number(rest)?;
                let (uid, rest) = take_number(rest)?;
                let (gid, rest) = take_number(rest)?;
                let pid = Some(pid).filter(|pid| *pid != 0);
                Some((Self::SentBy(Credentials { pid, uid, gid }), rest))
            }
            _ => None,
        }
    }
}

fn take_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_ne_bytes(*number), rest))
}

/// Asks for `wanted`, of each packet that arrives from now on.
///
/// # Errors
///
/// What setsockopt(2) says.
pub(crate) fn ask(socket: &impl AsFd, wanted: Wanted) -> io::Result<()> {
    match wanted {
        Wanted::Nothing => {}
        Wanted::Credentials => setsockopt(socket, sockopt::PassCred, &true)?,
        Wanted::Arrival => {
            // An IPv6 socket that serves IPv4 too has both kinds of packets, and says it of each
            // in the terms of its kind.
            setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
            if socket2::SockRef::from(socket).domain()? == socket2::Domain::IPV6 {
                setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
        }
    }
    Ok(())
}

/// `CMSG_ALIGN` of Linux.
const fn aligned(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

/// Where the data of a message begins: `CMSG_DATA`.
const DATA: usize = aligned(size_of::<libc::cmsghdr>());

/// How much room a message with a `T` takes: `CMSG_SPACE`.
const fn space<T>() -> usize {
    DATA + aligned(size_of::<T>())
}

impl Wanted {
    /// How much room the messages take; no more, because a Unix peer can send descriptors with its
    /// packet, and those that there is room for would be opened in this process.
    pub(super) const fn room(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Arrival => space::<libc::in_pktinfo>() + space::<libc::in6_pktinfo>(),
            Self::Credentials => space::<libc::ucred>(),
        }
    }
}

/// Room for the messages of one packet, aligned as they have to be.
#[repr(C)]
pub(super) struct Room {
    bytes: [u8; Wanted::Arrival.room()],
    alignment: [libc::cmsghdr; 0],
}

const _: () = assert!(Wanted::Credentials.room() <= Wanted::Arrival.room());

impl Room {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; Wanted::Arrival.room()], alignment: [] }
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Writes the message that makes a packet leave from `local` and returns it.
    pub(super) fn leave_from(&mut self, local: Local) -> &[u8] {
        match local.ip {
            IpAddr::V4(ip) => {
                let source = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
                let any = libc::in_addr { s_addr: libc::INADDR_ANY };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: any };
                self.put(libc::IPPROTO_IP, libc::IP_PKTINFO, info)
            }
            IpAddr::V6(ip) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                    ipi6_ifindex: local.interface as _,
                };
                self.put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
            }
        }
    }

    fn put<T: Plain>(&mut self, level: libc::c_int, kind: libc::c_int, data: T) -> &[u8] {
        const { assert!(space::<T>() <= Wanted::Arrival.room()) };
        // SAFETY: a cmsghdr is integers, and may be all zeros.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_len = (DATA + size_of::<T>()) as _;
        header.cmsg_level = level;
        header.cmsg_type = kind;
        let bytes = self.bytes.as_mut_ptr();
        // SAFETY: the array is as long as header, gap and data together, as has been asserted, and
        // neither write needs it to be aligned.
        unsafe {
            bytes.cast::<libc::cmsghdr>().write_unaligned(header);
            bytes.add(DATA).cast::<T>().write_unaligned(data);
        }
        &self.bytes[..space::<T>()]
    }
}

/// The first of `messages` that says something. Whatever the bytes are, nothing beyond them is
/// read.
pub(super) fn told(mut messages: &[u8]) -> Told {
    while let Some(header) = read::<libc::cmsghdr>(messages) {
        #[allow(clippy::unnecessary_cast, reason = "musl's is a u32")]
        let length = header.cmsg_len as usize;
        let Some(data) = messages.get(DATA..length) else { break };
        let told = match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => read(data).and_then(came_to_v4),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => read(data).and_then(came_to_v6),
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => read(data).map(sent_by),
            _ => None,
        };
        if let Some(told) = told {
            return told;
        }
        messages = messages.get(aligned(length)..).unwrap_or_default();
    }
    Told::Nothing
}

/// Of a broadcast, `ipi_spec_dst` is the address of the interface (ip(7)). Unspecified it is for
/// what arrived before the socket was asked to say.
fn came_to_v4(info: libc::in_pktinfo) -> Option<Told> {
    let ip = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
    (!ip.is_unspecified()).then_some(Told::CameTo(Local { ip: ip.into(), interface: 0 }))
}

/// A multicast address is nobody's, and can't be replied from; a mapped one is for `came_to_v4`.
fn came_to_v6(info: libc::in6_pktinfo) -> Option<Told> {
    let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
    if ip.is_unspecified() || ip.is_multicast() || ip.to_ipv4_mapped().is_some() {
        return None;
    }
    #[allow(clippy::unnecessary_cast, reason = "Android's is an i32")]
    let interface = if ip.is_unicast_link_local() { info.ipi6_ifindex as u32 } else { 0 };
    Some(Told::CameTo(Local { ip: ip.into(), interface }))
}

fn sent_by(sender: libc::ucred) -> Told {
    Told::SentBy(Credentials::new(sender.pid, sender.uid, sender.gid))
}

/// Types of integers alone.
///
/// # Safety
///
/// Any bytes are a value of the type.
// SAFETY: private, and implemented below alone.
unsafe trait Plain: Copy {}

// SAFETY: integers alone.
unsafe impl Plain for libc::cmsghdr {}
// SAFETY: integers alone.
unsafe impl Plain for libc::in_pktinfo {}
// SAFETY: integers alone.
unsafe impl Plain for libc::in6_pktinfo {}
// SAFETY: integers alone.
unsafe impl Plain for libc::ucred {}

/// The value that `bytes` begin with, if there are enough of them.
fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: as many bytes as a `T` has, which are one whatever they are (`Plain`), and need not
    // be aligned.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Local = Local { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), interface: 0 };

    fn local(ip: &str, interface: u32) -> Local {
        Local { ip: ip.parse().unwrap_or(V4.ip), interface }
    }

    #[test]
    fn what_is_put_is_told() {
        for local in [V4, local("2001:db8::1", 0), local("fe80::1", 7)] {
            assert_eq!(told(Room::new().leave_from(local)), Told::CameTo(local));
        }
    }

    #[test]
    fn what_is_put_for_another_process_is_taken_there() {
        let sender = Credentials { pid: Some(7), uid: 1000, gid: 100 };
        let unseen = Credentials { pid: None, ..sender };
        let all = [
            Told::Nothing,
            Told::CameTo(V4),
            Told::CameTo(local("fe80::1", 7)),
            Told::SentBy(sender),
            Told::SentBy(unseen),
        ];
        for told in all {
            let mut bytes = Vec::new();
            told.put(&mut bytes);
            for cut in 0..bytes.len() {
                assert_eq!(Told::take(&bytes[..cut]), None, "{told:?} of {cut} bytes");
            }
            bytes.push(42);
            assert_eq!(Told::take(&bytes), Some((told, [42].as_slice())));
        }
        assert_eq!(Told::take(&[4; 64]), None);
    }

    #[test]
    fn what_nobody_can_reply_from_is_not_told() {
        for ip in ["0.0.0.0", "::", "ff02::1", "::ffff:192.0.2.1"] {
            assert_eq!(told(Room::new().leave_from(local(ip, 0))), Told::Nothing, "{ip}");
        }
    }

    #[test]
    fn messages_of_other_kinds_are_passed_over() {
        let mut room = Room::new();
        let mut messages = room.put(libc::SOL_SOCKET, libc::SCM_RIGHTS, V4_INFO).to_vec();
        messages.extend(room.leave_from(V4));
        assert_eq!(told(&messages), Told::CameTo(V4));
    }

    const V4_INFO: libc::in_pktinfo = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr { s_addr: 0 },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };

    #[test]
    fn messages_that_are_cut_or_lie_about_their_length_are_not_told() {
        let whole = Room::new().leave_from(V4).to_vec();
        let needed = DATA + size_of::<libc::in_pktinfo>();
        for length in 0..needed {
            assert_eq!(told(&whole[..length]), Told::Nothing, "cut to {length}");
            let mut lies = whole.clone();
            lies[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(told(&lies), Told::Nothing, "said to have {length}");
        }
        let mut lies = whole.clone();
        for length in [whole.len() + 1, usize::MAX / 2, usize::MAX - 3, usize::MAX] {
            lies[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(told(&lies), Told::Nothing, "said to have {length}");
        }
    }
}
