//! What becomes of a `ForkServer`'s processes when one of them ends: a child, the helper, the
//! server's. Each case runs in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitCode};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use socketserver::{
    Failure, FailureKind, ForkRefused, ForkServer, Handler, Next, Outcome, Running, Server, Stage,
    Tcp, TcpRequest,
};
use support::net;
use support::one_byte::{echo_one, release, tcp};
use support::processes::{children_of, eventually, lives, no_child_is_left, pid, signal};
use support::{alone, role, signals};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    role::play(&[("serves", serves), ("serves beside", serves_beside)]).unwrap_or_else(|| {
        alone::run(&[
            ("a_child_that_is_killed_is_no_ones_loss_but_its_peers", killed_child),
            ("an_idle_server_has_no_zombies", no_zombies),
            ("without_its_helper_a_server_refuses_and_ends", killed_helper),
            ("an_idle_server_hears_that_its_helper_is_gone", killed_helper_of_an_idle_server),
            ("close_says_that_children_went_with_the_helper", close_without_helper),
            ("a_helper_outlives_its_server_only_for_its_children", killed_server),
            ("a_helper_ends_with_its_server_whoever_has_copies", killed_servers),
            ("signals_for_the_group_leave_the_helper_alone", signals_for_the_group),
            ("a_server_that_is_dropped_has_its_helper_ended", dropped_server),
            ("close_need_not_wait", close_at_once),
            ("a_helper_does_not_listen_for_another_server", listens_for_another),
            ("a_server_made_before_a_fork_serves_where_it_was_made", forked_later),
        ])
    })
}

/// Notes what it is told.
#[derive(Default)]
struct Told(OnceLock<(Stage, FailureKind, Option<ForkRefused>)>);

impl Handler<TcpRequest> for Told {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        echo_one(conn).map(Next::from)
    }

    fn handle_error(&self, _: &mut TcpRequest, failure: &Failure) {
        let refused = failure.as_error().and_then(refusal);
        self.0.set((failure.stage(), failure.kind(), refused)).expect("told once");
    }
}

fn refusal(error: &io::Error) -> Option<ForkRefused> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<ForkRefused>()).copied()
}

type Made<H> = Server<Tcp, ForkServer, H>;

fn made() -> Result<Made<Told>> {
    Ok(Server::new(tcp()?, ForkServer::new(), Told::default())?)
}

fn helper_of<H>(server: &Made<H>) -> Result<u32> {
    Ok(server.concurrency().helper().ok_or("no helper")?)
}

/// A client whose child has been started.
fn started<H: Handler<TcpRequest>>(server: &mut Made<H>) -> Result<(TcpStream, u32)> {
    let client = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    Ok((client, server.concurrency().active_children().last().ok_or("no child")?))
}

fn killed_child() -> Result {
    let mut server = made()?;
    let (unlucky, child) = started(&mut server)?;
    let (client, _) = started(&mut server)?;
    signal(child, Signal::SIGKILL)?;
    assert!(net::is_closed(unlucky)?);
    release(&client)?;
    assert_eq!(net::all(client)?, b"x");
    let (client, _) = started(&mut server)?;
    release(&client)?;
    server.close()?;
    assert!(no_child_is_left());
    Ok(())
}

fn serving(server: Made<Told>) -> Result<(Running<Tcp, ForkServer, Told>, u32)> {
    let helper = helper_of(&server)?;
    Ok((server.spawn()?, helper))
}

fn no_zombies() -> Result {
    let (running, helper) = serving(made()?)?;
    for _ in 0..50 {
        let client = net::connect(running.local_addr()?)?;
        release(&client)?;
        assert_eq!(net::all(client)?, b"x");
    }
    eventually("the helper has no children", || {
        children_of(helper).is_ok_and(|all| all.is_empty())
    })?;
    running.close()?;
    Ok(())
}

fn kill_helper(helper: u32) -> Result {
    signal(helper, Signal::SIGKILL)?;
    eventually("the helper has ended", || !lives(helper))
}

fn killed_helper() -> Result {
    let mut server = made()?;
    kill_helper(helper_of(&server)?)?;
    let client = net::connect(server.local_addr()?)?;

    let error = server.handle_request().expect_err("there is nothing to serve with");

    assert_eq!(refusal(&error), Some(ForkRefused::HelperEnded));
    let error = server.serve_forever().expect_err("nor will there be");
    assert_eq!(refusal(&error), Some(ForkRefused::HelperEnded));
    assert!(net::is_closed(client)?);
    let told = (Stage::Start, FailureKind::NotStarted, Some(ForkRefused::HelperEnded));
    assert_eq!(server.handler().0.get(), Some(&told));
    server.close()?;
    assert!(no_child_is_left());
    Ok(())
}

fn killed_helper_of_an_idle_server() -> Result {
    let (running, helper) = serving(made()?)?;
    let client = net::connect(running.local_addr()?)?;
    release(&client)?;
    assert_eq!(net::all(client)?, b"x");
    kill_helper(helper)?;
    let error = running.join().expect_err("there is nothing to serve with");
    assert_eq!(refusal(&error), Some(ForkRefused::HelperEnded));
    Ok(())
}

fn close_without_helper() -> Result {
    let mut server = made()?;
    let helper = helper_of(&server)?;
    let (client, child) = started(&mut server)?;
    kill_helper(helper)?;
    let error = server.close().expect_err("nobody knows of the child");
    assert_eq!(refusal(&error), Some(ForkRefused::HelperEnded));
    assert!(no_child_is_left());
    // It goes on.
    release(&client)?;
    assert_eq!(net::all(client)?, b"x");
    eventually("the child has ended", || !lives(child))
}

