//! Connections through TLS: `--tls` and `--client-ca`.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use socketserver::rustls::crypto::ring;
use socketserver::rustls::pki_types::pem::PemObject;
use socketserver::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socketserver::rustls::server::WebPkiClientVerifier;
use socketserver::rustls::{RootCertStore, ServerConfig};
use socketserver::{Tls, TlsRequest, TlsStream};

use crate::cli::{Certified, Cli, Endpoint, NOT_FOR_PACKETS};
use crate::listeners::many;
use crate::peer::Client;
use crate::{streams, tcp, unix};

/// Connections of the command line, through TLS.
pub(crate) fn serve(cli: &Cli, certified: &Certified) -> io::Result<()> {
    let config = config(certified)?;
    match &cli.endpoint {
        #[cfg(feature = "proxy")]
        Endpoint::Tcp(at) if !cli.proxies.is_empty() => {
            let proxied = crate::proxied::behind(many(tcp(cli, at)?)?, &cli.proxies)?;
            streams(Tls::new(proxied, config), cli)
        }
        Endpoint::Tcp(at) => streams(Tls::new(many(tcp(cli, at)?)?, config), cli),
        Endpoint::Unix(at) => streams(Tls::new(many(unix(cli, at)?)?, config), cli),
        Endpoint::Udp(_) | Endpoint::Unixgram(_) => {
            Err(io::Error::new(ErrorKind::InvalidInput, NOT_FOR_PACKETS))
        }
    }
}

/// What the files of the command line say.
fn config(certified: &Certified) -> io::Result<ServerConfig> {
    let Certified { certificate, key, clients } = certified;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates("--client-ca", path)? {
                roots.add(root).map_err(|error| wrong("--client-ca", path, &error))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| wrong("--client-ca", path, &error))?,
            )
        }
    };
    let chain = certificates("--tls", certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("--tls", key, &error))?;
    builder.with_single_cert(chain, private).map_err(|error| wrong("--tls", certificate, &error))
}

fn certificates(option: &str, path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(wrong(option, path, &"no certificate in PEM is in it")),
        Err(error) => Err(wrong(option, path, &error)),
    }
}

fn wrong(option: &str, path: &Path, what: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("{option} {path:?}: {what}"))
}

impl<R: TlsStream + Client> Client for TlsRequest<R> {
    fn is_ahead(&mut self) -> bool {
        self.has_unread()
    }

    fn send_from(&mut self, source: impl Read + Send + 'static) -> io::Result<()> {
        self.send_from(source)
    }

    fn address(&self) -> Option<SocketAddr> {
        self.get_ref().address()
    }
}
