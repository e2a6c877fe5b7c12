//! A server and its client in step, so that two runs make the same system calls.
//!
//! The client lives in the server's own loop, in the hook that is called when a request has been
//! given to its worker. There it lets the worker finish, waits until its thread or process is gone
//! altogether, checks the answer, and puts the next request where the loop finds it at once. So the
//! loop never waits, no two workers ever run, and whatever is counted is the same each time. What
//! the hook itself does stands between two calls of getppid(2), which nothing else makes, and is
//! not counted.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::{fs, process, thread};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, alarm, getpgid, getppid, getsid};

use super::allocations;
use super::client::Client;
use super::role::{Load, Role, Strategy};
use crate::twins::Hooks;

/// So many requests first, that the steady state has been reached.
pub const WARM: u32 = 20;

/// How long a child waits for its parent, in seconds.
const PATIENCE: u32 = 60;

/// The hooks that keep step.
#[derive(Clone)]
pub struct Pace(Arc<Inner>);

struct Inner {
    role: Role,
    client: Mutex<Client>,
    /// The server's socket, to see that the next request has arrived.
    socket: OwnedFd,
    served: AtomicU32,
    /// The counts of the allocator when the requests that count begin, and when they end.
    allocated: [AtomicU64; 2],
    stop: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// The worker tells its process id, and then waits to be let go.
    at_gate: (UnixStream, UnixStream),
    let_go: (UnixStream, UnixStream),
}

impl Pace {
    pub fn new(role: Role, mut client: Client, socket: OwnedFd) -> io::Result<Self> {
        client.send()?;
        Ok(Self(Arc::new(Inner {
            role,
            client: Mutex::new(client),
            socket,
            served: AtomicU32::new(0),
            allocated: Default::default(),
            stop: OnceLock::new(),
            at_gate: UnixStream::pair()?,
            let_go: UnixStream::pair()?,
        })))
    }

    /// How many allocations there were in the requests that count.
    pub fn allocations(&self) -> u64 {
        let [begin, end] = &self.0.allocated;
        end.load(Ordering::SeqCst) - begin.load(Ordering::SeqCst)
    }

    fn step(&self) -> io::Result<()> {
        let Inner { role, socket, served, allocated, .. } = &*self.0;
        let mut client = self.0.client.lock().map_err(|_| io::Error::other("poisoned"))?;
        let again = role.load == Load::PingPong;
        self.see_off_worker()?;
        if again { client.receive_line() } else { client.receive() }?;
        let served = served.fetch_add(1, Ordering::SeqCst) + 1;
        if served == WARM {
            allocated[0].store(allocations::so_far(), Ordering::SeqCst);
            getpgid(None)?;
        }
        if served == WARM + role.count {
            allocated[1].store(allocations::so_far(), Ordering::SeqCst);
            getsid(None)?;
            if let Some(stop) = self.0.stop.get() {
                stop();
            }
            if again {
                client.close();
            }
        } else if again {
            client.send_again()?;
        } else {
            client.send()?;
            // Another thread may have taken it by now.
            if !role.strategy.is_crew() {
                poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
            }
        }
        Ok(())
    }

    /// Waits until the worker of this request is gone.
    fn see_off_worker(&self) -> io::Result<()> {
        if !self.0.role.strategy.starts_workers() {
            return Ok(());
        }
        let mut pid = [0; 4];
        (&self.0.at_gate.0).read_exact(&mut pid)?;
        (&self.0.let_go.1).write_all(b"!")?;
        if self.0.role.strategy == Strategy::Forking {
            // It is left to the server to reap.
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            waitid(Id::Pid(Pid::from_raw(i32::from_ne_bytes(pid))), flags)?;
            return Ok(());
        }
        // The directory of a process with one thread has three links.
        while fs::metadata("/proc/self/task")?.nlink() > 3 {
            thread::yield_now();
        }
        Ok(())
    }

    fn wait_at_gate(&self) -> io::Result<()> {
        if self.0.role.strategy == Strategy::Forking {
            // A child has its parent's descriptors, and none of its alarms.
            alarm::set(PATIENCE);
        }
        (&self.0.at_gate.1).write_all(&process::id().to_ne_bytes())?;
        (&self.0.let_go.0).read_exact(&mut [0])
    }

    fn uncounted(&self, run: impl FnOnce() -> io::Result<()>) {
        getppid();
        if let Err(error) = allocations::uncounted(run) {
            eprintln!("{}: {error}", self.0.role);
            process::exit(1);
        }
        getppid();
    }
}

impl Hooks for Pace {
    fn handled(&self) {
        if self.0.role.load == Load::PingPong {
            self.uncounted(|| self.step());
        } else if self.0.role.strategy.starts_workers() {
            self.uncounted(|| self.wait_at_gate());
        }
    }

    fn again(&self) -> bool {
        self.0.role.load == Load::PingPong
    }

    fn served(&self) {
        if self.0.role.load != Load::PingPong {
            self.uncounted(|| self.step());
        }
    }

    fn arm(&self, stop: Box<dyn Fn() + Send + Sync>) {
        let _ = self.0.stop.set(stop);
    }
}
