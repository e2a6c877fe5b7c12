//! What is known of a connection through TLS.

use rustls::{ProtocolVersion, ServerConnection};

use super::TlsRequest;

/// What the handshake has come to; nothing of it is known before that is over.
impl<R> TlsRequest<R> {
    /// Whether what is read and written is encrypted: always in a handler, unless the connection
    /// [began in the clear](crate::Tls::starting_clear).
    pub fn is_encrypted(&self) -> bool {
        self.agreed().is_some()
    }

    /// The client's certificate and those that it sent to prove it, in DER, its own first; none where
    /// it sent none. Where the configuration verifies clients, it has been verified.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        let sent = self.agreed().and_then(|conn| conn.peer_certificates());
        sent.into_iter().flatten().map(AsRef::as_ref)
    }

    /// The application protocol that was agreed on (ALPN): `b"h2"`.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.agreed()?.alpn_protocol()
    }

    /// The name by which the client called the server (SNI), in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.agreed()?.server_name()
    }

    /// The version of the protocol: "TLSv1.3".
    pub fn tls_version(&self) -> Option<&'static str> {
        match self.agreed()?.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            other => other.as_str(),
        }
    }

    /// The cipher suite, by its name in rustls: `"TLS13_AES_128_GCM_SHA256"`.
    pub fn cipher_suite(&self) -> Option<&'static str> {
        self.agreed()?.negotiated_cipher_suite()?.suite().as_str()
    }

    fn agreed(&self) -> Option<&ServerConnection> {
        self.open().filter(|conn| !conn.is_handshaking())
    }
}
