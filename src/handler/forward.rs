//! Passing hooks on: pointers to handlers are handlers, and a mixin is a handler that passes on all
//! hooks but its own, so that an override survives.

use std::sync::Arc;

use super::Handler;

/// Passes hooks on, for a mixin: a handler around another handler that has hooks of its own, and
/// leaves the rest to the inner one. A hook that is not passed on would be lost.
///
/// It stands inside the `impl` of [`Handler<R>`](crate::Handler), with the type of the request, what
/// the hooks are passed on to, made of `self`, and their names; `all` stands for every one.
///
/// # Examples
///
/// ```
/// use std::io;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use socketserver::{Handler, Next, TcpServer, forward_hooks};
///
/// /// Counts exchanges, and does what `H` does.
/// struct Exchanges<H>(H, AtomicU64);
///
/// impl<R, H: Handler<R>> Handler<R> for Exchanges<H> {
///     forward_hooks!(R, self => self.0;
///         missing setup finish verify_request handle_error handle_timeout service_actions
///         get_request_failed event panicked child_init);
///
///     fn handle(&self, request: &mut R) -> io::Result<Next> {
///         self.1.fetch_add(1, Ordering::Relaxed);
///         self.0.handle(request)
///     }
/// }
/// ```
#[macro_export]
macro_rules! forward_hooks {
    ($R:ty, $self:ident => $to:expr; all) => {
        $crate::forward_hooks!($R, $self => $to;
            handle missing setup finish verify_request handle_error handle_timeout service_actions
            get_request_failed event panicked child_init);
    };
    ($R:ty, $self:ident => $to:expr; $($hook:ident)*) => {
        $($crate::forward_hooks!(@ $hook $R, $self => $to);)*
    };
    (@ handle $R:ty, $self:ident => $to:expr) => {
        fn handle(&$self, request: &mut $R) -> ::std::io::Result<$crate::Next> {
            $crate::Handler::<$R>::handle(&$to, request)
        }
    };
    (@ missing $R:ty, $self:ident => $to:expr) => {
        fn missing(&$self, input: &[u8]) -> usize {
            $crate::Handler::<$R>::missing(&$to, input)
        }
    };
    (@ setup $R:ty, $self:ident => $to:expr) => {
        fn setup(&$self, request: &mut $R) -> ::std::io::Result<()> {
            $crate::Handler::<$R>::setup(&$to, request)
        }
    };
    (@ finish $R:ty, $self:ident => $to:expr) => {
        fn finish(&$self, request: &mut $R) -> ::std::io::Result<()> {
            $crate::Handler::<$R>::finish(&$to, request)
        }
    };
    (@ verify_request $R:ty, $self:ident => $to:expr) => {
        fn verify_request(&$self, request: &$R) -> ::std::io::Result<bool> {
            $crate::Handler::<$R>::verify_request(&$to, request)
        }
    };
    (@ handle_error $R:ty, $self:ident => $to:expr) => {
        fn handle_error(&$self, request: &mut $R, failure: &$crate::Failure) {
            $crate::Handler::<$R>::handle_error(&$to, request, failure);
        }
    };
    (@ handle_timeout $R:ty, $self:ident => $to:expr) => {
        fn handle_timeout(&$self) {
            $crate::Handler::<$R>::handle_timeout(&$to);
        }
    };
    (@ service_actions $R:ty, $self:ident => $to:expr) => {
        fn service_actions(&$self) {
            $crate::Handler::<$R>::service_actions(&$to);
        }
    };
    (@ get_request_failed $R:ty, $self:ident => $to:expr) => {
        fn get_request_failed(&$self, error: &::std::io::Error) {
            $crate::Handler::<$R>::get_request_failed(&$to, error);
        }
    };
    (@ event $R:ty, $self:ident => $to:expr) => {
        fn event(&$self, event: $crate::Event) {
            $crate::Handler::<$R>::event(&$to, event);
        }
    };
    (@ panicked $R:ty, $self:ident => $to:expr) => {
        fn panicked(&$self) -> $crate::OnPanic {
            $crate::Handler::<$R>::panicked(&$to)
        }
    };
    (@ child_init $R:ty, $self:ident => $to:expr) => {
        fn child_init(&$self) {
            $crate::Handler::<$R>::child_init(&$to);
        }
    };
}

macro_rules! forward_pointers {
    ($($pointer:ty),*) => {$(
        impl<R, H: Handler<R> + ?Sized> Handler<R> for $pointer {
            $crate::forward_hooks!(R, self => **self; all);
        }
    )*};
}

forward_pointers!(&H, Box<H>, Arc<H>);

super::forward_halves! {
    &H: Sized, self => **self;
    Box<H>: Sized, self => **self;
    Arc<H>: Sized, self => **self;
}
