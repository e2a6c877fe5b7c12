//! Programs, and the handler that calls them.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::call::Call;
use super::message::{self, NotACall};
use super::record;
use super::request::{Framing, RpcRequest};
use super::status::Fault;
use crate::handler::{Handler, Next};

/// Programs that can be called: a user's, two together as a pair `(A, B)`, and pointers to them.
///
/// # Examples
///
/// [`rpc`](super) has one.
pub trait Program {
    /// The lowest and the highest version that there is of the program with this number; `None` where
    /// that is not here.
    fn versions(&self, program: u32) -> Option<RangeInclusive<u32>>;

    /// Runs a procedure of a program and a version that there is.
    ///
    /// Whoever calls over UDP and hears nothing calls again: there a call may come twice.
    ///
    /// # Errors
    ///
    /// What the caller is told in place of results.
    fn call(&self, call: &mut Call<'_>) -> Result<(), Fault>;
}

impl<A: Program, B: Program> Program for (A, B) {
    fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
        self.0.versions(program).or_else(|| self.1.versions(program))
    }

    fn call(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        match self.0.versions(call.program()) {
            Some(_) => self.0.call(call),
            None => self.1.call(call),
        }
    }
}

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<P: Program + ?Sized> Program for $pointer {
            fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
                (**self).versions(program)
            }

            fn call(&self, call: &mut Call<'_>) -> Result<(), Fault> {
                (**self).call(call)
            }
        }
    )*};
}

pointers!(&P, Box<P>, std::sync::Arc<P>);

/// The handler of remote procedure calls: reads a call, has `P` run the procedure, and sends the
/// reply, over connections and in packets alike.
///
/// A connection has one call after the other, each an exchange ([`Next::Again`]); where several have
/// come at once, they are answered in their order, each in a send of its own, so
/// [`disable_nagle_algorithm`](crate::Options::disable_nagle_algorithm) is for such callers. A packet
/// has one. Under [`Selecting`](crate::Selecting) connections wait in the table until a record is
/// whole; [`request_bytes`](crate::Selecting::request_bytes) has to have room for one.
///
/// What can't be a call is an error: it ends a connection, and gets no answer. Over UDP a reply that
/// is longer than [`max_amplification`](crate::Options::max_amplification) allows is not sent: whoever
/// has such results offers them over TCP.
#[derive(Debug, Clone)]
pub struct Rpc<P> {
    program: P,
    max_record: usize,
}

impl<P: Program> Rpc<P> {
    /// Serves the calls of `program`, in records of 64 KiB at most.
    pub fn new(program: P) -> Self {
        Self { program, max_record: 64 * 1024 }
    }

    /// The longest record, in bytes: no connection gets more memory for what it sends. For packets
    /// there is [`max_packet_size`](crate::Options::max_packet_size).
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes;
        self
    }

    /// The program.
    pub fn program(&self) -> &P {
        &self.program
    }

    /// Appends the reply to a message.
    fn answer(
        &self,
        mut message: &[u8],
        caller: Option<SocketAddr>,
        reply: &mut Vec<u8>,
    ) -> Result<(), NotACall> {
        let (xid, header) = message::take_header(&mut message)?;
        let begin = reply.len();
        match header {
            Ok(header) => {
                message::put_success(xid, reply);
                let mut call = Call::new(header, message, reply, caller);
                if let Err(fault) = self.run(&mut call) {
                    reply.truncate(begin);
                    message::put_fault(xid, fault, reply);
                }
            }
            Err(denial) => message::put_denial(xid, denial, reply),
        }
        Ok(())
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        let versions = self.program.versions(call.program()).ok_or(Fault::ProgUnavail)?;
        if !versions.contains(&call.version()) {
            let (low, high) = versions.into_inner();
            return Err(Fault::ProgMismatch { low, high });
        }
        match call.procedure() {
            0 => call.arguments(),
            _ => self.program.call(call),
        }
    }
}

impl<R: RpcRequest, P: Program> Handler<R> for Rpc<P> {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let caller = request.caller();
        match request.framing() {
            Framing::Packet => {
                let mut reply = Vec::new();
                self.answer(request.fill_buf()?, caller, &mut reply)?;
                request.write_all(&reply)?;
                Ok(Next::Done)
            }
            Framing::Records => {
                let Some(record) = record::read(request, self.max_record)? else {
                    return Ok(Next::Done);
                };
                let mut reply = record::ROOM.to_vec();
                self.answer(&record, caller, &mut reply)?;
                record::mark(&mut reply)?;
                request.write_all(&reply)?;
                Ok(Next::Again)
            }
        }
    }

    fn missing(&self, input: &[u8]) -> usize {
        record::missing(input, self.max_record)
    }
}
