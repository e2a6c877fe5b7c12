//! Closures as handlers.

use std::any::type_name;
use std::fmt;
use std::io;

use super::{Handler, Next};

/// Makes a handler of a closure that takes `&mut` request and returns `io::Result<()>`.
///
/// The argument's type has to be written, as nothing says yet which requests the closure will get;
/// the constructors [`bind_fn`](crate::Server::bind_fn) and [`new_fn`](crate::Server::new_fn) know
/// it, and let it be inferred.
///
/// # Examples
///
/// ```
/// use std::io::{BufRead, Write};
/// use socketserver::{TcpRequest, ThreadingTcpServer, handler_fn};
///
/// let echo = handler_fn(|conn: &mut TcpRequest| {
///     let mut line = Vec::new();
///     conn.read_until(b'\n', &mut line)?;
///     conn.write_all(&line)
/// });
/// let server = ThreadingTcpServer::bind("127.0.0.1:0", echo)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn handler_fn<R, F>(function: F) -> HandlerFn<F>
where
    F: Fn(&mut R) -> io::Result<()>,
{
    HandlerFn(function)
}

/// A closure as a handler; made by [`handler_fn`].
#[derive(Clone, Copy)]
pub struct HandlerFn<F>(F);

impl<R, F> Handler<R> for HandlerFn<F>
where
    F: Fn(&mut R) -> io::Result<()>,
{
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        (self.0)(request).map(Next::from)
    }
}

impl<F> fmt::Debug for HandlerFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerFn({})", type_name::<F>())
    }
}
