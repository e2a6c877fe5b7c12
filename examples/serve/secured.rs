//! Connections through TLS: `--tls` and `--client-ca`.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use socketserver::rustls::crypto::ring;
use socketserver::rustls::pki_types::pem::PemObject;
use socketserver::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socketserver::rustls::server::WebPkiClientVerifier;
use socketserver::rustls::{RootCertStore, ServerConfig};
use socketserver::{
    Connection, ForkServer, Forking, LocalAddr, Portable, Sync, Threading, Tls, TlsRequest,
    TlsStream,
};

use crate::cli::{Certified, Cli, Endpoint, Strategy};
use crate::files::Ahead;
use crate::{Shown, connections, tcp, unix};

/// The part of the lattice that has connections, through TLS.
pub(crate) fn serve(cli: &Cli, certified: &Certified) -> io::Result<()> {
    let config = config(certified)?;
    match &cli.endpoint {
        Endpoint::Tcp(at) => over(Tls::new(tcp(cli, *at)?, config), cli),
        Endpoint::Unix(at) => over(Tls::new(unix(cli, at)?, config), cli),
        Endpoint::Udp(_) | Endpoint::Unixgram(_) => {
            Err(io::Error::new(ErrorKind::InvalidInput, crate::cli::NOT_FOR_PACKETS))
        }
    }
}

fn over<T, R>(transport: T, cli: &Cli) -> io::Result<()>
where
    T: Portable<Request = R> + LocalAddr<Addr: Shown> + Send + std::marker::Sync + 'static,
    R: TlsStream + AsFd + Connection + Ahead + Send + 'static,
{
    match cli.strategy {
        Strategy::Sync => connections(transport, Sync, cli),
        Strategy::Threading => connections(transport, Threading::new(), cli),
        Strategy::Forking => connections(transport, Forking::new(), cli),
        Strategy::ForkServer => connections(transport, ForkServer::new(), cli),
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

impl<R: TlsStream> Ahead for TlsRequest<R> {
    fn is_ahead(&mut self) -> bool {
        self.has_unread()
    }
}
