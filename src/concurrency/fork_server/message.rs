//! What a server and its helper say to each other.

use nix::unistd::Pid;

use crate::sys::Exit;

/// The longest message to the helper, which the default queue of a Unix socket holds
/// (`net.core.wmem_default`). More than any packet over IP.
pub(super) const LONGEST: usize = 128 * 1024;

/// What comes before the bytes of a request.
pub(super) const HEADER: usize = 9;

const START: u8 = 1;
const SIGNAL: u8 = 2;

/// What the server wants of its helper.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order<'a> {
    /// A child for the request that these bytes are, of this session.
    Start(u64, &'a [u8]),
    /// This signal for one child, or for all.
    Signal(i32, Option<Pid>),
}

impl<'a> Order<'a> {
    /// Puts the beginning of `Start` into `bytes`; the request's own are to follow.
    pub(super) fn start(session: u64, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.push(START);
        bytes.extend(session.to_le_bytes());
    }

    pub(super) fn signal(signal: i32, child: Option<Pid>) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = SIGNAL;
        bytes[1..5].copy_from_slice(&signal.to_le_bytes());
        bytes[5..].copy_from_slice(&child.map_or(0, Pid::as_raw).to_le_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, request) = bytes.split_first_chunk::<HEADER>()?;
        let (kind, number) = head.split_first()?;
        match *kind {
            START => Some(Self::Start(u64::from_le_bytes(number.try_into().ok()?), request)),
            SIGNAL => {
                let (signal, child) = number.split_first_chunk::<4>()?;
                let child = i32::from_le_bytes(child.try_into().ok()?);
                let child = (child != 0).then(|| Pid::from_raw(child));
                Some(Self::Signal(i32::from_le_bytes(*signal), child))
            }
            _ => None,
        }
    }
}

/// How long a report is.
pub(super) const REPORT: usize = 9;

const STARTED: u8 = 1;
const REFUSED: u8 = 2;
const EXITED: u8 = 3;
const KILLED: u8 = 4;
const LOST: u8 = 5;

/// What the helper tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// The child that was asked for runs.
    Started(Pid),
    /// It does not, because of this errno.
    Refused(i32),
    /// A child has ended.
    Ended(Pid, Exit),
}

impl Report {
    pub(super) fn bytes(self) -> [u8; REPORT] {
        let (kind, pid, value) = match self {
            Self::Started(pid) => (STARTED, pid.as_raw(), 0),
            Self::Refused(errno) => (REFUSED, 0, errno),
            Self::Ended(pid, Exit::Code(code)) => (EXITED, pid.as_raw(), code),
            Self::Ended(pid, Exit::Signal(signal)) => (KILLED, pid.as_raw(), signal),
            Self::Ended(pid, Exit::Unknown) => (LOST, pid.as_raw(), 0),
        };
        let mut bytes = [kind; REPORT];
        bytes[1..5].copy_from_slice(&pid.to_le_bytes());
        bytes[5..].copy_from_slice(&value.to_le_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (pid, value) = rest.split_first_chunk::<4>()?;
        let pid = Pid::from_raw(i32::from_le_bytes(*pid));
        let value = i32::from_le_bytes(value.try_into().ok()?);
        Some(match *kind {
            STARTED => Self::Started(pid),
            REFUSED => Self::Refused(value),
            EXITED => Self::Ended(pid, Exit::Code(value)),
            KILLED => Self::Ended(pid, Exit::Signal(value)),
            LOST => Self::Ended(pid, Exit::Unknown),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_as_they_went() {
        let pid = Pid::from_raw(4711);
        let exits = [Exit::Code(101), Exit::Signal(64), Exit::Unknown];
        let reports = exits.map(|exit| Report::Ended(pid, exit));
        for report in reports.into_iter().chain([Report::Started(pid), Report::Refused(12)]) {
            assert_eq!(Report::parse(&report.bytes()), Some(report));
        }
    }

    #[test]
    fn orders_come_as_they_went() {
        let mut bytes = vec![7; 40];
        Order::start(u64::MAX, &mut bytes);
        bytes.extend(b"request");
        assert_eq!(Order::parse(&bytes), Some(Order::Start(u64::MAX, b"request")));
        for child in [None, Some(Pid::from_raw(4711))] {
            assert_eq!(Order::parse(&Order::signal(15, child)), Some(Order::Signal(15, child)));
        }
    }

    #[test]
    fn what_is_cut_or_unknown_is_nothing() {
        let report = Report::Refused(12).bytes();
        for length in 0..REPORT {
            assert_eq!(Report::parse(&report[..length]), None);
            assert_eq!(Order::parse(&report[..length]), None);
        }
        assert_eq!(Report::parse(&[0; REPORT]), None);
        assert_eq!(Report::parse(&[1; REPORT + 1]), None);
        assert_eq!(Order::parse(&[9; HEADER]), None);
    }
}
