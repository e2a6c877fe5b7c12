//! What a transport that wraps another one, its field `inner`, leaves to it.

/// The methods of [`Transport`](crate::Transport) but `get_request`: the socket is the inner one's.
/// One that has something to do of its own when it is closed says so.
macro_rules! forward_transport {
    () => {
        forward_transport!(but server_close);

        fn server_close(self) -> ::std::io::Result<()> {
            self.inner.server_close()
        }
    };
    (but server_close) => {
        fn wait(&self, waiter: &$crate::Waiter<'_>) -> ::std::io::Result<()> {
            self.inner.wait(waiter)
        }

        fn is_level_triggered(&self) -> bool {
            self.inner.is_level_triggered()
        }

        fn check_fork(&self, role: $crate::ForkRole) -> ::std::io::Result<()> {
            self.inner.check_fork(role)
        }

        fn after_fork(&self, child: &$crate::ForkedChild<'_>) {
            self.inner.after_fork(child);
        }
    };
}

/// The methods of [`Portable`](crate::Portable) but `unpack`: what is sent is the inner request, and
/// the other process wraps it again. Where the requests are the inner ones, `unpack` is too.
macro_rules! forward_portable {
    () => {
        forward_portable!(request => request.get_ref());
    };
    (requests as they are) => {
        forward_portable!(request => request);

        fn unpack(
            &self,
            bytes: &[u8],
            descriptor: Option<::std::os::fd::OwnedFd>,
        ) -> ::std::io::Result<Self::Request> {
            self.inner.unpack(bytes, descriptor)
        }
    };
    ($request:ident => $inner:expr) => {
        fn pack<'r>(
            &self,
            $request: &'r Self::Request,
            bytes: &mut ::std::vec::Vec<u8>,
        ) -> ::std::io::Result<Option<::std::os::fd::BorrowedFd<'r>>> {
            self.inner.pack($inner, bytes)
        }

        fn is_from(&self, $request: &Self::Request) -> bool {
            self.inner.is_from($inner)
        }
    };
}

/// The address, and the descriptor.
macro_rules! forward_address {
    (<$($parameter:ident),+> $type:ty $(, $($bounds:tt)+)?) => {
        impl<$($parameter),+> $crate::LocalAddr for $type
        where
            T: $crate::LocalAddr,
            $($($bounds)+)?
        {
            type Addr = T::Addr;

            fn local_addr(&self) -> ::std::io::Result<T::Addr> {
                self.inner.local_addr()
            }
        }

        impl<$($parameter),+> ::std::os::fd::AsFd for $type
        where
            T: ::std::os::fd::AsFd,
            $($($bounds)+)?
        {
            fn as_fd(&self) -> ::std::os::fd::BorrowedFd<'_> {
                self.inner.as_fd()
            }
        }
    };
}

pub(crate) use {forward_address, forward_portable, forward_transport};
