//! Passing hooks on: pointers to handlers are handlers, and a mixin is a handler that passes on all
//! hooks but its own, so that an override survives.

use std::io;
use std::sync::Arc;

use super::{Handler, Next, OnPanic};
use crate::event::Event;
use crate::failure::Failure;

/// Inside an `impl Handler<R>`: passes the hooks that are named on to `$to`, which is made of
/// `self`; `all` stands for every one.
macro_rules! forward_hooks {
    ($R:ty, $self:ident => $to:expr; all) => {
        forward_hooks!($R, $self => $to;
            handle setup finish verify_request handle_error handle_timeout service_actions
            get_request_failed event panicked child_init);
    };
    ($R:ty, $self:ident => $to:expr; $($hook:ident)*) => {
        $(forward_hooks!(@ $hook $R, $self => $to);)*
    };
    (@ handle $R:ty, $self:ident => $to:expr) => {
        fn handle(&$self, request: &mut $R) -> io::Result<Next> {
            $to.handle(request)
        }
    };
    (@ setup $R:ty, $self:ident => $to:expr) => {
        fn setup(&$self, request: &mut $R) -> io::Result<()> {
            $to.setup(request)
        }
    };
    (@ finish $R:ty, $self:ident => $to:expr) => {
        fn finish(&$self, request: &mut $R) -> io::Result<()> {
            $to.finish(request)
        }
    };
    (@ verify_request $R:ty, $self:ident => $to:expr) => {
        fn verify_request(&$self, request: &$R) -> io::Result<bool> {
            $to.verify_request(request)
        }
    };
    (@ handle_error $R:ty, $self:ident => $to:expr) => {
        fn handle_error(&$self, request: &mut $R, failure: &Failure) {
            $to.handle_error(request, failure);
        }
    };
    (@ handle_timeout $R:ty, $self:ident => $to:expr) => {
        fn handle_timeout(&$self) {
            $to.handle_timeout();
        }
    };
    (@ service_actions $R:ty, $self:ident => $to:expr) => {
        fn service_actions(&$self) {
            $to.service_actions();
        }
    };
    (@ get_request_failed $R:ty, $self:ident => $to:expr) => {
        fn get_request_failed(&$self, error: &io::Error) {
            $to.get_request_failed(error);
        }
    };
    (@ event $R:ty, $self:ident => $to:expr) => {
        fn event(&$self, event: Event) {
            $to.event(event);
        }
    };
    (@ panicked $R:ty, $self:ident => $to:expr) => {
        fn panicked(&$self) -> OnPanic {
            $to.panicked()
        }
    };
    (@ child_init $R:ty, $self:ident => $to:expr) => {
        fn child_init(&$self) {
            $to.child_init();
        }
    };
}

pub(super) use forward_hooks;

macro_rules! forward_pointers {
    ($($pointer:ty),*) => {$(
        impl<R, H: Handler<R> + ?Sized> Handler<R> for $pointer {
            forward_hooks!(R, self => (**self); all);
        }
    )*};
}

forward_pointers!(&H, Box<H>, Arc<H>);
