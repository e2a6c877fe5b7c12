//! Pointers to handlers are handlers: every hook is passed on, so that an override survives.

use std::io;
use std::sync::Arc;

use super::{Handler, Next};
use crate::failure::Failure;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<R, H: Handler<R> + ?Sized> Handler<R> for $pointer {
            fn handle(&self, request: &mut R) -> io::Result<Next> {
                (**self).handle(request)
            }

            fn setup(&self, request: &mut R) -> io::Result<()> {
                (**self).setup(request)
            }

            fn finish(&self, request: &mut R) -> io::Result<()> {
                (**self).finish(request)
            }

            fn verify_request(&self, request: &R) -> io::Result<bool> {
                (**self).verify_request(request)
            }

            fn handle_error(&self, request: &mut R, failure: &Failure) {
                (**self).handle_error(request, failure);
            }

            fn handle_timeout(&self) {
                (**self).handle_timeout();
            }

            fn service_actions(&self) {
                (**self).service_actions();
            }

            fn get_request_failed(&self, error: &io::Error) {
                (**self).get_request_failed(error);
            }
        }
    )*};
}

forward!(&H, Box<H>, Arc<H>);
