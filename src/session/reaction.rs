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

    /// What is to be done about each of these.
    fn assert_all(errnos: &[i32], wanted: Reaction) {
        for errno in errnos {
            let error = io::Error::from_raw_os_error(*errno);
            assert_eq!(Reaction::to(&error), wanted, "{error}");
        }
    }

    #[test]
    fn errors_of_one_connection_are_passed_over() {
        // accept(2): it was aborted; the firewall forbids it; Linux passes on what the network has
        // said of it. EINTR, where a signal's handler has no SA_RESTART.
        assert_all(
            &[libc::ECONNABORTED, libc::EPERM, libc::ETIMEDOUT, libc::EINTR],
            Reaction::Retry,
        );
        assert_all(
            &[
                libc::ENETDOWN,
                libc::EPROTO,
                libc::ENOPROTOOPT,
                libc::EHOSTDOWN,
                libc::EHOSTUNREACH,
                libc::EOPNOTSUPP,
                libc::ENETUNREACH,
            ],
            Reaction::Retry,
        );
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert_all(&[libc::ENONET], Reaction::Retry);
    }

    #[test]
    fn errors_of_packets_sent_earlier_are_passed_over() {
        // udp(7): a port that nobody had, and all that ICMP says of IPv4 and IPv6 otherwise
        // (icmp(7); EMSGSIZE by ip(7), EACCES where a router of IPv6 prohibits it). unix(7): a peer
        // that has closed.
        assert_all(
            &[
                libc::ECONNREFUSED,
                libc::ECONNRESET,
                libc::EMSGSIZE,
                libc::EACCES,
                libc::EHOSTUNREACH,
                libc::ENETUNREACH,
                libc::ENOPROTOOPT,
                libc::EPROTO,
            ],
            Reaction::Retry,
        );
    }

    #[test]
    fn errors_without_a_number_are_known_by_their_kinds() {
        // Those of transports that wrap others.
        let reaction = |kind: ErrorKind| Reaction::to(&io::Error::new(kind, "wrapped"));
        assert_eq!(reaction(ErrorKind::WouldBlock), Reaction::Wait);
        assert_eq!(reaction(ErrorKind::ConnectionAborted), Reaction::Retry);
        assert_eq!(reaction(ErrorKind::Interrupted), Reaction::Retry);
        for kind in [ErrorKind::OutOfMemory, ErrorKind::InvalidInput, ErrorKind::Other] {
            assert_eq!(reaction(kind), Reaction::BackOff, "{kind}");
        }
    }

    #[test]
    fn want_of_resources_asks_for_a_pause_and_so_does_what_nobody_knows() {
        assert_all(&[libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM], Reaction::BackOff);
        // accept(2) of "various Linux kernels", with no word of what it means.
        assert_all(&[libc::ESOCKTNOSUPPORT, libc::EPROTONOSUPPORT], Reaction::BackOff);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert_all(&[libc::ENOSR], Reaction::BackOff);
        assert_all(&[libc::ENOTCONN, libc::EIO, 4095], Reaction::BackOff);
    }

    #[test]
    fn a_broken_transport_ends_the_loop() {
        assert_all(&[libc::EBADF, libc::EFAULT, libc::EINVAL, libc::ENOTSOCK], Reaction::End);
    }

    #[test]
    fn an_empty_queue_is_waited_for() {
        assert_all(&[libc::EAGAIN, libc::EWOULDBLOCK], Reaction::Wait);
    }
}