/// As a role: serves, and stops for SIGUSR2.
fn serves(_: &[String]) -> Result {
    let mut server = Server::new_fn(tcp()?, ForkServer::new(), |conn: &mut TcpRequest| {
        writeln!(conn, "{}", std::process::id())?;
        echo_one(conn)
    })?;
    signals::stop_on_usr2(server.stop_handle())?;
    println!("{} {}", server.local_addr()?, helper_of(&server)?);
    server.serve_forever()?;
    server.close()?;
    Ok(())
}

/// As a role: the same beside another server, whose helper was there before.
fn serves_beside(arguments: &[String]) -> Result {
    let other = made()?;
    print!("{} ", helper_of(&other)?);
    serves(arguments)
}

/// A server in a process and a process group of its own, its helper, and a client with its child.
struct Elsewhere {
    server: Child,
    /// That of the other server, where there is one.
    other: Option<u32>,
    helper: u32,
    client: BufReader<TcpStream>,
    child: u32,
}

fn elsewhere(role: &str) -> Result<Elsewhere> {
    let mut server = role::command(role)?.process_group(0).spawn()?;
    let mut said = String::new();
    BufReader::new(server.stdout.take().ok_or("no stdout")?).read_line(&mut said)?;
    let mut words = said.split_whitespace().rev();
    let (helper, address) = (words.next().ok_or("no helper")?, words.next().ok_or("no address")?);
    let other = words.next().map(str::parse).transpose()?;
    let mut client = BufReader::new(net::connect(address.parse()?)?);
    let mut child = String::new();
    client.read_line(&mut child)?;
    let (helper, child) = (helper.parse()?, child.trim().parse()?);
    Ok(Elsewhere { server, other, helper, client, child })
}

fn killed_server() -> Result {
    let Elsewhere { mut server, helper, mut client, child, .. } = elsewhere("serves")?;
    server.kill()?;
    server.wait()?;
    assert!(lives(helper) && lives(child));
    release(client.get_ref())?;
    let mut said = Vec::new();
    client.read_to_end(&mut said)?;
    assert_eq!(said, b"x");
    eventually("the child has ended", || !lives(child))?;
    eventually("the helper has ended", || !lives(helper))
}

/// The child, and the helper that it was forked from, have copies of the other helper's way.
fn killed_servers() -> Result {
    let Elsewhere { mut server, other, helper, client, child } = elsewhere("serves beside")?;
    let other = other.ok_or("no other server")?;
    server.kill()?;
    server.wait()?;
    eventually("the other helper has ended", || !lives(other))?;
    assert!(lives(helper) && lives(child));
    release(client.get_ref())?;
    eventually("the helper has ended", || !lives(helper))
}

fn signals_for_the_group() -> Result {
    for which in [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        let Elsewhere { mut server, helper, client, .. } = elsewhere("serves")?;
        for _ in 0..3 {
            signal(helper, which)?;
        }
        release(client.get_ref())?;
        // It serves on, and ends as it should.
        signal(server.id(), Signal::SIGUSR2)?;
        assert!(server.wait()?.success());
        eventually("the helper has ended", || !lives(helper))?;
    }
    // A child has no reason to stay.
    let Elsewhere { mut server, helper, client, child, .. } = elsewhere("serves")?;
    killpg(pid(server.id())?, Signal::SIGTERM)?;
    assert!(!server.wait()?.success());
    eventually("the child has ended", || !lives(child))?;
    eventually("the helper has ended", || !lives(helper))?;
    assert!(net::is_closed(client)?);
    Ok(())
}

fn dropped_server() -> Result {
    let server = made()?;
    let helper = helper_of(&server)?;
    drop(server);
    assert!(matches!(waitpid(pid(helper)?, None)?, WaitStatus::Exited(_, 0)));
    Ok(())
}

fn close_at_once() -> Result {
    let strategy = ForkServer::new().block_on_close(false);
    let mut server = Server::new(tcp()?, strategy, Told::default())?;
    let address = server.local_addr()?;
    let helper = helper_of(&server)?;
    let (client, child) = started(&mut server)?;
    server.close()?;
    net::assert_nobody_listens(address);
    assert!(lives(child) && lives(helper));
    release(&client)?;
    assert_eq!(net::all(client)?, b"x");
    assert!(matches!(waitpid(pid(helper)?, None)?, WaitStatus::Exited(_, 0)));
    Ok(())
}

fn listens_for_another() -> Result {
    let (other, mut server) = (made()?, made()?);
    let address = other.local_addr()?;
    // Its helper has begun.
    let (client, _) = started(&mut server)?;
    other.close()?;
    net::assert_nobody_listens(address);
    release(&client)?;
    server.close()?;
    Ok(())
}

#[expect(unsafe_code, reason = "fork(2)")]
fn forked_later() -> Result {
    let mut server = made()?;
    // SAFETY: this process has one thread.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => {
            let refused = server.serve_forever().err().as_ref().and_then(refusal);
            let code = if refused == Some(ForkRefused::NotOurs) { 7 } else { 8 };
            drop(server);
            std::process::exit(code);
        }
        nix::unistd::ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 7));
        }
    }
    // Nor has the copy that was dropped there ended anything.
    let (client, _) = started(&mut server)?;
    release(&client)?;
    assert_eq!(net::all(client)?, b"x");
    server.close()?;
    assert!(no_child_is_left());
    Ok(())
}
