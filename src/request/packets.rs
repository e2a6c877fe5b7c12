//! The socket that packets come through, and their buffers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use socket2::SockAddr;

use super::allowance::Allowance;
use crate::sys::{self, Told, Wanted};

/// What becomes of a packet that is longer than `max_packet_size`. Either way it is counted:
/// [`Udp::truncations`](crate::Udp::truncations),
/// [`UnixDatagram::truncations`](crate::UnixDatagram::truncations).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Truncation {
    /// It is handled, without its end, and marked:
    /// [`is_truncated`](crate::Datagram::is_truncated).
    Deliver,
    /// It is dropped, and no handler sees it.
    Drop,
}

/// How the packets of a transport are received and answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PacketSettings {
    pub(crate) size: usize,
    pub(crate) truncation: Truncation,
    /// How many times what came from a source may be sent to it.
    pub(crate) amplification: Option<u32>,
    pub(crate) wanted: Wanted,
}

/// What a packet needs beside itself, used again for the next one; apart from the request, so that
/// this is cheap to move.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) bytes: Box<[u8]>,
    pub(super) length: usize,
    pub(super) truncated: bool,
    pub(super) sender: SockAddr,
    pub(super) told: Told,
    pub(super) allowance: Allowance,
    pub(super) output: Vec<u8>,
}

impl Spare {
    #[inline]
    pub(super) fn packet(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A socket, and the buffers that wait for its next packet: any worker gives one back, and the
/// loop takes it.
#[derive(Debug)]
pub(crate) struct Packets<S> {
    pub(crate) socket: S,
    settings: PacketSettings,
    truncations: AtomicU64,
    /// The one that came back last, where nothing else does: at hand without the queue's
    /// bookkeeping. Nobody waits for the lock, a forked child least of all.
    last: Mutex<Option<Box<Spare>>>,
    back: Sender<Box<Spare>>,
    waiting: Receiver<Box<Spare>>,
}

impl<S> Packets<S> {
    /// How many wait at most: enough that a steady load allocates nothing.
    const MOST: usize = 64;
    /// How many packets are dropped at most before the loop looks for a stop: a few milliseconds'
    /// worth, and more than a queue holds, so that only a flood comes to so many.
    const DROPS_AT_ONCE: usize = 4096;

    pub(crate) fn new(socket: S, settings: PacketSettings) -> Self {
        let (back, waiting) = crossbeam_channel::bounded(Self::MOST);
        let (truncations, last) = (AtomicU64::new(0), Mutex::default());
        Self { socket, settings, truncations, last, back, waiting }
    }

    /// How many packets have been too long.
    pub(crate) fn truncations(&self) -> u64 {
        self.truncations.load(Relaxed)
    }

    /// Takes the next packet from the socket's queue, into a spare buffer.
    #[inline]
    pub(super) fn receive(&self) -> io::Result<Box<Spare>>
    where
        S: AsFd,
    {
        let mut spare = self.take();
        match self.fill(&mut spare) {
            Ok(()) => Ok(spare),
            Err(error) => {
                self.give_back(spare);
                Err(error)
            }
        }
    }

    #[inline]
    fn fill(&self, spare: &mut Spare) -> io::Result<()>
    where
        S: AsFd,
    {
        for _ in 0..Self::DROPS_AT_ONCE {
            let received = sys::receive(&self.socket, &mut spare.bytes, self.settings.wanted)?;
            if received.truncated {
                self.truncations.fetch_add(1, Relaxed);
                if self.settings.truncation == Truncation::Drop {
                    continue;
                }
            }
            spare.length = received.length;
            spare.truncated = received.truncated;
            spare.sender = received.sender;
            spare.told = received.told;
            return Ok(());
        }
        // As after a signal: there may be more, and whoever asks looks for a stop first.
        Err(io::ErrorKind::Interrupted.into())
    }

    /// What may be sent in reply to a packet of so many bytes.
    #[inline]
    pub(super) fn allowance(&self, length: usize, header: usize) -> Allowance {
        match self.settings.amplification {
            Some(factor) => Allowance::new(length, header, factor),
            None => Allowance::unlimited(),
        }
    }

    #[inline]
    pub(super) fn take(&self) -> Box<Spare> {
        let last = self.last.try_lock().and_then(|mut last| last.take());
        last.unwrap_or_else(|| self.waiting.try_recv().unwrap_or_else(|_| self.another()))
    }

    #[cold]
    fn another(&self) -> Box<Spare> {
        Box::new(Spare {
            bytes: vec![0; self.settings.size].into(),
            length: 0,
            truncated: false,
            sender: SocketAddr::from(([0, 0, 0, 0], 0)).into(),
            told: Told::Nothing,
            allowance: Allowance::unlimited(),
            output: Vec::new(),
        })
    }

    /// Where enough are waiting, this one is freed.
    #[inline]
    pub(super) fn give_back(&self, mut spare: Box<Spare>) {
        if spare.output.capacity() > 0 {
            spare.output.clear();
            spare.output.shrink_to(self.settings.size);
        }
        match self.last.try_lock() {
            Some(mut last) if last.is_none() => *last = Some(spare),
            _ => drop(self.back.try_send(spare)),
        }
    }
}
