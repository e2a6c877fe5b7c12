//! One story under each strategy, over both transports, in both versions.

use std::os::unix::net as unix;

use socketserver::rustls::SupportedProtocolVersion;
use socketserver::{Concurrency, Selecting, Server, Sync, ThreadPool, Threading, Tls, UnixStream};

use crate::common::authority::{Authority, BOTH};
use crate::common::client;
use crate::common::teller::Teller;
use crate::support::net::PATIENCE;
use crate::{NAME, Result, Served, serve};

fn converse<S: std::io::Read + std::io::Write>(
    client: &mut client::Client<S>,
    version: &SupportedProtocolVersion,
) -> Result {
    assert_eq!(client::ask(client, "one\n")?, "one\n");
    let version = format!("0  {NAME} {:?}\n", version.version).replace("v1_", "v1.");
    assert_eq!(client::ask(client, "who\n")?, version);
    // Two at once, and one in two parts.
    client::say(client, b"two\nthree\nfo")?;
    assert_eq!((client::hear(client)?, client::hear(client)?), ("two\n".into(), "three\n".into()));
    assert_eq!(client::ask(client, "ur\n")?, "four\n");
    let long = "l".repeat(40_000) + "\n";
    assert!(client::ask(client, &long)? == long, "several records");
    Ok(())
}

fn over_tcp<C>() -> Result
where
    C: Concurrency<Tls<socketserver::Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    for version in BOTH {
        for end in ["bye", "farewell"] {
            let config = served.authority.client(&[version], None)?;
            let mut client = client::connect(served.address, config, NAME)?;
            converse(&mut client, version)?;
            if end == "bye" {
                assert_eq!(client::ask(&mut client, "bye\n")?, "goodbye\n");
            } else {
                client::farewell(&mut client)?;
            }
            assert_eq!(client::rest(&mut client)?, "", "a clean end");
        }
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

fn over_unix<C>() -> Result
where
    C: Concurrency<Tls<UnixStream>, Teller> + Default + Send + 'static,
{
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("tls");
    let authority = Authority::new("an authority")?;
    let tls = Tls::new(UnixStream::options().bind(&path)?, authority.server(NAME)?);
    let (teller, failures) = Teller::new();
    let running = Server::new(tls, C::default(), teller)?.spawn()?;
    for version in BOTH {
        let stream = unix::UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = client::over(stream, authority.client(&[version], None)?, NAME)?;
        converse(&mut client, version)?;
        assert_eq!(client::ask(&mut client, "bye\n")?, "goodbye\n");
        assert_eq!(client::rest(&mut client)?, "", "a clean end");
    }
    running.close()?;
    assert_eq!(failures.try_iter().count(), 0);
    Ok(())
}

macro_rules! under_each {
    ($($name:ident: $strategy:ty;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn over_tcp() -> Result {
                super::over_tcp::<$strategy>()
            }

            #[test]
            fn over_unix() -> Result {
                super::over_unix::<$strategy>()
            }
        }
    )*};
}

under_each! {
    sync: Sync;
    threading: Threading;
    thread_pool: ThreadPool;
    selecting_sync: Selecting<Sync>;
    selecting_threading: Selecting<Threading>;
    selecting_thread_pool: Selecting<ThreadPool>;
}
