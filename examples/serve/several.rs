//! Several listeners as one transport, which may be offered to a process that follows.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socketserver::{
    ForkedChild, Inheritable, LocalAddr, Many, Offered, Portable, Transport, Waiter,
};

/// One type for both, so that there is one server of each kind and not two.
pub(crate) enum Several<T> {
    Kept(Many<T>),
    Offered(Offered<Many<T>>),
}

macro_rules! of {
    ($several:expr, $transport:ident => $do:expr) => {
        match $several {
            Several::Kept($transport) => $do,
            Several::Offered($transport) => $do,
        }
    };
}

impl<T: Inheritable + AsFd> Transport for Several<T> {
    type Request = T::Request;

    fn get_request(&self) -> io::Result<Option<T::Request>> {
        of!(self, transport => transport.get_request())
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        of!(self, transport => transport.wait(waiter))
    }

    fn is_level_triggered(&self) -> bool {
        of!(self, transport => transport.is_level_triggered())
    }

    fn server_close(self) -> io::Result<()> {
        of!(self, transport => transport.server_close())
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        of!(self, transport => transport.after_fork(child));
    }
}

impl<T: Inheritable + Portable + AsFd> Portable for Several<T> {
    fn pack<'r>(
        &self,
        request: &'r T::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        of!(self, transport => transport.pack(request, bytes))
    }

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<T::Request> {
        of!(self, transport => transport.unpack(bytes, descriptor))
    }

    fn is_from(&self, request: &T::Request) -> bool {
        of!(self, transport => transport.is_from(request))
    }
}

impl<T: LocalAddr> LocalAddr for Several<T> {
    type Addr = Vec<T::Addr>;

    fn local_addr(&self) -> io::Result<Vec<T::Addr>> {
        of!(self, transport => transport.local_addr())
    }
}

impl<T> AsFd for Several<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        of!(self, transport => transport.as_fd())
    }
}
