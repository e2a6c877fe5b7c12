//! For tests of your own pieces: servers without sockets, and the laws of this crate. The feature
//! `testing` has it, and is for `[dev-dependencies]`.
//!
//! # In memory
//!
//! [`Memory`] is a transport of connections and [`MemoryDatagrams`] one of packets, in the memory of
//! the process. Their requests are those of [`Tcp`](crate::Tcp) and [`Udp`](crate::Udp), the same
//! types with all that they do, over another socket: buffers, timeouts,
//! [`Deadlines`](crate::Deadlines), [`Hangup`](crate::Hangup), [`Limits`](crate::Limits) by address,
//! drains that cut. So a handler of all that can be read and written is tested as it is, and one for
//! `TcpRequest` when it is made one for [`StreamRequest<S, SocketAddr>`](crate::StreamRequest) of any
//! [`StreamSocket`](crate::StreamSocket).
//!
//! What goes wrong is the test's to choose, to the byte: [`Link`] and
//! [`fail_get_request`](crate::Options::fail_get_request). Time is, too: [`Clock`]. No test has to
//! wait for it to pass.
//!
//! # Examples
//!
//! A handler that is to answer a line in thirty seconds, and to survive whatever its peers do:
//!
//! ```
//! use std::io::{self, BufRead, ErrorKind, Read, Write};
//! use std::time::Duration;
//! use socketserver::testing::{Clock, Link, Memory, MemoryStream};
//! use socketserver::{Counters, Deadlines, FailureKind, Handler, Next, ReadLine, Server, Threading};
//!
//! struct Greeter;
//!
//! impl<R: BufRead + Write> Handler<R> for Greeter {
//!     fn handle(&self, conn: &mut R) -> io::Result<Next> {
//!         let mut name = String::new();
//!         conn.read_line_bounded(&mut name, 80)?;
//!         write!(conn, "hello, {name}")?;
//!         Ok(Next::Done)
//!     }
//! }
//!
//! const EMFILE: i32 = 24;
//! let (clock, counters) = (Clock::new(), Counters::new()?);
//! let memory = Memory::options()
//!     .clock(&clock)
//!     .fail_get_request(3, io::Error::from_raw_os_error(EMFILE))
//!     .bind("10.0.0.1:0")?;
//! let greeter = Deadlines::new().request(Duration::from_secs(30)).guard(Greeter)?;
//! let running = Server::new(memory, Threading::new(), greeter)?.counters(&counters).spawn()?;
//! let server = running.local_addr()?;
//!
//! // A client that is slow: the handler has read two bytes, and waits for a third.
//! let mut slow = MemoryStream::connect(server)?;
//! slow.write_all(b"Al")?;
//! slow.until_waited_for()?;
//! clock.advance(Duration::from_secs(29));
//! slow.until_waited_for()?; // it still does
//! clock.advance(Duration::from_secs(1));
//! assert_eq!(slow.read(&mut [0])?, 0);
//!
//! // One that is reset when the third byte of the answer is sent.
//! let mut gone = Link::new().reset_writes_at(2).connect(server)?;
//! gone.write_all(b"Bob\n")?;
//! let error = gone.read_to_string(&mut String::new()).err();
//! assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::ConnectionReset));
//!
//! // One that comes when there are no descriptors: the loop tries again.
//! let mut third = MemoryStream::connect(server)?;
//! third.write_all(b"Cleo\n")?;
//! let mut answer = String::new();
//! third.read_to_string(&mut answer)?;
//! assert_eq!(answer, "hello, Cleo\n");
//!
//! running.close()?;
//! assert_eq!(counters.failed_by(FailureKind::TimedOut), 1);
//! assert_eq!(counters.failed_by(FailureKind::PeerGone), 1);
//! assert_eq!((counters.finished(), counters.accept_errors()), (1, 1));
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # The laws
//!
//! What holds for every [transport](crate::Transport), [strategy](crate::Concurrency) and
//! [mixin](crate::Handler) of this crate is checked on one of your own by
//! [`keeps_the_laws!`](crate::testing::keeps_the_laws):
//!
//! ```
//! use socketserver::testing::{OverTcp, keeps_the_laws, mixin, strategy, transport};
//! use socketserver::{Selecting, Sync, ThreadPool};
//!
//! // In the place of what stands here stands yours.
//! keeps_the_laws!(my_strategy, strategy(|| ThreadPool::new(2)));
//! keeps_the_laws!(my_selector, strategy(|| Selecting::new(Sync)).over(OverTcp));
//! keeps_the_laws!(my_transport, transport(OverTcp));
//! keeps_the_laws!(my_mixin, mixin(|inner| inner));
//! ```
//!
//! A strategy and a mixin take a line; of a transport, a [`Reach`] says how it is made and how a client
//! talks to it. Each [`Law`] in words:
//!
//! | law | what is checked |
//! | --- | --- |
//! | [`Conservation`](Law::Conservation) | of the requests that clients have made, each is taken once, where it has to be, and none that nobody made; each ends as finished, failed or refused, and is counted so; none is dropped |
//! | [`OnceEach`](Law::OnceEach) | `handle`, `shutdown_request` and the end come once for each request, `handle_error` once for each that failed and for no other; the client gets its answer, once, and sees the end |
//! | [`SameStory`](Law::SameStory) | the hooks come in the order of [`Handler`](crate::Handler)'s table, and as often, whatever happens; and `handle_request` says what it did |
//! | [`LoopLives`](Law::LoopLives) | requests are taken for as long as nobody stops the server, though clients are silent, reset, or cut off, and though handlers and hooks fail and panic; a loop that has nothing to do waits |
//! | [`StopIsSeen`](Law::StopIsSeen) | a stop from another thread or a handler, before, during or after serving, once or twice, ends the session it is for, and no other |
//! | [`NothingRemains`](Law::NothingRemains) | `close` returns; then no thread, child, descriptor or socket file is left, nor anybody who holds the handler or the transport |

mod conformance;
mod memory;

pub use conformance::*;
pub(crate) use memory::Script;
pub use memory::{
    Clock, InMemory, Link, Memory, MemoryDatagramSocket, MemoryDatagrams, MemoryPacket,
    MemoryRequest, MemoryStream, Stall,
};
