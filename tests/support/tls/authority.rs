//! Certificates, made on the spot.

use std::error::Error;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate with its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Whoever signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// The certificate, as files have it.
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let made = params.self_signed(&key)?;
        let (certificate, pem) = (made.der().clone(), made.pem());
        Ok(Self { issuer: Issuer::new(params, key), certificate, pem })
    }

    /// A certificate with its key, as files have them.
    pub fn files(&self, name: &str) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![name.to_owned()])?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    pub fn identity(&self, name: &str) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![name.to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        Ok((vec![certificate], key.serialize_der().try_into()?))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        Ok(roots)
    }

    /// A server of that name.
    pub fn server(&self, name: &str) -> Result<ServerConfig> {
        let (chain, key) = self.identity(name)?;
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        Ok(builder.with_single_cert(chain, key)?)
    }

    /// The same, whose clients need a certificate of `clients`.
    pub fn server_for(&self, name: &str, clients: &Self) -> Result<ServerConfig> {
        let (chain, key) = self.identity(name)?;
        let roots = Arc::new(clients.roots()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions()?;
        Ok(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)?)
    }

    /// A client that believes this authority alone.
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<Identity>,
    ) -> Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder =
            builder.with_protocol_versions(versions)?.with_root_certificates(self.roots()?);
        Ok(match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        })
    }
}
