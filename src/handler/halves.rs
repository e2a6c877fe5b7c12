//! Requests in two halves, of which the second may be a child's.

use std::io;

use super::{Handler, Next};

/// A handler that does a part of each request on the thread that serves, and has the rest done in a
/// forked child, depending on what it has read: what the strategy
/// [`FinishInChild`](crate::FinishInChild) needs. Python's documentation recommends it, as "an
/// explicit fork in the request handler class `handle()` method", and leaves it to its users.
///
/// Under that strategy [`begin`](Self::begin) takes the place of [`Handler::handle`], which the
/// others call: there, [`both_halves`](Self::both_halves) is all that need stand in it, and the same
/// handler then runs under every strategy.
///
/// | the request | hooks |
/// | --- | --- |
/// | needs no child | `verify_request`, `setup`, `begin`, `finish` |
/// | is finished in one | `verify_request`, `setup`, `begin`; in the child `child_init`, `finish_in_child`, `finish` |
/// | error or panic in `begin` | `verify_request`, `setup`, `begin`, `finish`, `handle_error` |
/// | error or panic in `finish_in_child` | as finished in one, and `handle_error`, in the child |
/// | the fork is refused | `verify_request`, `setup`, `begin`, `finish`, `handle_error` with the stage [`Start`](crate::Stage::Start) |
///
/// and then the request is shut down, once, by the process that had it last. Where that is a child,
/// the server [closes](crate::Request::close_request) its copy alone.
///
/// # Examples
///
/// A handler that answers what is quick at once, and has the rest done elsewhere:
///
/// ```
/// use std::io::{self, BufRead, Write};
/// use socketserver::{
///     Begun, FinishInChild, Forking, Handler, InHalves, Next, ReadLine, Server, Tcp,
/// };
///
/// struct Numbers;
///
/// impl<R: BufRead + Write> InHalves<R> for Numbers {
///     type Rest = u64;
///
///     fn begin(&self, request: &mut R) -> io::Result<Begun<u64>> {
///         let mut line = String::new();
///         if request.read_line_bounded(&mut line, 80)? == 0 {
///             return Ok(Next::Done.into());
///         }
///         match line.trim().parse() {
///             Ok(number @ 1000..) => Ok(Begun::InChild(number)), // takes its time
///             Ok(small) => {
///                 writeln!(request, "{}", (1..=small).sum::<u64>())?;
///                 Ok(Next::Again.into())
///             }
///             Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
///         }
///     }
///
///     fn finish_in_child(&self, request: &mut R, number: u64) -> io::Result<Next> {
///         writeln!(request, "{}", (1..=u128::from(number)).sum::<u128>())?;
///         Ok(Next::Again)
///     }
/// }
///
/// impl<R: BufRead + Write> Handler<R> for Numbers {
///     fn handle(&self, request: &mut R) -> io::Result<Next> {
///         self.both_halves(request)
///     }
/// }
///
/// let server: Server<Tcp, FinishInChild<Forking>, _> = Server::bind("127.0.0.1:0", Numbers)?;
/// # Ok::<(), io::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no second half of `{R}` requests that a child could finish",
    label = "not a handler in two halves",
    note = "`FinishInChild` has a handler begin each request on the thread that serves, and finish in \
            a forked child what it wants to: implement `InHalves` for it. To have each request handled in \
            a child as a whole, use `Forking` or `ForkServer`"
)]
pub trait InHalves<R>: Handler<R> {
    /// What the second half has to know of the first, beside the request. Under
    /// [`Forking`](crate::Forking) it may be anything, as a child has a copy of all memory; the
    /// server drops its own, so it must not be something whose `Drop` undoes what the child needs.
    /// Under [`ForkServer`](crate::ForkServer) it is a `Vec<u8>`, which is sent.
    type Rest;

    /// The first half, or all of an exchange, on the thread that serves: nobody else is served
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// As those of [`handle`](Handler::handle).
    fn begin(&self, request: &mut R) -> io::Result<Begun<Self::Rest>>;

    /// The second half, in a child that has been forked for it. The connection is the child's from
    /// then on: after [`Next::Again`] it begins the next exchange too, and finishes it itself.
    ///
    /// # Errors
    ///
    /// As those of [`handle`](Handler::handle).
    fn finish_in_child(&self, request: &mut R, rest: Self::Rest) -> io::Result<Next>;

    /// One half after the other, in the process that calls it: what stands in
    /// [`handle`](Handler::handle) of a handler that may run under strategies without such children.
    ///
    /// # Errors
    ///
    /// Those of the two.
    fn both_halves(&self, request: &mut R) -> io::Result<Next> {
        match self.begin(request)? {
            Begun::Here(next) => Ok(next),
            Begun::InChild(rest) => self.finish_in_child(request, rest),
        }
    }
}

/// What [`InHalves::begin`] has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun<D> {
    /// There is no second half: as what [`Handler::handle`] answers.
    Here(Next),
    /// The rest is for a child, which gets this.
    InChild(D),
}

impl<D> From<Next> for Begun<D> {
    fn from(next: Next) -> Self {
        Self::Here(next)
    }
}

/// The halves of `$type`, which are those of what it has inside, an `H`.
macro_rules! forward_halves {
    ($($type:ty $(: $sized:path)?, $this:ident => $to:expr;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<R, H: $crate::InHalves<R> $(+ ?$sized)?> $crate::InHalves<R> for $type
        where
            Self: $crate::Handler<R>,
        {
            type Rest = H::Rest;

            fn begin(&$this, request: &mut R) -> ::std::io::Result<$crate::Begun<H::Rest>> {
                $to.begin(request)
            }

            fn finish_in_child(
                &$this,
                request: &mut R,
                rest: H::Rest,
            ) -> ::std::io::Result<$crate::Next> {
                $to.finish_in_child(request, rest)
            }
        }
    )*};
}

pub(super) use forward_halves;
