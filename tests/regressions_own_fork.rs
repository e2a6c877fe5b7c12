//! Servers in a program that forks by itself. Each case runs on the only thread of a process of its
//! own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]
#![expect(unsafe_code, reason = "an application that forks by itself")]

mod support;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, alarm};
use socketserver::{
    Concurrency, Counters, ForkServer, Forking, Handler, Next, Outcome, Server, Tcp, TcpRequest,
    Threading, handler_fn,
};

use support::alone;
use support::one_byte::{echo_one, release, tcp};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("a_stop_in_a_child_that_serves_later_is_for_the_child", early_stop),
        ("a_child_that_closes_the_server_does_not_join_its_parents_threads", child_closes),
        ("a_forked_child_of_the_application_does_not_wait_for_threads", application_child_exits),
        (
            "a_forked_child_of_the_application_that_drops_the_server_ends_nothing",
            child_drops_server,
        ),
        ("a_server_made_before_a_fork_serves_in_the_child_and_in_the_parent", serves_on_both_sides),
        ("a_copy_that_is_dropped_has_not_lost_the_children", || copied(Forking::new(), drops)),
        ("a_fork_servers_copy_that_is_dropped_has_not_lost_the_children", || {
            copied(ForkServer::new(), drops)
        }),
        ("a_copy_that_is_closed_has_not_lost_the_children", || copied(Forking::new(), closes)),
        ("a_fork_servers_copy_that_is_closed_has_not_lost_the_children", || {
            copied(ForkServer::new(), closes)
        }),
        ("a_copy_that_serves_has_not_lost_the_children", || copied(Forking::new(), serves)),
    ])
}

fn application_child_exits() -> Result {
    let threading = Threading::new().block_on_close(false);
    let mut server = Server::new_fn(tcp()?, threading, echo_one)?;
    let client = TcpStream::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);

    // SAFETY: the other thread waits in read(2) and holds no lock; the child only exits.
    let child = match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => {
            // Where it waits for threads that it has not, this ends it.
            alarm::set(10);
            std::process::exit(7);
        }
        ForkResult::Parent { child } => child,
    };

    assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 7));
    release(&client)?;
    server.close()?;
    Ok(())
}

fn child_drops_server() -> Result {
    let mut server = Some(Server::new_fn(tcp()?, Threading::new(), echo_one)?);
    let address = server.as_ref().map(Server::local_addr).ok_or("there it is")??;
    // A session has begun, and goes on in the next call.
    let client = TcpStream::connect(address)?;
    release(&client)?;
    let handled = server.as_mut().map(Server::handle_request).ok_or("there it is")??;
    assert_eq!(handled, Outcome::Handled);
    let stop = server.as_ref().map(Server::stop_handle).ok_or("there it is")?;

    // SAFETY: at most one other thread, which ends by itself; the child drops a value and exits.
    let child = match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => {
            drop(server.take());
            // SAFETY: this is always allowed.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => child,
    };
    assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));

    // The stop is for the session that the child has not ended.
    stop.stop();
    let mut server = server.ok_or("it is still there")?;
    assert_eq!(server.handle_request()?, Outcome::Stopped);
    server.close()?;
    Ok(())
}

fn early_stop() -> Result {
    let mut server = Server::new_fn(tcp()?, socketserver::Sync, |_| Ok(()))?;
    let stop = server.stop_handle();
    // SAFETY: this is the only thread; the child exits without returning.
    let child = match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => {
            alarm::set(20);
            stop.stop();
            let stopped = matches!(server.handle_request(), Ok(Outcome::Stopped));
            // SAFETY: this is always allowed.
            unsafe { libc::_exit(i32::from(!stopped)) }
        }
        ForkResult::Parent { child } => child,
    };
    assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));

    let _client = TcpStream::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    server.close()?;
    Ok(())
}

fn child_closes() -> Result {
    let mut server = Some(Server::new_fn(tcp()?, Threading::new(), echo_one)?);
    let address = server.as_ref().map(Server::local_addr).ok_or("there it is")??;
    let client = TcpStream::connect(address)?;
    let handled = server.as_mut().map(Server::handle_request).ok_or("there it is")??;
    assert_eq!(handled, Outcome::Handled);

    // SAFETY: the other thread waits in read(2) and holds no lock; the child closes, and exits.
    let child = match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => {
            alarm::set(20);
            let closed = server.take().map(Server::close);
            // SAFETY: this is always allowed.
            unsafe { libc::_exit(i32::from(!matches!(closed, Some(Ok(_))))) }
        }
        ForkResult::Parent { child } => child,
    };
    assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
    release(&client)?;
    server.ok_or("it is still there")?.close()?;
    Ok(())
}

/// Serves one connection that is stopped by its own handler, and once more.
fn serves_twice<H: Handler<TcpRequest>>(
    server: &mut Server<Tcp, socketserver::Sync, H>,
) -> io::Result<()> {
    for _ in 0..2 {
        let client = TcpStream::connect(server.local_addr()?)?;
        server.serve_forever()?;
        let mut said = String::new();
        (&client).read_to_string(&mut said)?;
        assert_eq!(said, "stopped");
    }
    Ok(())
}

fn serves_on_both_sides() -> Result {
    for parent_serves in [false, true] {
        let mut server = Server::with_stop(tcp()?, socketserver::Sync, |stop| {
            handler_fn(move |conn: &mut TcpRequest| {
                stop.stop();
                conn.write_all(b"stopped")
            })
        })?;
        // SAFETY: this is the only thread; the child exits without returning.
        let child = match unsafe { nix::unistd::fork() }? {
            ForkResult::Child => {
                alarm::set(20);
                let code = i32::from(serves_twice(&mut server).is_err());
                // SAFETY: this is always allowed.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => child,
        };
        if parent_serves {
            // Not at a time: they share the socket.
            assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
            serves_twice(&mut server)?;
            server.close()?;
        } else {
            drop(server);
            assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
        }
    }
    Ok(())
}

type Echoing<C> = Server<Tcp, C, Echo>;

/// Answers one byte by an `x`.
struct Echo;

impl Handler<TcpRequest> for Echo {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        echo_one(conn).map(Next::from)
    }
}

fn drops<C>(server: Echoing<C>) -> io::Result<()> {
    drop(server);
    Ok(())
}

fn closes<C: Concurrency<Tcp, Echo>>(server: Echoing<C>) -> io::Result<()> {
    server.close().map(drop)
}

fn serves<C: Concurrency<Tcp, Echo>>(mut server: Echoing<C>) -> io::Result<()> {
    release(&TcpStream::connect(server.local_addr()?)?)?;
    server.handle_request()?;
    server.close().map(drop)
}

/// A child of the server is none of its copy's in a child of the application, whatever that `does`.
fn copied<C: Concurrency<Tcp, Echo>>(
    strategy: C,
    does: fn(Echoing<C>) -> io::Result<()>,
) -> Result {
    let counters = Counters::new()?;
    let mut server = Server::new(tcp()?, strategy, Echo)?.counters(&counters);
    let client = TcpStream::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);

    // SAFETY: this process has one thread.
    let child = match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => {
            alarm::set(10);
            std::process::exit(i32::from(does(server).is_err()));
        }
        ForkResult::Parent { child } => child,
    };

    assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
    assert_eq!(counters.failed(), 0);
    release(&client)?;
    server.close()?;
    assert_eq!((counters.active(), counters.failed()), (0, 0));
    assert_eq!(counters.accepted(), counters.finished());
    Ok(())
}
