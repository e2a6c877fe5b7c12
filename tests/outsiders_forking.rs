//! An outsider's transport and strategy under `Forking`: the second stage belongs to the child.

mod support;

use std::error::Error;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{self, ExitCode};
use std::time::Duration;

use socketserver::{
    Closing, Concurrency, ForkedChild, Forking, Handler, LocalAddr, Next, Outcome, Request, Server,
    Session, Tcp, TcpRequest, Transport, Waiter,
};
use support::alone::{self, Case};

const CASES: [Case; 3] = [
    ("the_second_stage_runs_in_the_child", in_the_child),
    ("a_child_whose_second_stage_fails_ends_alone", a_failing_second_stage),
    ("a_wrapper_lets_go_of_what_only_the_parent_may_hold", after_fork_is_passed_on),
];

/// Far beyond what anything here needs, so that only a hang reaches it.
const FAR: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    alone::run(&CASES)
}

/// A transport that greets whoever connects, and wants a byte back, before the handler runs.
#[derive(Debug)]
struct Greeting(Tcp);

#[derive(Debug)]
struct Greeted(TcpRequest);

impl Transport for Greeting {
    type Request = Greeted;

    fn get_request(&self) -> io::Result<Option<Greeted>> {
        Ok(self.0.get_request()?.map(Greeted))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.0.wait(waiter)
    }

    fn server_close(self) -> io::Result<()> {
        self.0.server_close()
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.0.after_fork(child);
    }
}

impl LocalAddr for Greeting {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Request for Greeted {
    fn establish(&mut self) -> io::Result<()> {
        self.0.establish()?;
        writeln!(self.0, "{}", process::id())?;
        self.0.read_exact(&mut [0])
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.0.deliver()
    }

    fn shutdown_request(&mut self) {
        self.0.shutdown_request();
    }

    fn close_request(&mut self) {
        self.0.close_request();
    }
}

/// Tells where it runs, and stays until the peer has gone.
struct Lingering;

impl Handler<Greeted> for Lingering {
    fn handle(&self, greeted: &mut Greeted) -> io::Result<Next> {
        writeln!(greeted.0, "{}", process::id())?;
        io::copy(&mut greeted.0, &mut io::sink())?;
        Ok(Next::Done)
    }
}

/// Any strategy, under another name.
#[derive(Debug)]
struct Renamed<C>(C);

impl<T, H, C: Concurrency<T, H>> Concurrency<T, H> for Renamed<C> {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.0.serve(session)
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        self.0.close(closing)
    }
}

fn server(forking: Forking) -> io::Result<Server<Greeting, Renamed<Forking>, Lingering>> {
    // So that no child outlives a test that fails by much.
    let tcp = Tcp::options().timeout(FAR).bind("127.0.0.1:0")?;
    Server::new(Greeting(tcp), Renamed(forking), Lingering)
}

/// Connects before anybody serves: the kernel keeps the connection.
fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(FAR))?;
    Ok(BufReader::new(client))
}

fn line(client: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    client.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// To drop the client would not do: the child has inherited a copy of it.
fn end_input(client: &mut BufReader<TcpStream>) -> io::Result<()> {
    client.get_mut().shutdown(Shutdown::Write)
}

fn in_the_child() -> Result<(), Box<dyn Error>> {
    let mut server = server(Forking::new())?;
    let mut client = connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    let established = line(&mut client)?;
    client.get_mut().write_all(b".")?;
    assert_eq!(line(&mut client)?, established, "both in one process");
    assert_ne!(established, process::id().to_string(), "and not in this one");
    end_input(&mut client)?;
    server.close()?;
    Ok(())
}

fn a_failing_second_stage() -> Result<(), Box<dyn Error>> {
    let mut server = server(Forking::new())?;
    for _ in 0..3 {
        let mut client = connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        end_input(&mut client)?;
        assert_ne!(line(&mut client)?, "");
        assert_eq!(line(&mut client)?, "", "no handler has run");
    }
    server.close()?;
    Ok(())
}

fn after_fork_is_passed_on() -> Result<(), Box<dyn Error>> {
    let mut server = server(Forking::new().block_on_close(false))?;
    let address = server.local_addr()?;
    let mut client = connect(address)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    // What the child says comes after what it lets go of.
    assert_ne!(line(&mut client)?, "");
    server.close()?;
    let refused = TcpStream::connect(address).map(drop);
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));
    client.get_mut().write_all(b".")?;
    assert_ne!(line(&mut client)?, "", "the child goes on");
    Ok(end_input(&mut client)?)
}
