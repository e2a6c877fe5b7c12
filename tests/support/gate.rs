//! A handler that tells when a request has come, and keeps it until the test lets it go.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crossbeam_channel::{Receiver, Sender, unbounded};
use socketserver::{Handler, Next};

use super::net::PATIENCE;

#[derive(Debug, Clone)]
pub struct Gate {
    entered: Sender<()>,
    leave: Receiver<()>,
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// Who lets requests through.
#[derive(Debug)]
pub struct Keeper {
    entered: Receiver<()>,
    leave: Sender<()>,
    most: Arc<AtomicUsize>,
}

pub fn gate() -> (Gate, Keeper) {
    let (enter, entered) = unbounded();
    let (let_go, leave) = unbounded();
    let most = Arc::new(AtomicUsize::new(0));
    let gate = Gate { entered: enter, leave, inside: Arc::default(), most: Arc::clone(&most) };
    (gate, Keeper { entered, leave: let_go, most })
}

impl<R: Write> Handler<R> for Gate {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        self.most.fetch_max(self.inside.fetch_add(1, SeqCst) + 1, SeqCst);
        let told = self.entered.send(());
        let left = self.leave.recv_timeout(PATIENCE);
        self.inside.fetch_sub(1, SeqCst);
        told.map_err(io::Error::other)?;
        left.map_err(io::Error::other)?;
        request.write_all(b"x")?;
        Ok(Next::Done)
    }
}

impl Keeper {
    /// Waits until another request is in the handler.
    pub fn wait_for_one(&self) -> io::Result<()> {
        self.entered.recv_timeout(PATIENCE).map_err(io::Error::other)
    }

    /// Lets one that is there, or the next, leave.
    pub fn let_go(&self) -> io::Result<()> {
        self.leave.send(()).map_err(io::Error::other)
    }

    /// Whether another request has come.
    pub fn has_one_come(&self) -> bool {
        !self.entered.is_empty()
    }

    /// How many have been in the handler at once.
    pub fn most(&self) -> usize {
        self.most.load(SeqCst)
    }
}
