//! The socket that packets come through, and their buffers.

use std::net::SocketAddr;

use crossbeam_channel::{Receiver, Sender};
use socket2::SockAddr;

/// What a packet needs beside itself, used again for the next one; apart from the request, so that
/// this is cheap to move.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) bytes: Box<[u8]>,
    pub(super) sender: SockAddr,
    pub(super) output: Vec<u8>,
}

/// A socket, and the buffers that wait for its next packet: any worker gives one back, and the
/// loop takes it.
#[derive(Debug)]
pub(crate) struct Packets<S> {
    pub(crate) socket: S,
    size: usize,
    back: Sender<Box<Spare>>,
    waiting: Receiver<Box<Spare>>,
}

impl<S> Packets<S> {
    /// How many wait at most: enough that a steady load allocates nothing.
    const MOST: usize = 64;

    pub(crate) fn new(socket: S, size: usize) -> Self {
        let (back, waiting) = crossbeam_channel::bounded(Self::MOST);
        Self { socket, size, back, waiting }
    }

    pub(super) fn take(&self) -> Box<Spare> {
        self.waiting.try_recv().unwrap_or_else(|_| {
            let nobody = SocketAddr::from(([0, 0, 0, 0], 0)).into();
            let bytes = vec![0; self.size].into();
            Box::new(Spare { bytes, sender: nobody, output: Vec::new() })
        })
    }

    /// Where enough are waiting, this one is freed.
    pub(super) fn give_back(&self, mut spare: Box<Spare>) {
        spare.output.clear();
        spare.output.shrink_to(self.size);
        let _ = self.back.try_send(spare);
    }
}
