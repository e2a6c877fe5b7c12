//! Sockets that the process was started with, and what it tells its supervisor. Each case runs in a
//! process of its own, which starts one as a service manager would.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::process::{Command, ExitCode, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use socketserver::{
    Inherited, Many, Outcome, Server, Sync, Tcp, TcpRequest, Udp, UnixStream, notify,
};
use support::{alone, role};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let roles: [role::Role; 4] =
        [("serves", serves), ("wrong", wrong), ("says", says), ("notifies", notifies)];
    if let Some(played) = role::play(&roles) {
        return played;
    }
    alone::run(&[
        ("they_are_served_by_their_names", by_name),
        ("they_are_taken_once_and_not_by_other_programs", once),
        ("what_does_not_fit_is_said", does_not_fit),
        ("a_socket_of_the_wrong_kind_is_named", wrong_kinds),
        ("without_any_there_are_none", none),
        ("a_supervisor_is_told", told),
        ("one_that_is_not_there_can_not_be_told", not_told),
    ])
}

/// Starts this binary in the part `role` with these sockets from descriptor 3 on.
fn started(role: &str, sockets: [OwnedFd; 2], environment: &str) -> Result<Command> {
    let own = env::current_exe()?;
    // Descriptors 0 and 1 are what a command can be given; the shell has the process id.
    let script = format!(
        "export LISTEN_PID=$$ {environment}; exec 3<&0 4>&1 >&2 </dev/null; exec \"$0\" \"$@\""
    );
    let [first, second] = sockets.map(Stdio::from);
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(own).stdin(first).stdout(second);
    command.env("SOCKETSERVER_TEST_ROLE", role);
    Ok(command)
}

fn run(mut command: Command) -> Result {
    role::finished(command.spawn()?)
}

fn two() -> Result<([TcpListener; 2], [OwnedFd; 2])> {
    let both = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let copies = [both[0].try_clone()?.into(), both[1].try_clone()?.into()];
    Ok((both, copies))
}

fn serves(_: &[String]) -> Result {
    let mut sockets = Inherited::from_environment()?;
    assert_eq!(sockets.names().collect::<Vec<_>>(), ["http", "admin"]);
    let unknown = sockets.take("nobody", Tcp::from_socket).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert!(unknown.to_string().contains("\"http\", \"admin\""), "{unknown}");
    let admin = sockets.take("admin", Tcp::from_socket)?;
    let http = sockets.take("http", |socket| Tcp::options().rbufsize(0).from_socket(socket))?;
    assert!(sockets.is_empty() && sockets.take_next(Tcp::from_socket)?.is_none());
    let each = [(admin, b"admin"), (http, b"http ")];
    for (tcp, name) in each {
        let mut server = Server::new_fn(tcp, Sync, |conn: &mut TcpRequest| conn.write_all(name))?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        server.close()?;
    }
    Ok(())
}

fn by_name() -> Result {
    let (listeners, copies) = two()?;
    let mut clients = Vec::new();
    for listener in &listeners {
        clients.push(TcpStream::connect(listener.local_addr()?)?);
    }
    run(started("serves", copies, "LISTEN_FDS=2 LISTEN_FDNAMES=http:admin")?)?;
    for (mut client, wanted) in clients.into_iter().zip(["http ", "admin"]) {
        let mut said = String::new();
        client.read_to_string(&mut said)?;
        assert_eq!(said, wanted);
    }
    Ok(())
}

fn says(_: &[String]) -> Result {
    let sockets = Inherited::from_environment()?;
    assert_eq!(sockets.names().collect::<Vec<_>>(), ["unknown", "unknown"]);
    assert!(Inherited::from_environment()?.is_empty(), "they are taken");
    // No program that is executed has them: neither the sockets nor the right to take them.
    let mut child = Command::new("sh");
    child.args(["-c", "test $LISTEN_PID != $$ && ! test -e /proc/self/fd/3"]);
    assert!(child.status()?.success());
    let many = Many::new(sockets_of(sockets)?)?;
    assert_eq!(many.iter().count(), 2);
    Ok(())
}

fn sockets_of(mut sockets: Inherited) -> io::Result<Vec<Tcp>> {
    let mut all = Vec::new();
    while let Some(tcp) = sockets.take_next(Tcp::from_socket)? {
        all.push(tcp);
    }
    Ok(all)
}

