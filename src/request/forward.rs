//! What a request that wraps another passes on: a method that is not passed on would be lost.

/// The impls of `$type`, whose field `inner` is an `R`: all that it has in common with that, but
/// [`Request`](super::Request) itself and what tells who the peer is.
macro_rules! forward_connection {
    (<R $(, $G:ident: $bound:path)?> $type:ty) => {
        #[diagnostic::do_not_recommend]
        impl<R $(, $G: $bound)?> $crate::request::Selectable for $type
        where
            R: $crate::request::Selectable,
            Self: $crate::request::Request,
        {
            fn advance(
                &mut self,
                room: &mut $crate::request::Room,
            ) -> ::std::io::Result<$crate::request::Progress> {
                self.inner.advance(room)
            }

            fn input(&self) -> &[u8] {
                self.inner.input()
            }

            fn until(&mut self) -> Option<::std::time::Instant> {
                self.inner.until()
            }
        }

        #[diagnostic::do_not_recommend]
        impl<R $(, $G: $bound)?> $crate::request::Connection for $type
        where
            R: $crate::request::Connection,
        {
            fn set_deadlines(&mut self, deadlines: $crate::Deadlines) -> ::std::io::Result<()> {
                self.inner.set_deadlines(deadlines)
            }

            fn set_hangup(&mut self, hangup: $crate::Hangup) -> ::std::io::Result<()> {
                self.inner.set_hangup(hangup)
            }

            fn set_stage_end(&mut self, end: Option<::std::time::Instant>) {
                self.inner.set_stage_end(end);
            }
        }

        #[diagnostic::do_not_recommend]
        impl<R $(, $G: $bound)?> ::std::io::Read for $type
        where
            R: ::std::io::Read,
        {
            fn read(&mut self, bytes: &mut [u8]) -> ::std::io::Result<usize> {
                self.inner.read(bytes)
            }
        }

        #[diagnostic::do_not_recommend]
        impl<R $(, $G: $bound)?> ::std::io::BufRead for $type
        where
            R: ::std::io::BufRead,
        {
            fn fill_buf(&mut self) -> ::std::io::Result<&[u8]> {
                self.inner.fill_buf()
            }

            fn consume(&mut self, amount: usize) {
                self.inner.consume(amount);
            }
        }

        #[diagnostic::do_not_recommend]
        impl<R $(, $G: $bound)?> ::std::io::Write for $type
        where
            R: ::std::io::Write,
        {
            fn write(&mut self, bytes: &[u8]) -> ::std::io::Result<usize> {
                self.inner.write(bytes)
            }

            fn flush(&mut self) -> ::std::io::Result<()> {
                self.inner.flush()
            }
        }

        #[diagnostic::do_not_recommend]
        impl<R $(, $G: $bound)?> ::std::os::fd::AsFd for $type
        where
            R: ::std::os::fd::AsFd,
        {
            fn as_fd(&self) -> ::std::os::fd::BorrowedFd<'_> {
                self.inner.as_fd()
            }
        }
    };
}

/// The methods of [`Request`](super::Request), but `establish`, which is what a request wraps
/// another for, and where that is said `watch`.
macro_rules! forward_request {
    ($self:ident => $to:expr) => {
        fn watch(&mut $self, activity: &$crate::Activity) {
            $to.watch(activity);
        }

        $crate::request::forward_request!($self => $to, but watch);
    };
    ($self:ident => $to:expr, but watch) => {
        fn deliver(&mut $self) -> ::std::io::Result<()> {
            $to.deliver()
        }

        fn next_exchange(&mut $self) -> ::std::io::Result<()> {
            $to.next_exchange()
        }

        fn classify(&$self, error: &::std::io::Error) -> $crate::FailureKind {
            $to.classify(error)
        }

        fn connection(&$self) -> Option<::std::os::fd::BorrowedFd<'_>> {
            $to.connection()
        }

        fn cutter(&$self) -> Option<$crate::Cutter> {
            $to.cutter()
        }

        fn answer(&mut $self, bytes: &[u8]) {
            $to.answer(bytes);
        }

        fn reset_request(&mut $self) {
            $to.reset_request();
        }

        fn shutdown_request(&mut $self) {
            $to.shutdown_request();
        }

        fn close_request(&mut $self) {
            $to.close_request();
        }
    };
}

pub(crate) use {forward_connection, forward_request};
