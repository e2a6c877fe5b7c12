//! Mixins that break laws.

use std::io::{self, Write};

use socketserver::testing::{Law, mixin};
use socketserver::{Failure, Handler, Next, forward_hooks};

use crate::{Outcome, breaks, keeps};

/// Passes all hooks on but those that are given, which it has of its own.
macro_rules! mixins {
    ($($(#[$doc:meta])* $name:ident, $test:ident breaks $law:ident:
        forwards $($hook:ident)* { $($own:item)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        struct $name<H>(H);

        impl<R: Write, H: Handler<R>> Handler<R> for $name<H> {
            forward_hooks!(R, self => self.0; missing handle_timeout service_actions
                get_request_failed event panicked child_init $($hook)*);
            $($own)*
        }

        pub(crate) fn $test() -> Outcome {
            breaks(&[Law::$law], mixin($name))
        }
    )*};
}

/// Passes all on.
#[derive(Debug)]
struct Nothing<H>(H);

impl<R, H: Handler<R>> Handler<R> for Nothing<H> {
    forward_hooks!(R, self => self.0; all);
}

pub(crate) fn nothing_wrong() -> Outcome {
    keeps(mixin(Nothing))
}

mixins! {
HandlesTwice, handles_twice breaks OnceEach:
forwards setup finish verify_request handle_error {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let next = self.0.handle(request)?;
        self.0.handle(request).map(|_| next)
    }
}

SwallowsFailures, swallows_failures breaks OnceEach:
forwards setup finish verify_request handle_error {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        Ok(self.0.handle(request).unwrap_or_default())
    }
}

TellsFailuresTwice, tells_failures_twice breaks OnceEach:
forwards handle setup finish verify_request {
    fn handle_error(&self, request: &mut R, failure: &Failure) {
        self.0.handle_error(request, failure);
        self.0.handle_error(request, failure);
    }
}

ForgetsToFinish, forgets_to_finish breaks SameStory:
forwards handle setup verify_request handle_error {}

LetsEverybodyIn, lets_everybody_in breaks SameStory:
forwards handle setup finish handle_error {
    fn verify_request(&self, request: &R) -> io::Result<bool> {
        self.0.verify_request(request).map(|_| true)
    }
}

AnswersTwice, answers_twice breaks OnceEach:
forwards setup finish verify_request handle_error {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let next = self.0.handle(request)?;
        request.write_all(b"once more")?;
        Ok(next)
    }
}
}
