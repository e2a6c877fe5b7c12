//! The conformance kit: the laws of this crate, checked on a transport, a strategy or a mixin of
//! your own.

mod apart;
mod caller;
mod checks;
mod idle;
mod in_memory;
mod law;
mod ledger;
mod machine;
mod model;
mod piece;
mod random;
mod reach;
mod remains;
mod runner;
mod schedule;
mod script;
mod step;
mod system;
mod teller;
mod watch;
mod watched;
mod world;

pub use self::apart::check_apart;
pub use self::in_memory::{MemoryDatagramClient, OverMemory, OverMemoryDatagrams};
pub use self::law::{Broken, Law};
pub use self::piece::{Check, Mixin, Over, Rig, Strategy, mixin, strategy, transport};
pub use self::reach::{Client, OverTcp, Reach};
pub use self::runner::Kept;
pub use self::teller::Teller;
pub use self::watched::{Visit, Watched};
pub use crate::keeps_the_laws;

/// Makes a test that checks the laws on a piece: its name, and what [`strategy`],
/// [`transport`](fn@transport) or [`mixin`] makes of the piece.
///
/// A schedule is a server, up to ten clients and up to forty steps: clients come, say some of what
/// they have to say, go away, are rejected, have handlers that fail, panic or stop the server; the
/// server serves for ever, for one request or on a thread of its own, is stopped through handles
/// old and new, and closed. After each step, and at the end, all that happened is held against a
/// model. Where a [`Law`] breaks, the test fails with the law, what was seen, and the shortest
/// schedule found, in sentences.
///
/// The test runs in a process of its own, for which it starts its own program once more, and so sees
/// every thread, child and descriptor that is left.
///
/// # What is asked of a piece
///
/// * A strategy is for any transport and handler, serves until its session is over, and waits in
///   [`close`](crate::Concurrency::close) for what runs elsewhere.
/// * A transport's requests come in the order of their clients, and can be read and written.
/// * A mixin passes every hook on, and neither answers nor fails by itself.
///
/// # How many, and which
///
/// | environment | |
/// | --- | --- |
/// | `SOCKETSERVER_SCHEDULES` | how many schedules are played on each rig; 100 by default |
/// | `SOCKETSERVER_SEED` | where the first comes from, and each other from the next number; by default another one each time. What a failed test says |
///
/// A schedule that depends on how threads meet may need to be played several times to fail again.
///
/// # Examples
///
/// ```
/// use std::io;
/// use socketserver::testing::{keeps_the_laws, strategy};
/// use socketserver::{Concurrency, Handler, Session, Transport};
///
/// /// One request after the other.
/// struct Plain;
///
/// impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Plain {
///     fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
///         while let Some(job) = session.next_request()? {
///             session.finish_request(job);
///         }
///         Ok(())
///     }
/// }
///
/// keeps_the_laws!(plain_keeps_the_laws, strategy(|| Plain)); // over memory, and over TCP
/// ```
#[macro_export]
macro_rules! keeps_the_laws {
    ($(#[$attribute:meta])* $name:ident, $piece:expr $(,)?) => {
        $(#[$attribute])*
        #[test]
        fn $name() {
            $crate::testing::check_apart(
                ::std::concat!(::std::module_path!(), "::", ::std::stringify!($name)),
                || $crate::testing::Check::check($piece),
            );
        }
    };
}