fn once() -> Result {
    let (_listeners, copies) = two()?;
    run(started("says", copies, "LISTEN_FDS=2")?)
}

fn wrong(arguments: &[String]) -> Result {
    let error = match Inherited::from_environment() {
        Err(error) => error,
        Ok(mut sockets) => {
            let taken = match &*arguments[0] {
                "tcp" => sockets.take_next(Tcp::from_socket).map(drop),
                "udp" => sockets.take_next(Udp::from_socket).map(drop),
                _ => sockets.take_next(UnixStream::from_socket).map(drop),
            };
            taken.unwrap_err()
        }
    };
    assert!(error.to_string().contains(&arguments[1]), "{error}");
    Ok(())
}

fn does_not_fit() -> Result {
    for (environment, wanted) in [
        ("LISTEN_FDS=two", "LISTEN_FDS is \"two\""),
        ("LISTEN_FDS=2 LISTEN_FDNAMES=http", "1 names for the 2 sockets"),
        ("LISTEN_FDS=40", "descriptor "),
    ] {
        let (_listeners, copies) = two()?;
        let mut command = started("wrong", copies, environment)?;
        command.args(["tcp", wanted]);
        run(command)?;
    }
    Ok(())
}

fn wrong_kinds() -> Result {
    let connected = || -> io::Result<OwnedFd> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        Ok(TcpStream::connect(listener.local_addr()?)?.into())
    };
    let listener = || io::Result::Ok(TcpListener::bind("127.0.0.1:0")?.into());
    let cases: [(OwnedFd, &str, &str); 6] = [
        (UdpSocket::bind("127.0.0.1:0")?.into(), "tcp", "not a stream socket"),
        (listener()?, "udp", "not a datagram socket"),
        (listener()?, "unix", "not a Unix one"),
        (unix::UnixStream::pair()?.0.into(), "unix", "not bound"),
        (connected()?, "tcp", "does not listen"),
        (File::open("/dev/null")?.into(), "tcp", "ocket operation on non-socket"),
    ];
    for (socket, kind, wanted) in cases {
        let mut command =
            started("wrong", [socket, listener()?], "LISTEN_FDS=1 LISTEN_FDNAMES=web")?;
        command.args([kind, wanted]);
        run(command)?;
    }
    Ok(())
}

fn none() -> Result {
    assert!(Inherited::from_environment()?.is_empty());
    // Meant for somebody else: nothing is touched.
    let (_listeners, [first, _]) = two()?;
    let before = fcntl(&first, FcntlArg::F_GETFD)?;
    assert!(FdFlag::from_bits_truncate(before).contains(FdFlag::FD_CLOEXEC));
    let own = env::current_exe()?;
    let mut command = Command::new(own);
    command.env("SOCKETSERVER_TEST_ROLE", "wrong").args(["none", "unwrap"]);
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1").stderr(Stdio::null());
    // The part expects an error, and there is none.
    assert!(!command.status()?.success());
    Ok(())
}

fn notifies(arguments: &[String]) -> Result {
    match arguments.first() {
        None => assert!(notify("READY=1")?),
        Some(wanted) => {
            let error = notify("READY=1").unwrap_err().to_string();
            assert!(error.contains("NOTIFY_SOCKET") && error.contains(wanted), "{error}");
        }
    }
    Ok(())
}

fn told() -> Result {
    assert!(!notify("READY=1")?, "nobody supervises");
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("notify");
    let name = format!("socketserver-test-{}", std::process::id());
    let abstract_name = unix::SocketAddr::from_abstract_name(&name)?;
    let sockets = [
        (unix::UnixDatagram::bind(&path)?, path.display().to_string()),
        (unix::UnixDatagram::bind_addr(&abstract_name)?, format!("@{name}")),
    ];
    for (socket, name) in sockets {
        let mut command = role::command("notifies")?;
        command.env("NOTIFY_SOCKET", name);
        run(command)?;
        let mut said = [0; 100];
        let length = socket.recv(&mut said)?;
        assert_eq!(&said[..length], b"READY=1");
    }
    Ok(())
}

fn not_told() -> Result {
    for (name, wanted) in [("/nowhere/notify", "o such file"), ("vsock:2:1234", "neither a path")] {
        let mut command = role::command("notifies")?;
        command.env("NOTIFY_SOCKET", name).arg(wanted);
        run(command)?;
    }
    Ok(())
}
