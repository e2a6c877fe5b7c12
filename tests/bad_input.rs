//! What can be wrong in a constructor or an option: the error says what it was, and what would be
//! right. Key words are compared, not sentences.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{self as unix, UnixListener};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::{
    AddressFamily, Forking, Outcome, Server, StreamRequest, Sync, Tcp, TcpServer, ToIpAddrs, Udp,
    UnixDatagram, UnixStream,
};

/// Checks that `result` is an error of this kind, and that its text has all of `words`.
#[track_caller]
fn refused<V: Debug>(result: io::Result<V>, kind: ErrorKind, words: &[&str]) {
    match result {
        Ok(value) => panic!("this should have been refused: {value:?}"),
        Err(error) => {
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            for word in words {
                assert!(text.contains(word), "{word:?} is missing in: {text}");
            }
        }
    }
}

/// Checks that both Unix transports refuse `path`, and leave no file.
#[track_caller]
fn refused_as_unix_address(path: &str, words: &[&str]) {
    refused(UnixStream::options().bind(path), ErrorKind::InvalidInput, words);
    refused(UnixStream::options().server_bind(path), ErrorKind::InvalidInput, words);
    refused(UnixDatagram::options().bind(path), ErrorKind::InvalidInput, words);
}

/// Checks that both IP transports refuse `address`.
#[track_caller]
fn refused_as_ip_address(address: impl ToIpAddrs + Copy, kind: ErrorKind, words: &[&str]) {
    refused(Tcp::options().bind(address), kind, words);
    refused(Tcp::options().server_bind(address), kind, words);
    refused(Udp::options().bind(address), kind, words);
}

mod paths {
    use super::*;

    #[test]
    fn one_too_long_for_the_kernel_is_refused_with_both_lengths() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let begin = format!("{}/", folder.path().display());
        let path = |length: usize| format!("{begin}{}", "x".repeat(length - begin.len()));
        refused_as_unix_address(&path(108), &["108 bytes", "107", &path(108), "shorter"]);
        refused_as_unix_address(&path(5000), &["5000 bytes", "107"]);
        UnixStream::options().bind(path(107))?;
        assert!(!folder.path().read_dir()?.any(|_| true), "the last one has gone with its server");
        Ok(())
    }

    #[test]
    fn an_empty_one_is_refused() {
        refused_as_unix_address("", &["path", "empty"]);
    }

    #[test]
    fn a_nul_byte_within_is_refused() {
        refused_as_unix_address("a\0b", &["null byte"]);
    }

    #[test]
    fn an_abstract_name_too_long_is_refused() {
        refused_as_unix_address(&format!("\0{}", "x".repeat(108)), &["abstract", "shorter"]);
    }

    #[test]
    fn an_unnamed_address_is_refused() -> io::Result<()> {
        let unnamed = unix::UnixDatagram::unbound()?.local_addr()?;
        let words = ["unnamed"];
        refused(UnixStream::options().bind(&unnamed), ErrorKind::InvalidInput, &words);
        refused(UnixDatagram::options().bind(&unnamed), ErrorKind::InvalidInput, &words);
        Ok(())
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() -> io::Result<()> {
        let path = tempfile::tempdir()?.path().join("gone/app.sock");
        let words = ["bind", path.to_str().unwrap_or_default()];
        refused(UnixStream::options().bind(&path), ErrorKind::NotFound, &words);
        refused(UnixDatagram::options().bind(&path), ErrorKind::NotFound, &words);
        Ok(())
    }

    #[test]
    fn a_file_in_the_way_is_named_and_left() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("app.sock");
        drop(UnixListener::bind(&path)?);
        let words = [path.to_str().unwrap_or_default(), "in use", "removed first"];
        refused(UnixStream::options().bind(&path), ErrorKind::AddrInUse, &words);
        refused(UnixDatagram::options().bind(&path), ErrorKind::AddrInUse, &words);
        assert!(path.exists());
        Ok(())
    }

    #[test]
    fn an_abstract_name_in_use_has_no_file_to_remove() -> io::Result<()> {
        let name = format!("\0socketserver-bad-input-{}", std::process::id());
        let _first = UnixStream::options().bind(&name)?;
        let second = UnixStream::options().bind(&name);
        let text = second.as_ref().map_err(ToString::to_string).err().unwrap_or_default();
        assert!(!text.contains("removed"), "{text}");
        refused(second, ErrorKind::AddrInUse, &["socketserver-bad-input", "in use"]);
        Ok(())
    }
}

mod addresses {
    use super::*;

    #[test]
    fn one_in_use_is_named() -> io::Result<()> {
        let taken = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let _first = Tcp::options().bind(taken)?;
        let words = ["bind", &taken.to_string(), "in use"];
        refused(Tcp::options().bind(taken), ErrorKind::AddrInUse, &words);

        let taken = UdpSocket::bind("[::1]:0")?;
        let address = taken.local_addr()?;
        let words = ["bind", &address.to_string(), "in use"];
        refused(Udp::options().bind(address), ErrorKind::AddrInUse, &words);
        Ok(())
    }

