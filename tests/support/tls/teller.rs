//! A handler of lines that tells what became of its requests.

use std::io::{self, Read, Write};

use crossbeam_channel::{Receiver, Sender, unbounded};
use socketserver::{
    Failure, FailureKind, Handler, HandshakeFailed, HandshakeReason, Next, ReadLine, Stage,
    TlsRequest, TlsStream, line_missing,
};

use crate::support::net::PATIENCE;

/// How a request failed; of a handshake, why.
pub type Told = (Stage, FailureKind, Option<HandshakeReason>, String);

/// Answers each line: the same, or what the words in it ask for.
pub struct Teller(Sender<Told>);

impl Teller {
    pub fn new() -> (Self, Receiver<Told>) {
        let (tell, told) = unbounded();
        (Self(tell), told)
    }
}

/// The next failure.
pub fn told(from: &Receiver<Told>) -> io::Result<Told> {
    from.recv_timeout(PATIENCE).map_err(io::Error::other)
}

impl<R: TlsStream> Handler<TlsRequest<R>> for Teller {
    fn handle(&self, request: &mut TlsRequest<R>) -> io::Result<Next> {
        let mut line = String::new();
        if request.read_line_bounded(&mut line, 100_000)? == 0 {
            return Ok(Next::Done);
        }
        match line.trim_end() {
            "who" => {
                let certificates = request.peer_certificates().count();
                let alpn = request.alpn_protocol().map(<[u8]>::escape_ascii);
                let alpn = alpn.map(|alpn| alpn.to_string()).unwrap_or_default();
                let (name, version) = (request.server_name(), request.tls_version());
                let (name, version) = (name.unwrap_or("-"), version.unwrap_or("-"));
                let said = format!("{certificates} {alpn} {name} {version}\n");
                request.write_all(said.as_bytes())?;
            }
            "fail" => {
                request.write_all(b"half of\n")?;
                return Err(io::Error::other("as asked for"));
            }
            "start" => {
                request.write_all(b"go ahead\n")?;
                request.start_tls()?;
            }
            "last" => {
                request.send_from(io::repeat(b'z').take(20_000_000))?;
                return Ok(Next::Done);
            }
            "long" => request.write_all(&[b'x'; 300_000])?,
            "bye" => {
                request.write_all(b"goodbye\n")?;
                return Ok(Next::Done);
            }
            _ => request.write_all(line.as_bytes())?,
        }
        Ok(Next::Again)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 100_000)
    }

    fn handle_error(&self, request: &mut TlsRequest<R>, failure: &Failure) {
        // A last word, which no client may hear in the clear.
        let _ = request.write_all(b"sorry\n");
        let inner = failure.as_error().and_then(io::Error::get_ref);
        let failed = inner.and_then(|inner| inner.downcast_ref::<HandshakeFailed>());
        let reason = failed.map(HandshakeFailed::reason);
        let _ = self.0.send((failure.stage(), failure.kind(), reason, failure.to_string()));
    }
}
