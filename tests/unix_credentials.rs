//! Who is at the other end of a Unix socket. Each case has a process of its own, as some become
//! somebody else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs;
use std::io::{self, IoSlice, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net as unix;
use std::process::ExitCode;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use nix::unistd::{Uid, setresuid};
use socketserver::{
    Handler, Limits, Next, Outcome, Server, Sync as OneByOne, Threading, UnixDatagram,
    UnixDatagramRequest, UnixStream, UnixStreamRequest, by_uid,
};
use support::alone;
use support::net::Reach;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const NOBODY: Uid = Uid::from_raw(65534);

/// Handles the requests of one user.
struct Only(Uid);

impl Handler<UnixStreamRequest> for Only {
    fn verify_request(&self, conn: &UnixStreamRequest) -> io::Result<bool> {
        let peer = conn.peer_credentials()?;
        assert_eq!(peer.pid, Some(std::process::id()));
        Ok(peer.uid == self.0.as_raw())
    }

    fn handle(&self, conn: &mut UnixStreamRequest) -> io::Result<Next> {
        assert_eq!(conn.peer_credentials()?.uid, self.0.as_raw());
        Ok(Next::Done)
    }
}

impl Handler<UnixDatagramRequest> for Only {
    fn verify_request(&self, packet: &UnixDatagramRequest) -> io::Result<bool> {
        let peer = packet.credentials().expect("asked for");
        assert_eq!(peer.pid, Some(std::process::id()));
        Ok(peer.uid == self.0.as_raw())
    }

    fn handle(&self, packet: &mut UnixDatagramRequest) -> io::Result<Next> {
        assert_eq!(packet.credentials().expect("asked for").uid, self.0.as_raw());
        Ok(Next::Done)
    }
}

/// Becomes somebody else for the length of `act`, where that is possible.
fn as_another<V>(act: impl FnOnce() -> io::Result<V>) -> Result<V> {
    let (own, root) = (Uid::current(), Uid::from_raw(0));
    if own == root {
        setresuid(NOBODY, NOBODY, root)?;
    }
    let done = act();
    if own == root {
        setresuid(root, root, root)?;
    }
    Ok(done?)
}

fn a_request_knows_whose_it_is() -> Result {
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    let path = dir.path().join("stream");
    let own = Uid::current();
    let expected = if own.is_root() { Outcome::Rejected } else { Outcome::Handled };

    let transport = UnixStream::options().mode(0o666).bind(&path)?;
    let mut server = Server::new(transport, OneByOne, Only(own))?;
    let _own = unix::UnixStream::connect(&path)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    let _other = as_another(|| unix::UnixStream::connect(&path))?;
    assert_eq!(server.handle_request()?, expected);

    let path = dir.path().join("packets");
    let transport = UnixDatagram::options().mode(0o666).credentials(true).bind(&path)?;
    let mut server = Server::new(transport, OneByOne, Only(own))?;
    let client = unix::UnixDatagram::unbound()?;
    client.send_to(b"own", &path)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    as_another(|| client.send_to(b"other", &path))?;
    assert_eq!(server.handle_request()?, expected);
    Ok(())
}

fn each_user_has_places_of_its_own() -> Result {
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    let path = dir.path().join("stream");
    let transport = UnixStream::options().mode(0o666).bind(&path)?;
    let server = Server::new_fn(transport, Threading::new(), |conn| conn.read(&mut [0]).map(drop))?;
    let mut server = server.limits(Limits::new().per_source(1, by_uid))?;
    let own = unix::UnixStream::connect(&path)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    let _second = unix::UnixStream::connect(&path)?;
    assert_eq!(server.handle_request()?, Outcome::Refused);
    let other = as_another(|| unix::UnixStream::connect(&path))?;
    let expected = if Uid::current().is_root() { Outcome::Handled } else { Outcome::Refused };
    assert_eq!(server.handle_request()?, expected);
    drop((own, other));
    server.close()?;

    let path = dir.path().join("packets");
    let transport = UnixDatagram::options().credentials(true).bind(&path)?;
    let mut server = Server::new_fn(transport, OneByOne, |packet| {
        assert_eq!(by_uid(packet), Some(Uid::current().as_raw()));
        Ok(())
    })?;
    unix::UnixDatagram::unbound()?.send_to(b"own", &path)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    Ok(())
}

fn credentials_are_told_only_where_asked_for() -> Result {
    let dir = tempfile::tempdir()?;
    let handler = |packet: &mut UnixDatagramRequest| {
        packet.reply(if packet.credentials().is_some() { b"some" } else { b"none" })
    };
    let at = |name: &str| dir.path().join(name);
    for (transport, answer) in [
        (UnixDatagram::options().bind(at("1"))?, b"none"),
        (UnixDatagram::options().credentials(true).bind(at("2"))?, b"some"),
        (
            UnixDatagram::options()
                .credentials(true)
                .from_socket(unix::UnixDatagram::bind(at("3"))?)?,
            b"some",
        ),
    ] {
        let mut server = Server::new_fn(transport, OneByOne, handler)?;
        let client = UnixDatagram::send(&server.local_addr()?, dir.path(), b"")?;
        server.handle_request()?;
        assert_eq!(UnixDatagram::receive(client)?, answer);
    }
    Ok(())
}

/// A control message for which there is room is obeyed by the kernel before the server sees it.
fn descriptors_that_a_client_sends_are_not_opened() -> Result {
    let open = || -> io::Result<usize> { Ok(fs::read_dir("/proc/self/fd")?.count()) };
    let dir = tempfile::tempdir()?;
    for credentials in [false, true] {
        let path = dir.path().join(format!("{credentials}"));
        let transport = UnixDatagram::options().credentials(credentials).bind(&path)?;
        let address = UnixAddr::new(&path)?;
        let mut server = Server::new_fn(transport, OneByOne, move |packet| {
            assert_eq!(packet.credentials().is_some(), credentials);
            Ok(())
        })?;
        let client = unix::UnixDatagram::unbound()?;
        let before = open()?;
        for count in 1..=20 {
            let descriptors = vec![client.as_raw_fd(); count];
            let rights = [ControlMessage::ScmRights(&descriptors)];
            let part = [IoSlice::new(b"take these")];
            sendmsg(client.as_raw_fd(), &part, &rights, MsgFlags::empty(), Some(&address))?;
            assert_eq!(server.handle_request()?, Outcome::Handled);
            assert_eq!(open()?, before, "{count} sent, credentials {credentials}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => { &[$((stringify!($case), $case),)*] };
    }
    alone::run(cases![
        a_request_knows_whose_it_is,
        each_user_has_places_of_its_own,
        credentials_are_told_only_where_asked_for,
        descriptors_that_a_client_sends_are_not_opened,
    ])
}