    #[test]
    fn one_of_another_machine_is_named() {
        // Of the reserved block and of the prefix for documents: no machine's.
        for address in ["240.0.0.1:0", "[2001:db8::1]:0"] {
            refused_as_ip_address(address, ErrorKind::AddrNotAvailable, &["bind", address]);
        }
    }

    #[test]
    fn a_malformed_one_is_refused() {
        for address in ["", "nonsense", "127.0.0.1", "[::1]"] {
            let words = ["invalid", "host and a port", "127.0.0.1:8000"];
            refused_as_ip_address(address, ErrorKind::InvalidInput, &words);
        }
        for address in ["127.0.0.1:65536", "127.0.0.1:http", "127.0.0.1:"] {
            refused_as_ip_address(address, ErrorKind::InvalidInput, &["invalid port"]);
        }
    }

    #[test]
    fn a_name_that_is_none_is_an_error_and_asks_nobody() {
        // A label of more than 63 bytes is no name: the resolver can't even ask for it.
        let name = format!("{}.invalid:80", "x".repeat(64));
        for result in [Tcp::options().bind(&*name).map(drop), Udp::options().bind(&*name).map(drop)]
        {
            let text = result.expect_err("no such host").to_string();
            assert!(text.contains("lookup") && text.contains("host and a port"), "{text}");
        }
    }

    #[test]
    fn no_address_at_all_is_refused() {
        let none: &[SocketAddr] = &[];
        refused_as_ip_address(none, ErrorKind::InvalidInput, &["no address"]);
    }

    #[test]
    fn of_several_bad_ones_the_last_is_named() -> io::Result<()> {
        let several = ["240.0.0.1:0", "240.0.0.2:0"].map(|address| address.parse().unwrap());
        refused_as_ip_address(&several[..], ErrorKind::AddrNotAvailable, &["240.0.0.2"]);
        let good = "127.0.0.1:0".parse().unwrap();
        Tcp::options().bind(&[several[0], good][..])?;
        Ok(())
    }

    #[test]
    fn one_of_the_other_family_says_which_to_choose() -> io::Result<()> {
        use AddressFamily::{Dual, V4, V6};
        let cases: [(&str, AddressFamily, &[&str]); 3] = [
            ("[::1]:0", V4, &["[::1]:0", "IPv6 address", "V4", "choose V6 or Dual"]),
            ("127.0.0.1:0", V6, &["127.0.0.1:0", "IPv4 address", "V6", "choose V4"]),
            ("127.0.0.1:0", Dual, &["127.0.0.1:0", "IPv4 address", "Dual", "[::]"]),
        ];
        for (address, family, words) in cases {
            let tcp = Tcp::options().address_family(family);
            refused(tcp.bind(address), ErrorKind::InvalidInput, words);
            let udp = Udp::options().address_family(family);
            refused(udp.bind(address), ErrorKind::InvalidInput, words);
        }
        // Of a name's addresses, those of the family are taken.
        let both: [SocketAddr; 2] = ["[::1]:0", "127.0.0.1:0"].map(|one| one.parse().unwrap());
        Tcp::options().address_family(V4).bind(&both[..])?;
        Ok(())
    }
}

mod options {
    use super::*;

    /// Addresses that are taken: who complains of an option has not tried to bind.
    struct Taken {
        tcp: TcpListener,
        udp: UdpSocket,
        folder: tempfile::TempDir,
        _unix: UnixListener,
    }

    impl Taken {
        fn new() -> io::Result<Self> {
            let folder = tempfile::tempdir()?;
            let _unix = UnixListener::bind(folder.path().join("taken.sock"))?;
            let (tcp, udp) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
            Ok(Self { tcp, udp, folder, _unix })
        }

        fn path(&self) -> std::path::PathBuf {
            self.folder.path().join("taken.sock")
        }
    }

    #[test]
    fn a_backlog_of_zero_is_refused_before_anything_is_bound() -> io::Result<()> {
        let taken = Taken::new()?;
        let words = ["request_queue_size", "0", "at least 1"];
        let tcp = Tcp::options().request_queue_size(0);
        refused(tcp.bind(taken.tcp.local_addr()?), ErrorKind::InvalidInput, &words);
        let unix = UnixStream::options().request_queue_size(0);
        refused(unix.bind(taken.path()), ErrorKind::InvalidInput, &words);
        // More than the system can hold is cut.
        Tcp::options().request_queue_size(u32::MAX).bind("127.0.0.1:0").map(drop)
    }

    #[test]
    fn packets_of_no_size_are_refused_before_anything_is_bound() -> io::Result<()> {
        let taken = Taken::new()?;
        let words = ["max_packet_size", "0", "at least 1"];
        let udp = Udp::options().max_packet_size(0);
        refused(udp.bind(taken.udp.local_addr()?), ErrorKind::InvalidInput, &words);
        let unix = UnixDatagram::options().max_packet_size(0);
        refused(unix.bind(taken.path()), ErrorKind::InvalidInput, &words);
        Ok(())
    }

