//! Which configuration a client gets, and what it has to show.

use std::sync::Arc;

use socketserver::rustls::ServerConfig;
use socketserver::rustls::pki_types::CertificateDer;
use socketserver::{
    Concurrency, FailureKind, HandshakeReason, Selecting, Stage, Sync, Tcp, Threading, Tls,
    TlsConfig,
};

use crate::common::authority::{Authority, BOTH};
use crate::common::client::{self, Client};
use crate::common::teller::{Teller, told};
use crate::{NAME, Result, Served, serve, serve_with};

const OTHER: &str = "other.example";

fn certificate(client: &Client) -> Option<CertificateDer<'static>> {
    client.get_ref().conn.peer_certificates()?.first().cloned()
}

fn by_name<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve_with(|tcp, authority| {
        let one = Arc::new(authority.server(NAME)?);
        let mut other = authority.server(OTHER)?;
        other.alpn_protocols = vec![b"second".to_vec()];
        let other = Arc::new(other);
        Ok(Tls::choosing(tcp, move |hello| match hello.server_name() {
            Some(NAME) => Ok(one.clone()),
            Some(OTHER) if hello.alpn().into_iter().flatten().any(|alpn| alpn == b"second") => {
                Ok(other.clone())
            }
            name => Err(std::io::Error::other(format!("nothing for {name:?}"))),
        }))
    })?;
    for version in BOTH {
        // Which certificate it was, the client has verified by the name.
        let config = || served.authority.client(&[version], None);
        let mut client = client::connect(served.address, config()?, NAME)?;
        assert!(client::ask(&mut client, "who\n")?.starts_with(&format!("0  {NAME} TLSv1.")));
        drop(client);

        let mut with_alpn = config()?;
        with_alpn.alpn_protocols = vec![b"first".to_vec(), b"second".to_vec()];
        let mut client = client::connect(served.address, with_alpn, OTHER)?;
        let answer = client::ask(&mut client, "who\n")?;
        assert!(answer.starts_with(&format!("0 second {OTHER} TLSv1.")), "{answer}");
        drop(client);

        for name in [OTHER, "third.example"] {
            let refused = client::connect(served.address, config()?, name).map(drop);
            let refused = refused.expect_err("nobody is called so").to_string();
            assert!(refused.contains("UnrecognisedName"), "{refused}");
            let (.., text) = std::iter::repeat_with(|| told(&served.failures))
                .find(|told| !matches!(told, Ok((Stage::Handle, ..))))
                .expect("it goes on until there is one")?;
            assert!(text.contains(&format!("nothing for Some({name:?})")), "{text}");
        }
    }
    served.running.close()?;
    Ok(())
}

fn no_protocol_in_common<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve_with(|tcp, authority| {
        let mut config = authority.server(NAME)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Tls::new(tcp, config))
    })?;
    for version in BOTH {
        let mut config = served.authority.client(&[version], None)?;
        config.alpn_protocols = vec![b"gopher".to_vec()];
        let refused = client::connect(served.address, config, NAME).map(drop);
        assert!(refused.expect_err("no protocol").to_string().contains("NoApplicationProtocol"));
        let (stage, kind, why, _) = told(&served.failures)?;
        assert_eq!((stage, kind), (Stage::Establish, FailureKind::Handshake));
        assert_eq!(why, Some(HandshakeReason::Incompatible));
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

fn a_client_that_does_not_know_the_authority<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let stranger = Authority::new("another")?;
    for version in BOTH {
        let refused =
            client::connect(served.address, stranger.client(&[version], None)?, NAME).map(drop);
        assert!(refused.is_err());
        let (stage, kind, why, text) = told(&served.failures)?;
        assert_eq!((stage, kind), (Stage::Establish, FailureKind::Handshake), "{text}");
        assert_eq!(why, Some(HandshakeReason::Alert(48)), "{text}");
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

fn clients_with_certificates<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let (clients, strangers) = (Authority::new("clients")?, Authority::new("strangers")?);
    let served: Served<C> =
        serve_with(|tcp, authority| Ok(Tls::new(tcp, authority.server_for(NAME, &clients)?)))?;
    for version in BOTH {
        let config = |identity| served.authority.client(&[version], identity);
        let own = clients.identity("client.example")?;
        let mut client = client::connect(served.address, config(Some(own))?, NAME)?;
        assert!(client::ask(&mut client, "who\n")?.starts_with("1 "));
        client::farewell(&mut client)?;
        assert_eq!(client::rest(&mut client)?, "");

        let foreign = strangers.identity("client.example")?;
        for (identity, reason) in [
            (None, HandshakeReason::NoCertificate),
            (Some(foreign), HandshakeReason::BadCertificate),
        ] {
            // In TLS 1.3 the client is through before the server has looked.
            let refused = client::connect(served.address, config(identity)?, NAME)
                .and_then(|mut client| Ok(client::ask(&mut client, "who\n")?));
            assert!(refused.is_err(), "{refused:?}");
            let (stage, kind, why, text) = told(&served.failures)?;
            assert_eq!((stage, kind), (Stage::Establish, FailureKind::Handshake), "{text}");
            assert_eq!(why, Some(reason), "{text}");
        }
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

fn a_certificate_that_is_replaced<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let mut handle = None;
    let served: Served<C> = serve_with(|tcp, authority| {
        let config = TlsConfig::from(authority.server(NAME)?);
        handle = Some(config.clone());
        Ok(Tls::new(tcp, config))
    })?;
    let handle = handle.expect("it has been made");
    let config = || served.authority.client(&BOTH, None);
    let mut before = client::connect(served.address, config()?, NAME)?;
    let first: Arc<ServerConfig> = handle.get();
    let replaced = handle.replace(served.authority.server(NAME)?);
    assert!(Arc::ptr_eq(&first, &replaced));
    let mut after = client::connect(served.address, config()?, NAME)?;
    assert_ne!(certificate(&before), certificate(&after));
    for client in [&mut before, &mut after] {
        assert_eq!(client::ask(client, "hello\n")?, "hello\n");
        client::farewell(client)?;
        assert_eq!(client::rest(client)?, "");
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

crate::under! {
    Threading, Selecting<Sync>, Selecting<Threading>:
    by_name
    no_protocol_in_common
    a_client_that_does_not_know_the_authority
    clients_with_certificates
    a_certificate_that_is_replaced
}
