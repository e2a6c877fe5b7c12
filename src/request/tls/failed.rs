//! What can go wrong with TLS, in words.

use std::io::{self, ErrorKind};
use std::{error, fmt};

use rustls::Error;

/// Why a handshake failed, in classes: [`HandshakeFailed::reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeReason {
    /// What came is not TLS: HTTP in the clear, another protocol, noise.
    NotTls,
    /// The two have nothing in common: no version, no cipher suite, no application protocol.
    Incompatible,
    /// The client has to have a certificate, and sent none.
    NoCertificate,
    /// The client's certificate is not accepted.
    BadCertificate,
    /// The client broke off, with this alert (RFC 8446, 6.2): 48 is an unknown authority, 42 a bad
    /// certificate, 112 an unrecognized name.
    Alert(u8),
    /// The server has no configuration for what the client asks for: see
    /// [`Tls::choosing`](crate::Tls::choosing).
    Refused,
    /// As many handshakes are under way as there may be: see
    /// [`Tls::handshakes_at_once`](crate::Tls::handshakes_at_once).
    Crowded,
    /// The client does not keep to the protocol, or the configuration is wrong; the text says how.
    Other,
}

/// A TLS handshake failed: found inside an [`io::Error`], of a request whose failure is of the kind
/// [`Handshake`](crate::FailureKind::Handshake).
///
/// # Examples
///
/// ```
/// use socketserver::{Failure, HandshakeFailed, HandshakeReason};
///
/// fn lacks_a_certificate(failure: &Failure) -> bool {
///     let inner = failure.as_error().and_then(std::io::Error::get_ref);
///     let failed = inner.and_then(|inner| inner.downcast_ref::<HandshakeFailed>());
///     failed.is_some_and(|failed| failed.reason() == HandshakeReason::NoCertificate)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeFailed {
    reason: HandshakeReason,
    text: String,
}

impl HandshakeFailed {
    pub(super) fn new(reason: HandshakeReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }

    /// Why, for whoever decides by it.
    #[must_use]
    pub fn reason(&self) -> HandshakeReason {
        self.reason
    }
}

impl From<Error> for HandshakeFailed {
    fn from(error: Error) -> Self {
        use HandshakeReason as Reason;
        use rustls::InvalidMessage::{InvalidContentType, MessageTooLarge, UnknownProtocolVersion};
        let reason = match &error {
            Error::InvalidMessage(
                InvalidContentType | MessageTooLarge | UnknownProtocolVersion,
            ) => Reason::NotTls,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Reason::Incompatible,
            Error::NoCertificatesPresented => Reason::NoCertificate,
            Error::InvalidCertificate(_) => Reason::BadCertificate,
            Error::AlertReceived(alert) => Reason::Alert((*alert).into()),
            _ => Reason::Other,
        };
        Self::new(reason, error.to_string())
    }
}

impl fmt::Display for HandshakeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the TLS handshake failed: {}", self.text)
    }
}

impl error::Error for HandshakeFailed {}

impl From<HandshakeFailed> for io::Error {
    fn from(failed: HandshakeFailed) -> Self {
        let kind = match failed.reason {
            HandshakeReason::Crowded => ErrorKind::QuotaExceeded,
            _ => ErrorKind::InvalidData,
        };
        Self::new(kind, failed)
    }
}

/// The peer's connection ended without its `close_notify`: what has come may not be all that was sent,
/// and nobody knows who ended it. Found inside an [`io::Error`] of the kind `UnexpectedEof`.
///
/// Protocols that say by themselves where a message ends may take it for a clean end between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsTruncated;

impl fmt::Display for TlsTruncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ended without a close_notify, and may have been cut short")
    }
}

impl error::Error for TlsTruncated {}

impl From<TlsTruncated> for io::Error {
    fn from(truncated: TlsTruncated) -> Self {
        Self::new(ErrorKind::UnexpectedEof, truncated)
    }
}
