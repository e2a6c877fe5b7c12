//! How a server ends: announced, finished, cut, and with a report.

mod closing;
mod stages;
mod timer;

pub use closing::Closing;
pub use stages::Due;
pub(crate) use timer::Timer;

use std::fmt;
use std::time::Duration;

/// How long each stage of a server's end may take; given to it by
/// [`Server::drain`](crate::Server::drain).
///
/// | stage | begins | meanwhile | ends |
/// | --- | --- | --- | --- |
/// | announced | with the stop | requests are taken as before; [`StopHandle::is_stopping`](crate::StopHandle::is_stopping) says `true`; `Next::Again` means `Done`, but for the exchange in which the stop has come: after that there is one more | after [`announce`](Self::announce) (none by default) |
/// | finishing | then | no request is taken; connections that are idle are cut, all others finish | after [`finish_within`](Self::finish_within) (never by default) |
/// | cut | then | connections are shut down (shutdown(2)), so that whoever reads from or writes to one finds its end; processes get SIGTERM | after [`cut_within`](Self::cut_within) (never by default) |
/// | abandoned | then | threads are left alone; processes are killed (SIGKILL) | |
///
/// Each further stop ends the stage that lasts: one ends the announcement, and one more has what
/// is in flight cut off.
///
/// The first stage is that of [`serve_forever`](crate::Server::serve_forever), the others are those
/// of [`close`](crate::Server::close), which returns the [`Report`]. Under
/// [`Sync`](crate::Sync) the request that is in flight keeps `serve_forever` from returning;
/// it is cut there.
///
/// Without a `Drain`, a server ends as Python's does: what is in flight is waited for without
/// limit, and never cut. Knowing what to cut costs each connection an entry in a table.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use socketserver::{Drain, ThreadingTcpServer};
///
/// let drain = Drain::new()
///     .announce(Duration::from_secs(5))
///     .finish_within(Duration::from_secs(30))
///     .cut_within(Duration::from_secs(2));
/// let mut server = ThreadingTcpServer::bind_fn("127.0.0.1:0", |_conn| Ok(()))?.drain(drain);
/// # server.stop_handle().stop();
/// server.serve_forever()?;
/// let report = server.close()?;
/// println!("{report}"); // finished 0, cut 0, abandoned 0, refused 0, in 0.0 s
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "a drain does nothing before `Server::drain`"]
pub struct Drain {
    announced: Duration,
    finished: Option<Duration>,
    cut: Option<Duration>,
}

impl Drain {
    /// No announcement, and no limit to anything.
    pub const fn new() -> Self {
        Self { announced: Duration::ZERO, finished: None, cut: None }
    }

    /// For how long requests are taken after a stop, so that whoever sends them hears of it before
    /// they are refused: a load balancer needs so long to look at the server's health again, and the
    /// peer of a connection that lasts hears in its last answer that it is the last.
    ///
    /// A stop that comes before the server serves is not announced to anybody.
    pub const fn announce(mut self, time: Duration) -> Self {
        self.announced = time;
        self
    }

    /// How long requests in flight may take to finish, from the end of serving, before they are
    /// cut off.
    pub const fn finish_within(mut self, time: Duration) -> Self {
        self.finished = Some(time);
        self
    }

    /// How long requests that have been cut off may take to end, before they are abandoned.
    pub const fn cut_within(mut self, time: Duration) -> Self {
        self.cut = Some(time);
        self
    }

    pub(crate) const fn announced(&self) -> Duration {
        self.announced
    }
}

/// What became of the requests that were in flight when the server was closed; what
/// [`Server::close`](crate::Server::close) returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many came to their end by themselves, well or badly.
    pub finished: usize,
    /// How many were cut off: idle ones, those that took too long, processes that were ended.
    pub cut: usize,
    /// How many were not waited for (any longer).
    pub abandoned: usize,
    /// How many were turned away between the stop and the end of serving. It is known of servers
    /// with a [`Drain`], [`Limits`](crate::Limits) or [`Counters`](crate::Counters); of others it
    /// is 0.
    pub refused: usize,
    /// How long it took, from the stop where that is known as above, and else from the call of
    /// `close`.
    pub took: Duration,
}

/// "finished 12, cut 1, abandoned 0, refused 3, in 5.2 s"
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finished, cut, abandoned, refused, took } = self;
        let seconds = took.as_secs_f64();
        write!(
            f,
            "finished {finished}, cut {cut}, abandoned {abandoned}, refused {refused}, in \
             {seconds:.1} s"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_its_documentation_says() {
        let took = Duration::from_millis(5210);
        let report = Report { finished: 12, cut: 1, abandoned: 0, refused: 3, took };
        assert_eq!(report.to_string(), "finished 12, cut 1, abandoned 0, refused 3, in 5.2 s");
    }
}
