//! The socket that packets come through, and their buffers.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use super::allowance::Allowance;
use super::datagram::DatagramSocket;
use super::spin::spin;
use crate::sys::{Packet, Wanted};

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
    pub(crate) spin: Option<Duration>,
}

/// A packet and what it needs beside itself, used again for the next one; apart from the request,
/// so that this is cheap to move.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) packet: Packet,
    pub(super) allowance: Allowance,
    pub(super) output: Vec<u8>,
}

/// A socket, and the buffers that wait for its next packet: any worker gives one back, and the
/// loop takes it.
#[derive(Debug)]
pub(crate) struct Packets<S> {
    pub(crate) socket: S,
    settings: PacketSettings,
    truncations: AtomicU64,
    /// The one that came back last: at hand without the queue's bookkeeping. Nobody waits for the
    /// lock, a forked child least of all.
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

    /// What the kernel has been asked to say of each packet.
    pub(crate) fn wanted(&self) -> Wanted {
        self.settings.wanted
    }

    /// Whether a look is a wait already.
    pub(crate) fn spins(&self) -> bool {
        self.settings.spin.is_some()
    }

    /// Takes the next packet from the socket's queue, into a spare buffer.
    #[inline]
    pub(super) fn receive(&self) -> io::Result<Box<Spare>>
    where
        S: DatagramSocket,
    {
        let mut spare = self.take();
        let filled = match self.settings.spin {
            None => self.fill(&mut spare),
            Some(time) => self.fill_spinning(time, &mut spare),
        };
        match filled {
            Ok(()) => Ok(spare),
            Err(error) => {
                self.give_back(spare);
                Err(error)
            }
        }
    }

    #[cold]
    fn fill_spinning(&self, time: Duration, spare: &mut Spare) -> io::Result<()>
    where
        S: DatagramSocket,
    {
        spin(time, || self.fill(spare))
    }

    #[inline]
    fn fill(&self, spare: &mut Spare) -> io::Result<()>
    where
        S: DatagramSocket,
    {
        for _ in 0..Self::DROPS_AT_ONCE {
            self.socket.receive(&mut spare.packet, self.settings.wanted)?;
            if spare.packet.truncated {
                self.truncations.fetch_add(1, Relaxed);
                if self.settings.truncation == Truncation::Drop {
                    continue;
                }
            }
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
        last.or_else(|| self.waiting.try_recv().ok()).unwrap_or_else(|| self.another())
    }

    #[cold]
    fn another(&self) -> Box<Spare> {
        Box::new(Spare {
            packet: Packet::new(self.settings.size),
            allowance: Allowance::unlimited(),
            output: Vec::new(),
        })
    }

    /// Where enough are waiting, one is freed.
    #[inline]
    pub(super) fn give_back(&self, mut spare: Box<Spare>) {
        if spare.output.capacity() > 0 {
            spare.output.clear();
            spare.output.shrink_to(self.settings.size);
        }
        let one_more = match self.last.try_lock() {
            Some(mut last) => last.replace(spare),
            None => Some(spare),
        };
        if let Some(spare) = one_more {
            drop(self.back.try_send(spare));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;

    fn packets() -> Packets<()> {
        let (size, truncation, amplification) = (16, Truncation::Deliver, None);
        Packets::new(
            (),
            PacketSettings { size, truncation, amplification, wanted: Wanted::Nothing, spin: None },
        )
    }

    /// The next spare, and what was in its buffer before `mark`; zero in a new one.
    fn take(packets: &Packets<()>, mark: u8) -> (Box<Spare>, u8) {
        let mut spare = packets.take();
        let before = mem::replace(&mut spare.packet.buffer[0], mark);
        (spare, before)
    }

    #[test]
    fn what_comes_back_is_taken_again_the_last_one_first() {
        let packets = packets();
        let [(first, 0), (second, 0)] = [1, 2].map(|mark| take(&packets, mark)) else {
            panic!("nothing has come back yet");
        };
        packets.give_back(first);
        packets.give_back(second);
        assert_eq!([3, 4, 5].map(|mark| take(&packets, mark).1), [2, 1, 0]);
    }

    #[test]
    fn nobody_waits_for_the_one_at_hand() {
        let packets = packets();
        let [(lost, _), (other, _)] = [1, 2].map(|mark| take(&packets, mark));
        packets.give_back(lost);
        // As in a child that was forked while a thread that it does not have held the lock.
        let _held = packets.last.lock();
        packets.give_back(other);
        assert_eq!([3, 4].map(|mark| take(&packets, mark).1), [2, 0]);
    }
}
