//! What `panic = "abort"` makes of a panic: the end of the process, whatever the policy says; under
//! `Forking` the end of the child, which the server counts as lost.
//!
//! `RUSTFLAGS='-C panic=abort' cargo test --test panic_abort`; compiled otherwise, it has nothing to
//! show, and says so.

mod support;

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use libtest_mimic::{Arguments, Trial};
use nix::libc;
use socketserver::{
    Concurrency, Counters, FailureKind, Forking, HandlerFn, Server, Sync, Tcp, TcpRequest,
    ThreadPool, Threading, handler_fn,
};
use support::role;
use wait_timeout::ChildExt;

type Tested<T = ()> = Result<T, Box<dyn Error>>;

type Panics = fn(&mut TcpRequest) -> io::Result<()>;

fn main() -> ExitCode {
    let roles: [role::Role; 4] = [
        ("sync", |_| serve(Sync)),
        ("threading", |_| serve(Threading::new())),
        ("thread pool", |_| serve(ThreadPool::new(1))),
        ("forking", |_| serve(Forking::new())),
    ];
    if let Some(code) = role::play(&roles) {
        return code;
    }
    let aborts = cfg!(panic = "abort");
    let kind = if aborts { "" } else { "compile it with -C panic=abort" };
    let trial = |name, trial: fn() -> Tested| {
        let run = move || trial().map_err(|error| error.to_string().into());
        Trial::test(name, run).with_kind(kind).with_ignored_flag(!aborts)
    };
    let trials = vec![
        trial("a_panic_ends_a_server_that_has_one_process", || {
            for strategy in ["sync", "threading", "thread pool"] {
                let (status, _) = panicked(strategy)?;
                assert_eq!(status.signal(), Some(libc::SIGABRT), "{strategy}");
            }
            Ok(())
        }),
        trial("a_panic_ends_a_child_and_the_server_counts_it_as_lost", || {
            let (status, counted) = panicked("forking")?;
            assert!(status.success(), "{status}");
            assert_eq!(counted, "lost 1\n");
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Serves one request, and says what has been lost.
fn serve<C>(strategy: C) -> Tested
where
    C: Concurrency<Tcp, HandlerFn<Panics>>,
{
    let panics: Panics = |_conn| panic!("as it was told to");
    let counters = Counters::new()?;
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let mut server = Server::new(tcp, strategy, handler_fn(panics))?.counters(&counters);
    println!("{}", server.local_addr()?);
    server.handle_request()?;
    server.close()?;
    println!("lost {}", counters.failed_by(FailureKind::Lost));
    Ok(())
}

/// How a server ended that had one request, which panicked, and what it said.
fn panicked(strategy: &str) -> Tested<(ExitStatus, String)> {
    let mut child = role::command(strategy)?.spawn()?;
    let mut said = BufReader::new(child.stdout.take().ok_or("no stdout")?);
    let mut address = String::new();
    said.read_line(&mut address)?;
    let mut answer = Vec::new();
    // The end, or a reset.
    let _ = TcpStream::connect(address.trim())?.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    let status = child.wait_timeout(support::net::PATIENCE)?.ok_or("it still runs")?;
    let mut counted = String::new();
    said.read_to_string(&mut counted)?;
    Ok((status, counted))
}
