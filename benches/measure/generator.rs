//! The load: so many clients at a time, each with one request that is not answered yet.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tempfile::TempDir;

use super::caller::Caller;
use super::rates::Workload;
use crate::support::client::Address;

/// In milliseconds: no answer takes so long, and a lost one fails instead of hanging.
const PATIENCE: u16 = 10_000;

/// When no further request begins.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Time(Duration),
    Requests(usize),
}

/// What came of it.
#[derive(Debug)]
pub struct Answered {
    pub elapsed: Duration,
    /// From before the connection or the sending, to the end of the answer; unsorted.
    pub latencies: Vec<Duration>,
}

/// The clients of one workload, on one thread.
#[derive(Debug)]
pub struct Generator {
    epoll: Epoll,
    callers: Vec<(Caller, Instant)>,
    payload: Vec<u8>,
    buffer: Vec<u8>,
    _directory: TempDir,
}

impl Generator {
    pub fn new(workload: &Workload, server: &Address) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let caller = |number: usize| {
            let own = directory.path().join(number.to_string());
            let caller = Caller::new(workload.kind.transport, server, &own, workload.kept)?;
            Ok((caller, Instant::now()))
        };
        let callers = (0..workload.callers).map(caller).collect::<io::Result<_>>()?;
        let mut payload = vec![b'x'; workload.payload];
        payload[workload.payload - 1] = b'\n';
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            callers,
            payload,
            buffer: vec![0; 2 * workload.payload],
            _directory: directory,
        })
    }

    /// Asks until it is over, and waits for the answers that are due then.
    pub fn run(&mut self, until: Until) -> io::Result<Answered> {
        let began = Instant::now();
        let mut latencies = Vec::new();
        let mut due = 0;
        let over = |begun: usize| match until {
            Until::Time(time) => began.elapsed() >= time,
            Until::Requests(count) => begun >= count,
        };
        for at in 0..self.callers.len() {
            if over(due) {
                break;
            }
            self.ask(at)?;
            due += 1;
        }
        let mut events = vec![EpollEvent::empty(); self.callers.len()];
        while due > 0 {
            let count = self.epoll.wait(&mut events, PATIENCE)?;
            if count == 0 {
                return Err(io::Error::other(format!("{due} requests are not answered")));
            }
            for event in &events[..count] {
                let at = event.data() as usize;
                let (caller, since) = &mut self.callers[at];
                if !caller.receive(&self.payload, &mut self.buffer)? {
                    continue;
                }
                latencies.push(since.elapsed());
                if over(latencies.len() + due - 1) {
                    due -= 1;
                } else {
                    self.ask(at)?;
                }
            }
        }
        Ok(Answered { elapsed: began.elapsed(), latencies })
    }

    fn ask(&mut self, at: usize) -> io::Result<()> {
        let (caller, since) = &mut self.callers[at];
        *since = Instant::now();
        if let Some(socket) = caller.open()? {
            self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
        }
        caller.send(&self.payload)
    }
}
