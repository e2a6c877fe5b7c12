//! A request of one kind or of another.

use std::io::{self, BufRead, IoSlice, IoSliceMut, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::{Connection, Credentials, Deadlines, Hangup, Progress, Request, Room, Selectable};
use crate::admission::{PeerIp, PeerUid};
use crate::authentication::{HasIdentity, PeerCertificate, PeerCredentials};
use crate::failure::FailureKind;
use crate::in_flight::{Activity, Cutter};

/// A request of one of two transports [beside](crate::Beside) each other. It is what both of them
/// are, so a handler of all that can be read and written takes it as it is; another one looks which
/// it has, and a limit by source gives its own function, which does.
#[derive(Debug)]
pub enum Either<A, B> {
    /// It came by the first transport.
    First(A),
    /// It came by the second.
    Second(B),
}

/// The same of whichever it is.
macro_rules! of {
    ($either:expr, $request:ident => $what:expr) => {
        match $either {
            Self::First($request) => $what,
            Self::Second($request) => $what,
        }
    };
}

impl<A: Request, B: Request> Request for Either<A, B> {
    #[inline]
    fn establish(&mut self) -> io::Result<()> {
        of!(self, request => request.establish())
    }

    #[inline]
    fn deliver(&mut self) -> io::Result<()> {
        of!(self, request => request.deliver())
    }

    #[inline]
    fn next_exchange(&mut self) -> io::Result<()> {
        of!(self, request => request.next_exchange())
    }

    fn classify(&self, error: &io::Error) -> FailureKind {
        of!(self, request => request.classify(error))
    }

    #[inline]
    fn connection(&self) -> Option<BorrowedFd<'_>> {
        of!(self, request => request.connection())
    }

    fn cutter(&self) -> Option<Cutter> {
        of!(self, request => request.cutter())
    }

    #[inline]
    fn watch(&mut self, activity: &Activity) {
        of!(self, request => request.watch(activity));
    }

    fn answer(&mut self, bytes: &[u8]) {
        of!(self, request => request.answer(bytes));
    }

    fn reset_request(&mut self) {
        of!(self, request => request.reset_request());
    }

    #[inline]
    fn shutdown_request(&mut self) {
        of!(self, request => request.shutdown_request());
    }

    #[inline]
    fn close_request(&mut self) {
        of!(self, request => request.close_request());
    }
}

impl<A: Read, B: Read> Read for Either<A, B> {
    #[inline]
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        of!(self, request => request.read(bytes))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        of!(self, request => request.read_vectored(buffers))
    }
}

impl<A: BufRead, B: BufRead> BufRead for Either<A, B> {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        of!(self, request => request.fill_buf())
    }

    #[inline]
    fn consume(&mut self, amount: usize) {
        of!(self, request => request.consume(amount));
    }
}

impl<A: Write, B: Write> Write for Either<A, B> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        of!(self, request => request.write(bytes))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        of!(self, request => request.write_vectored(buffers))
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        of!(self, request => request.flush())
    }
}

#[diagnostic::do_not_recommend]
impl<A: Connection, B: Connection> Connection for Either<A, B> {
    fn set_deadlines(&mut self, deadlines: Deadlines) -> io::Result<()> {
        of!(self, request => request.set_deadlines(deadlines))
    }

    fn set_hangup(&mut self, hangup: Hangup) -> io::Result<()> {
        of!(self, request => request.set_hangup(hangup))
    }

    fn set_stage_end(&mut self, end: Option<Instant>) {
        of!(self, request => request.set_stage_end(end));
    }
}

#[diagnostic::do_not_recommend]
impl<A: Selectable, B: Selectable> Selectable for Either<A, B> {
    fn advance(&mut self, room: &mut Room) -> io::Result<Progress> {
        of!(self, request => request.advance(room))
    }

    fn input(&self) -> &[u8] {
        of!(self, request => request.input())
    }

    fn until(&mut self) -> Option<Instant> {
        of!(self, request => request.until())
    }
}

#[diagnostic::do_not_recommend]
impl<A: PeerIp, B: PeerIp> PeerIp for Either<A, B> {
    fn peer_ip(&self) -> IpAddr {
        of!(self, request => request.peer_ip())
    }
}

#[diagnostic::do_not_recommend]
impl<A: PeerUid, B: PeerUid> PeerUid for Either<A, B> {
    fn peer_uid(&self) -> Option<u32> {
        of!(self, request => request.peer_uid())
    }
}

#[diagnostic::do_not_recommend]
impl<A: PeerCredentials, B: PeerCredentials> PeerCredentials for Either<A, B> {
    fn peer_credentials(&self) -> io::Result<Credentials> {
        of!(self, request => request.peer_credentials())
    }
}

#[diagnostic::do_not_recommend]
impl<A: PeerCertificate, B: PeerCertificate> PeerCertificate for Either<A, B> {
    fn peer_certificate(&self) -> Option<&[u8]> {
        of!(self, request => request.peer_certificate())
    }
}

/// Where both know their peers by the same means, or by means that come to the same.
#[diagnostic::do_not_recommend]
impl<A: HasIdentity, B: HasIdentity<Identity = A::Identity>> HasIdentity for Either<A, B> {
    type Identity = A::Identity;

    fn identity(&self) -> io::Result<&A::Identity> {
        of!(self, request => request.identity())
    }
}

#[cfg(feature = "proxy")]
#[diagnostic::do_not_recommend]
impl<A: super::Proxiable, B: super::Proxiable> super::Proxiable for Either<A, B> {}

impl<A: AsFd, B: AsFd> AsFd for Either<A, B> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        of!(self, request => request.as_fd())
    }
}
