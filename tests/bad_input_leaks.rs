//! What fails to be made leaves nothing behind. Each case in a process of its own, as descriptors
//! are counted.

mod support;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net as unix;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socketserver::{
    AddressFamily, Tcp, TcpServer, Udp, UdpServer, UnixDatagram, UnixDatagramServer, UnixStream,
    UnixStreamServer,
};
use support::alone::{self, Case};

const CASES: [Case; 2] = [
    ("a_thousand_failing_binds_of_each_kind_leak_no_descriptor", failing_binds),
    ("a_server_for_which_there_is_no_descriptor_leaves_nothing", no_descriptors),
];

fn main() -> ExitCode {
    alone::run(&CASES)
}

/// Whether what has been tried failed.
fn fails<V>(result: io::Result<V>) -> bool {
    result.map(drop).is_err()
}

fn failing_binds() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("taken.sock");
    let _unix = UnixStream::options().bind(&path)?;
    let free = folder.path().join("free.sock");
    let long = folder.path().join("x".repeat(200));
    let gone = folder.path().join("gone/app.sock");

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let tcp = listener.local_addr()?;
    let udp_socket = UdpSocket::bind("127.0.0.1:0")?;
    let udp = udp_socket.local_addr()?;
    let client = TcpStream::connect(tcp)?;
    let packets = unix::UnixDatagram::unbound()?;

    let tcp_options = || Tcp::options().address_family(AddressFamily::V4);
    let kinds: &[(&str, &dyn Fn() -> bool)] = &[
        ("TCP, in use", &|| fails(Tcp::options().bind(tcp))),
        ("TCP server, in use", &|| fails(TcpServer::bind_fn(tcp, |_conn| Ok(())))),
        ("UDP, in use", &|| fails(Udp::options().bind(udp))),
        ("UDP server, in use", &|| fails(UdpServer::bind_fn(udp, |_packet| Ok(())))),
        ("TCP, not of this machine", &|| fails(Tcp::options().bind("240.0.0.1:0"))),
        ("UDP, not of this machine", &|| fails(Udp::options().bind("[2001:db8::1]:0"))),
        ("TCP, malformed", &|| fails(Tcp::options().bind("nonsense"))),
        ("TCP, other family", &|| fails(tcp_options().bind("[::1]:0"))),
        ("TCP, no backlog", &|| fails(Tcp::options().request_queue_size(0).bind("127.0.0.1:0"))),
        ("TCP, no timeout", &|| fails(Tcp::options().timeout(Duration::ZERO).bind("127.0.0.1:0"))),
        ("UDP, no packet", &|| fails(Udp::options().max_packet_size(0).bind("127.0.0.1:0"))),
        ("Unix stream, in use", &|| fails(UnixStream::options().bind(&path))),
        ("Unix stream server, in use", &|| fails(UnixStreamServer::bind_fn(&path, |_conn| Ok(())))),
        ("Unix datagram, in use", &|| fails(UnixDatagram::options().bind(&path))),
        ("Unix datagram server, in use", &|| {
            fails(UnixDatagramServer::bind_fn(&path, |_packet| Ok(())))
        }),
        ("Unix stream, too long", &|| fails(UnixStream::options().bind(&long))),
        ("Unix datagram, no such folder", &|| fails(UnixDatagram::options().bind(&gone))),
        ("Unix stream, no backlog", &|| {
            fails(UnixStream::options().request_queue_size(0).bind(&free))
        }),
        ("Unix datagram, no packet", &|| {
            fails(UnixDatagram::options().max_packet_size(0).bind(&free))
        }),
        ("brought along, wrong kind", &|| fails(udp_socket.try_clone().and_then(Tcp::from_socket))),
        ("brought along, wrong family", &|| {
            fails(listener.try_clone().and_then(UnixStream::from_socket))
        }),
        ("brought along, packets of the wrong family", &|| {
            fails(packets.try_clone().and_then(Udp::from_socket))
        }),
        ("brought along, not listening", &|| fails(client.try_clone().and_then(Tcp::from_socket))),
        ("brought along, no socket", &|| {
            fails(File::open("/dev/null").and_then(UnixDatagram::from_socket))
        }),
    ];

    let before = descriptors()?;
    for (kind, bind) in kinds {
        for _ in 0..1000 {
            assert!(bind(), "{kind} does not fail");
        }
        assert_eq!(descriptors()?, before, "{kind}");
    }
    let files = Vec::from_iter(fs::read_dir(folder.path())?);
    assert_eq!(files.len(), 1, "{files:?}");
    Ok(())
}

/// What is open, and what each one is.
fn descriptors() -> io::Result<BTreeSet<(PathBuf, PathBuf)>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let target = fs::read_link(&path)?;
        // The one by which the folder is read.
        if !target.ends_with("fd") {
            all.insert((path, target));
        }
    }
    Ok(all)
}

/// A way to make and drop a server.
type Bind<'a> = &'a dyn Fn() -> io::Result<()>;

fn no_descriptors() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.sock");
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard)?;
    let mut held = open_all();

    let binds: [Bind<'_>; 4] = [
        &|| TcpServer::bind_fn("127.0.0.1:0", |_conn| Ok(())).map(drop),
        &|| UdpServer::bind_fn("127.0.0.1:0", |_packet| Ok(())).map(drop),
        &|| UnixStreamServer::bind_fn(&path, |_conn| Ok(())).map(drop),
        &|| UnixDatagramServer::bind_fn(&path, |_packet| Ok(())).map(drop),
    ];
    // A server has two descriptors: its socket, and the one that wakes it.
    for room in 0..=2 {
        for bind in binds {
            match bind() {
                Ok(()) => assert_eq!(room, 2, "it was made with room for {room}"),
                Err(error) => {
                    assert!(room < 2, "with room for {room}: {error}");
                    assert!(error.to_string().contains("Too many open files"), "{error}");
                }
            }
            assert!(!path.exists(), "with room for {room}");
            assert_eq!(open_all().len(), room, "there is as much room as before");
        }
        held.pop();
    }
    Ok(())
}

/// Opens files until there is no room for more.
fn open_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}
