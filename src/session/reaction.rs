//! The table of errors that getting a request can have.

use std::io::{self, ErrorKind};

use nix::libc;

/// What the loop does about an error of `get_request` or `wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    /// There is nothing to get.
    Wait,
    /// The error belongs to one request, which is gone.
    Retry,
    /// The system has run out of something, or it is not known what this is.
    BackOff,
    /// The transport is broken.
    End,
}

impl Reaction {
    /// By accept(2), recv(2) and udp(7) of Linux.
    pub(super) fn to(error: &io::Error) -> Self {
        match error.raw_os_error() {
            // Pending network errors of the new connection, which accept(2) says to treat like
            // EAGAIN, and ICMP errors for datagrams sent earlier: to those of IPv4, ICMPv6 adds
            // EACCES (prohibited), and both have EMSGSIZE (too big for a link on the way).
            Some(
                libc::EACCES
                | libc::ECONNABORTED
                | libc::ECONNREFUSED
                | libc::ECONNRESET
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::EINTR
                | libc::EMSGSIZE
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EPERM
                | libc::EPROTO
                | libc::ETIMEDOUT,
            ) => Self::Retry,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(libc::ENONET) => Self::Retry,
            Some(libc::EBADF | libc::EFAULT | libc::EINVAL | libc::ENOTSOCK) => Self::End,
            _ => match error.kind() {
                ErrorKind::WouldBlock => Self::Wait,
                ErrorKind::ConnectionAborted | ErrorKind::Interrupted => Self::Retry,
                _ => Self::BackOff,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaction(errno: i32) -> Reaction {
        Reaction::to(&io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn errors_of_one_connection_are_passed_over() {
        for errno in [libc::ECONNABORTED, libc::EPROTO, libc::EPERM, libc::EINTR, libc::ENETDOWN] {
            assert_eq!(reaction(errno), Reaction::Retry, "{}", io::Error::from_raw_os_error(errno));
        }
    }

    #[test]
    fn want_of_resources_asks_for_a_pause() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(
                reaction(errno),
                Reaction::BackOff,
                "{}",
                io::Error::from_raw_os_error(errno)
            );
        }
        assert_eq!(Reaction::to(&io::Error::other("unknown")), Reaction::BackOff);
    }

    #[test]
    fn a_broken_transport_ends_the_loop() {
        for errno in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
            assert_eq!(reaction(errno), Reaction::End, "{}", io::Error::from_raw_os_error(errno));
        }
    }

    #[test]
    fn an_empty_queue_is_waited_for() {
        assert_eq!(reaction(libc::EAGAIN), Reaction::Wait);
        assert_eq!(Reaction::to(&ErrorKind::WouldBlock.into()), Reaction::Wait);
    }
}
