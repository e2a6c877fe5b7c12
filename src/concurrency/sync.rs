//! One request at a time.

use std::io;

use super::Concurrency;
use crate::handler::Handler;
use crate::session::Session;
use crate::transport::Transport;

/// Each request runs on the thread that serves, and the next one waits: Python's server classes
/// without a mix-in.
///
/// A peer that is slow is waited for by all others; give connections a
/// [`timeout`](crate::Options::timeout). The handler needs neither `Send` nor `Sync`.
///
/// The name shadows the marker trait `Sync` of the prelude where it is imported; a module that
/// needs both writes `socketserver::Sync`, or `std::marker::Sync`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sync;

impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Sync {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        let mut place = None;
        while session.next_into(&mut place)? {
            session.finish_in(&mut place);
        }
        Ok(())
    }
}