    #[test]
    fn no_children_at_all_are_refused() {
        let words = ["max_children", "0", "at least 1"];
        refused(Forking::new().max_children(0), ErrorKind::InvalidInput, &words);
    }

    #[test]
    fn a_timeout_of_zero_is_refused_before_anything_is_bound() -> io::Result<()> {
        let taken = Taken::new()?;
        let words = ["timeout", "zero"];
        let tcp = Tcp::options().timeout(Duration::ZERO);
        refused(tcp.bind(taken.tcp.local_addr()?), ErrorKind::InvalidInput, &words);
        let unix = UnixStream::options().timeout(Duration::ZERO);
        refused(unix.bind(taken.path()), ErrorKind::InvalidInput, &words);
        Ok(())
    }

    #[test]
    fn a_handler_s_timeout_of_zero_is_refused() -> io::Result<()> {
        let mut server = TcpServer::bind_fn("127.0.0.1:0", |conn: &mut StreamRequest<_, _>| {
            refused(conn.set_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput, &["0"]);
            Ok(())
        })?;
        let mut client = TcpStream::connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        io::copy(&mut client, &mut io::sink()).map(drop)
    }

    #[test]
    fn a_timeout_without_end_is_none() -> io::Result<()> {
        let tcp = Tcp::options().timeout(Duration::MAX).bind("127.0.0.1:0")?;
        let server = Server::new_fn(tcp, Sync, |_conn| Ok(()))?;
        let mut server = server.service_interval(Duration::MAX);
        let _client = TcpStream::connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        server.stop_handle().stop();
        server.serve_forever()
    }
}

mod sockets_brought_along {
    use super::*;

    /// Each kind of socket, and one descriptor that is none.
    fn tcp() -> io::Result<OwnedFd> {
        TcpListener::bind("127.0.0.1:0").map(Into::into)
    }

    fn udp() -> io::Result<OwnedFd> {
        UdpSocket::bind("127.0.0.1:0").map(Into::into)
    }

    fn unix_stream() -> io::Result<OwnedFd> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        Ok(socket.into())
    }

    fn unix_datagram() -> io::Result<OwnedFd> {
        unix::UnixDatagram::unbound().map(Into::into)
    }

    const INVALID: ErrorKind = ErrorKind::InvalidInput;

    #[test]
    fn one_of_the_wrong_kind_is_told_where_it_goes() -> io::Result<()> {
        let stream = ["not a stream socket", "packets"];
        refused(Tcp::from_socket(udp()?), INVALID, &stream);
        refused(UnixStream::from_socket(unix_datagram()?), INVALID, &stream);
        let datagram = ["not a datagram socket", "connections"];
        refused(Udp::from_socket(tcp()?), INVALID, &datagram);
        refused(UnixDatagram::from_socket(unix_stream()?), INVALID, &datagram);
        Ok(())
    }

    #[test]
    fn one_of_the_wrong_family_is_told_where_it_goes() -> io::Result<()> {
        let not_ip = ["not an internet", "UnixStream or UnixDatagram"];
        refused(Tcp::from_socket(unix_stream()?), INVALID, &not_ip);
        refused(Udp::from_socket(unix_datagram()?), INVALID, &not_ip);
        let not_unix = ["not a Unix", "Tcp or Udp"];
        refused(UnixStream::from_socket(tcp()?), INVALID, &not_unix);
        refused(UnixDatagram::from_socket(udp()?), INVALID, &not_unix);
        Ok(())
    }

    #[test]
    fn one_that_does_not_listen_is_told_to() -> io::Result<()> {
        let words = ["does not listen", "listen(2)"];
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        refused(Tcp::from_socket(client), INVALID, &words);
        let bound = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        bound.bind(&"[::1]:0".parse::<SocketAddr>().map_err(io::Error::other)?.into())?;
        refused(Tcp::from_socket(bound), INVALID, &words);
        let bound = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let folder = tempfile::tempdir()?;
        bound.bind(&SockAddr::unix(folder.path().join("bound"))?)?;
        refused(UnixStream::from_socket(bound), INVALID, &words);
        refused(UnixStream::from_socket(unix_stream()?), INVALID, &["not bound", "bind(2)"]);
        Ok(())
    }

    #[test]
    fn what_is_no_socket_is_refused() -> io::Result<()> {
        let file = || File::open("/dev/null");
        for result in [
            Tcp::from_socket(file()?).map(drop),
            Udp::from_socket(file()?).map(drop),
            UnixStream::from_socket(file()?).map(drop),
            UnixDatagram::from_socket(file()?).map(drop),
        ] {
            let errno = result.err().and_then(|error| error.raw_os_error());
            assert_eq!(errno, Some(nix::libc::ENOTSOCK));
        }
        Ok(())
    }

    #[test]
    fn one_for_packets_that_is_not_bound_is_told_to() -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        refused(Udp::from_socket(socket), INVALID, &["not bound"]);
        Ok(())
    }
}
