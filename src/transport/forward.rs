//! What a transport that wraps another one, its field `inner`, leaves to it.

/// The methods of [`Transport`](crate::Transport) but `get_request`: the socket is the inner one's.
macro_rules! forward_transport {
    () => {
        fn wait(&self, waiter: &$crate::Waiter<'_>) -> ::std::io::Result<()> {
            self.inner.wait(waiter)
        }

        fn is_level_triggered(&self) -> bool {
            self.inner.is_level_triggered()
        }

        fn is_in_memory(&self) -> bool {
            self.inner.is_in_memory()
        }

        fn check_fork(&self) -> ::std::io::Result<()> {
            self.inner.check_fork()
        }

        fn server_close(self) -> ::std::io::Result<()> {
            self.inner.server_close()
        }

        fn after_fork(&self, child: &$crate::ForkedChild<'_>) {
            self.inner.after_fork(child);
        }
    };
}

/// The methods of [`Portable`](crate::Portable) but `unpack`: what is sent is the inner request, and
/// the other process wraps it again.
macro_rules! forward_portable {
    () => {
        fn pack<'r>(
            &self,
            request: &'r Self::Request,
            bytes: &mut ::std::vec::Vec<u8>,
        ) -> ::std::io::Result<Option<::std::os::fd::BorrowedFd<'r>>> {
            self.inner.pack(request.get_ref(), bytes)
        }

        fn is_from(&self, request: &Self::Request) -> bool {
            self.inner.is_from(request.get_ref())
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
