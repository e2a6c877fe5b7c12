//! HAProxy in front of the example `serve`, under every strategy: a real sender of PROXY headers of
//! both versions, health checks included, before TLS too. Left out where it is not installed.

#[cfg(feature = "tls")]
#[path = "support/tls/authority.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests share it, and need more of it")]
mod authority;
#[path = "support/haproxy.rs"]
mod haproxy;
#[path = "support/served.rs"]
mod served;

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use socket2::{Domain, Socket, Type};

use haproxy::HaProxy;
use served::{LIMIT, STRATEGIES, Served, Tested};

/// How it says whose a connection is: a name, and the words of its configuration.
const WAYS: [(&str, &str); 3] = [
    ("version_1", "send-proxy"),
    ("version_2", "send-proxy-v2"),
    ("version_2_with_all", "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,cert-cn"),
];

fn main() -> ExitCode {
    let lacks = !HaProxy::is_installed();
    let mut trials = Vec::new();
    for strategy in STRATEGIES {
        for (name, words) in WAYS {
            trials.push(trial(format!("{name}_{strategy}"), move || clients(strategy, words)));
        }
        #[cfg(feature = "tls")]
        trials.push(trial(format!("before_tls_{strategy}"), move || before_tls(strategy)));
        trials.push(trial(format!("others_{strategy}"), move || others(strategy)));
    }
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(lacks)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, run: impl FnOnce() -> Tested + Send + 'static) -> Trial {
    Trial::test(name, || run().map_err(|error| Failed::from(error.to_string())))
}

fn in_front_of(server: &str, words: &str) -> Tested<HaProxy> {
    let configuration = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         frontend clients\n bind \"127.0.0.1:${{PORT}}\"\n bind \"[::1]:${{PORT}}\"\n \
         unique-id-format %[uuid()]\n default_backend servers\n\
         backend servers\n option httpchk GET /checked\n server one {server} {words} check \
         check-send-proxy inter 100ms\n"
    );
    HaProxy::start(&configuration, &[])
}

/// Connects to it, from this address.
fn connect(proxy: &HaProxy, from: IpAddr) -> Tested<TcpStream> {
    let to = match from {
        IpAddr::V4(_) => SocketAddr::from(([127, 0, 0, 1], proxy.port)),
        IpAddr::V6(_) => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], proxy.port)),
    };
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    let client = TcpStream::from(socket);
    client.set_read_timeout(Some(LIMIT))?;
    Ok(client)
}

fn ask(mut client: impl Read + Write) -> Tested<String> {
    client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut said = String::new();
    client.read_to_string(&mut said)?;
    Ok(said)
}

/// What is served: what HAProxy asks for to see whether the server is well.
fn folder() -> Tested<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("checked"), "")?;
    Ok(folder)
}

fn serve(
    strategy: &str,
    proxies: &str,
    folder: &tempfile::TempDir,
    tls: &[&str],
) -> Tested<Served> {
    let dir = folder.path().to_string_lossy().into_owned();
    let options = ["--addr", "127.0.0.1:0", "--proxy-from", "192.0.2.0/24", "--proxy-from"];
    let more = [proxies, "--strategy", strategy, "--dir", &dir];
    Served::start(&[&options[..], &more, tls].concat())
}

fn clients(strategy: &str, words: &str) -> Tested {
    let folder = folder()?;
    let server = serve(strategy, "127.0.0.1", &folder, &[])?;
    let proxy = in_front_of(&server.address, words)?;
    for from in ["127.0.0.5", "::1", "127.1.2.3"] {
        let said = ask(connect(&proxy, from.parse()?)?)?;
        assert!(said.starts_with("HTTP/1.1 200 "), "{said:?}");
        server.says(&format!("{from} - - "))?;
    }
    // What it asks by itself comes from nobody but itself.
    let line = server.says("/checked HTTP/1.0\" 200")?;
    assert!(line.starts_with("127.0.0.1 - - "), "{line:?}");
    Ok(())
}

/// A client speaks TLS with the server, through a proxy that does not: its header comes first.
#[cfg(feature = "tls")]
fn before_tls(strategy: &str) -> Tested {
    use socketserver::rustls::{ClientConnection, StreamOwned};
    let (folder, secret) = (folder()?, tempfile::tempdir()?);
    let path = |name: &str| secret.path().join(name).to_string_lossy().into_owned();
    let authority = authority::Authority::new("servers")?;
    let (certificate, key) = authority.files("server.example")?;
    fs::write(path("cert.pem"), certificate)?;
    fs::write(path("key.pem"), key)?;
    let tls = ["--tls", &path("cert.pem"), &path("key.pem")];
    let server = serve(strategy, "127.0.0.1", &folder, &tls)?;
    let proxy = in_front_of(&server.address, "send-proxy-v2 check-ssl verify none")?;
    let config = std::sync::Arc::new(authority.client(&authority::BOTH, None)?);
    for from in ["127.0.0.5", "::1", "127.1.2.3"] {
        let conn = ClientConnection::new(config.clone(), "server.example".try_into()?)?;
        let said = ask(StreamOwned::new(conn, connect(&proxy, from.parse()?)?))?;
        assert!(said.starts_with("HTTP/1.1 200 "), "{said:?}");
        server.says(&format!("{from} - - "))?;
    }
    let line = server.says("/checked HTTP/1.0\" 200")?;
    assert!(line.starts_with("127.0.0.1 - - "), "{line:?}");
    Ok(())
}

/// A proxy that does not say whose its connections are, and one that is not trusted.
fn others(strategy: &str) -> Tested {
    let folder = folder()?;
    let server = serve(strategy, "127.0.0.1", &folder, &[])?;
    let proxy = in_front_of(&server.address, "")?;
    assert_eq!(ask(connect(&proxy, [127, 0, 0, 5].into())?)?, "");
    server.says("the connection does not begin with a PROXY header")?;

    let server = serve(strategy, "198.51.100.0/24", &folder, &[])?;
    let proxy = in_front_of(&server.address, "send-proxy-v2")?;
    assert_eq!(ask(connect(&proxy, [127, 0, 0, 5].into())?)?, "");
    server.says("denied: the peer is not a proxy that is trusted")?;
    Ok(())
}
