//! Every strategy by its name: a server whose transport, handler and strategy are put together from
//! words, in a process of its own.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::error::Error;
use std::io::{self, Write};
use std::os::fd::AsFd;

use socketserver::{
    Concurrency, ForkServer, Forking, Handler, Limits, LocalAddr, Portable, Selectable, Selecting,
    Server, Sync, ThreadPool, Threading, Transport,
};

pub const ALL: [&str; 8] = [
    "sync",
    "threading",
    "thread-pool",
    "forking",
    "fork-server",
    "selecting-sync",
    "selecting-threading",
    "selecting-thread-pool",
];

/// Those under which a peer that is waited for holds up nobody.
pub const AT_ONCE: [&str; 7] = [
    "threading",
    "thread-pool",
    "forking",
    "fork-server",
    "selecting-sync",
    "selecting-threading",
    "selecting-thread-pool",
];

/// Those whose requests are all of one process.
pub const IN_PROCESS: [&str; 6] = [
    "sync",
    "threading",
    "thread-pool",
    "selecting-sync",
    "selecting-threading",
    "selecting-thread-pool",
];

/// Says where it listens, as the example `serve` does, and serves for ever.
pub fn serve<T, H>(
    transport: T,
    strategy: &str,
    handler: H,
    limits: Option<Limits<T>>,
) -> Result<(), Box<dyn Error>>
where
    T: Portable + LocalAddr<Addr: Shown> + AsFd + Send + std::marker::Sync + 'static,
    T: Transport<Request: Selectable + Send>,
    H: Handler<T::Request> + Send + std::marker::Sync + 'static,
{
    match strategy {
        "sync" => run(transport, Sync, handler, limits),
        "threading" => run(transport, Threading::new(), handler, limits),
        "forking" => run(transport, Forking::new(), handler, limits),
        "fork-server" => run(transport, ForkServer::new(), handler, limits),
        "selecting-sync" => run(transport, Selecting::new(Sync), handler, limits),
        "selecting-threading" => run(transport, Selecting::new(Threading::new()), handler, limits),
        "thread-pool" => run(transport, ThreadPool::new(8), handler, limits),
        "selecting-thread-pool" => {
            run(transport, Selecting::new(ThreadPool::new(2)), handler, limits)
        }
        other => Err(format!("no strategy is named {other}").into()),
    }
}

fn run<T, C, H>(
    transport: T,
    strategy: C,
    handler: H,
    limits: Option<Limits<T>>,
) -> Result<(), Box<dyn Error>>
where
    T: Transport + LocalAddr<Addr: Shown>,
    C: Concurrency<T, H>,
    H: Handler<T::Request>,
{
    let mut server = Server::new(transport, strategy, handler)?;
    if let Some(limits) = limits {
        server = server.limits(limits)?;
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "LISTENING {}", server.local_addr()?.shown())?;
    stdout.flush()?;
    drop(stdout);
    server.serve_forever()?;
    Ok(())
}

pub trait Shown {
    fn shown(&self) -> String;
}

impl Shown for std::net::SocketAddr {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for std::os::unix::net::SocketAddr {
    fn shown(&self) -> String {
        self.as_pathname().map(|path| path.display().to_string()).unwrap_or_default()
    }
}
