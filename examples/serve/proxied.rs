//! Connections through proxies: `--proxy-from`.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;

use socketserver::{Network, Proxied, ProxiedRequest, Tcp, TcpRequest, from_networks};

use crate::listeners::Several;
use crate::peer::Client;

/// A server's end of these proxies.
pub(crate) fn behind(tcp: Several<Tcp>, proxies: &[String]) -> io::Result<Proxied<Several<Tcp>>> {
    let networks: Vec<Network> =
        proxies.iter().map(|text| network(text)).collect::<Result<_, _>>()?;
    Ok(Proxied::new(tcp, from_networks(networks)))
}

fn network(text: &str) -> io::Result<Network> {
    text.parse().map_err(|error| {
        io::Error::new(ErrorKind::InvalidInput, format!("--proxy-from {text:?}: {error}"))
    })
}

impl Client for ProxiedRequest<TcpRequest> {
    fn is_ahead(&mut self) -> bool {
        self.get_mut().is_ahead()
    }

    fn send_from(&mut self, source: impl Read + Send + 'static) -> io::Result<()> {
        self.get_mut().send_from(source)
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(*self.peer())
    }
}
