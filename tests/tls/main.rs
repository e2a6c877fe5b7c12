//! Connections through TLS, with rustls's own client on the other side.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "../support/tls/mod.rs"]
mod common;
#[path = "../support/mod.rs"]
mod support;

/// A test for each function under each strategy.
macro_rules! under {
    ($a:ty, $b:ty, $c:ty: $($test:ident)*) => {$(
        mod $test {
            use super::*;

            #[test]
            fn threading() -> crate::Result {
                super::$test::<$a>()
            }

            #[test]
            fn selecting_sync() -> crate::Result {
                super::$test::<$b>()
            }

            #[test]
            fn selecting_threading() -> crate::Result {
                super::$test::<$c>()
            }
        }
    )*};
}
pub(crate) use under;

mod beside;
mod choice;
mod ends;
mod starts;
mod strategies;
mod upgrade;

use std::error::Error;
use std::net::SocketAddr;

use common::authority::Authority;
use common::teller::{Teller, Told};
use crossbeam_channel::Receiver;
use socketserver::{Concurrency, Running, Server, Tcp, Tls, TlsConfig};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const NAME: &str = "server.example";

struct Served<C: Concurrency<Tls<Tcp>, Teller>> {
    authority: Authority,
    running: Running<Tls<Tcp>, C, Teller>,
    address: SocketAddr,
    failures: Receiver<Told>,
}

/// A server on TCP, with TLS as `with` makes it.
fn serve_with<C>(with: impl FnOnce(Tcp, &Authority) -> Result<Tls<Tcp>>) -> Result<Served<C>>
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let authority = Authority::new("an authority")?;
    let tls = with(Tcp::options().bind("127.0.0.1:0")?, &authority)?;
    let (teller, failures) = Teller::new();
    let running = Server::new(tls, C::default(), teller)?.spawn()?;
    let address = running.local_addr()?;
    Ok(Served { authority, running, address, failures })
}

fn serve<C>() -> Result<Served<C>>
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    serve_with(|tcp, authority| Ok(Tls::new(tcp, TlsConfig::from(authority.server(NAME)?))))
}

impl<C: Concurrency<Tls<Tcp>, Teller>> Served<C> {
    fn end(self) -> Result<Vec<Told>> {
        self.running.close()?;
        Ok(self.failures.try_iter().collect())
    }
}
