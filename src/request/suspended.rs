//! Requests on their way to another process, in the middle of being handled: what there is of them
//! beside what they are made of when nothing has been read yet.

use std::io::{self, ErrorKind};

use super::connection::Connection;
use super::datagram::{Datagram, DatagramSocket};
use super::deadlines::Deadlines;
use super::hangup::Hangup;
use super::socket::StreamSocket;
use super::stream::StreamRequest;
use crate::packed::{Taking, put, put_number, put_time};

impl<S: StreamSocket, A> StreamRequest<S, A> {
    /// Appends what has become of it to `bytes`. The options of the socket go with the socket.
    pub(crate) fn suspend(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        if self.detached {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "a connection that the handler has detached can't be sent to another process",
            ));
        }
        put(self.unread(), bytes)?;
        put(self.writer.unsent(), bytes)?;
        self.wire.traffic.put(bytes);
        put_time(self.timeout, bytes);
        self.hangup.put(bytes);
        match self.wire.minders.as_ref().and_then(|minders| minders.watch.as_ref()) {
            Some(watch) => watch.deadlines().put(bytes),
            None => Deadlines::new().put(bytes),
        }
        Ok(())
    }

    /// Goes on where `suspend` has left it.
    pub(crate) fn resume(&mut self, mut state: Taking<'_>) -> io::Result<()> {
        self.established = true;
        self.reader.set_unread(state.part()?);
        self.writer.set_unsent(state.part()?);
        self.wire.traffic.take(&mut state)?;
        self.timeout = state.time()?;
        self.hangup = Hangup::take(&mut state)?;
        match Deadlines::take(&mut state)? {
            deadlines if deadlines == Deadlines::new() => Ok(()),
            deadlines => self.set_deadlines(deadlines),
        }
    }
}

impl<S: DatagramSocket, A> Datagram<S, A> {
    /// See the twin of connections.
    pub(crate) fn suspend(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let (read, output) = self.progress();
        put_number(read as u64, bytes);
        put(output, bytes)
    }

    /// Goes on where `suspend` has left it.
    pub(crate) fn resume(&mut self, mut state: Taking<'_>) -> io::Result<()> {
        self.set_progress(state.size()?, state.part()?);
        Ok(())
    }
}

impl Hangup {
    fn put(self, bytes: &mut Vec<u8>) {
        let (kind, length, time) = match self {
            Self::Shutdown => (0, 0, None),
            Self::Reset => (1, 0, None),
            Self::Drain { bytes, time } => (2, bytes, Some(time)),
        };
        put_number(kind, bytes);
        put_number(length as u64, bytes);
        put_time(time, bytes);
    }

    fn take(state: &mut Taking<'_>) -> io::Result<Self> {
        Ok(match (state.number()?, state.size()?, state.time()?) {
            (0, _, _) => Self::Shutdown,
            (1, _, _) => Self::Reset,
            (_, bytes, time) => Self::Drain { bytes, time: time.ok_or(ErrorKind::InvalidData)? },
        })
    }
}

impl Deadlines {
    fn put(self, bytes: &mut Vec<u8>) {
        let Self { first_byte, idle, request, rate, write } = self;
        for time in [first_byte, idle, request, rate.map(|(_, per)| per), write] {
            put_time(time, bytes);
        }
        put_number(rate.map_or(0, |(count, _)| count) as u64, bytes);
    }

    fn take(state: &mut Taking<'_>) -> io::Result<Self> {
        let (first_byte, idle, request) = (state.time()?, state.time()?, state.time()?);
        let (per, write, count) = (state.time()?, state.time()?, state.size()?);
        Ok(Self { first_byte, idle, request, rate: per.map(|per| (count, per)), write })
    }
}
