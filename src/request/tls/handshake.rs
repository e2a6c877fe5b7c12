//! The handshake: as far as it goes without waiting, or to its end.

use std::io::{self, ErrorKind};
use std::mem;
use std::time::Instant;

use rustls::ProtocolVersion;
use rustls::server::{Accepted, AcceptedAlert};

use super::{HandshakeFailed, HandshakeReason, State, TlsRequest, TlsStream};
use crate::transport::tls::Choice;

/// A fatal alert in the clear, `unrecognized_name`: RFC 8446, 5.1 and 6.2.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

impl<R: TlsStream> TlsRequest<R> {
    /// From now on this connection speaks TLS, of one that
    /// [began in the clear](crate::Tls::starting_clear). What has been written before is sent, and
    /// whatever comes from the peer after this call has to be the handshake, what it has said already
    /// included: a peer that adds to its STARTTLS commands in the clear (RFC 3207, 6) has failed.
    ///
    /// The handshake takes place when the connection is next read or written, and its error is what
    /// that says: answer [`Next::Again`](crate::Next::Again), and the peer is who it is in the next
    /// exchange. It has the time that [`Tls::handshake`](crate::Tls::handshake) allows, from now on,
    /// and [`Selecting`](crate::Selecting) waits for it in the table.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it speaks TLS already; and what sending says.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{self, Write};
    /// use socketserver::{Handler, Next, ReadLine, TcpRequest, TlsRequest};
    ///
    /// struct Mail;
    ///
    /// impl Handler<TlsRequest<TcpRequest>> for Mail {
    ///     fn handle(&self, conn: &mut TlsRequest<TcpRequest>) -> io::Result<Next> {
    ///         let mut line = String::new();
    ///         conn.read_line_bounded(&mut line, 512)?;
    ///         match line.trim_end() {
    ///             "STARTTLS" if !conn.is_encrypted() => {
    ///                 conn.write_all(b"220 go ahead\r\n")?;
    ///                 conn.start_tls()?;
    ///             }
    ///             "QUIT" | "" => return Ok(Next::Done),
    ///             _ => conn.write_all(b"500 what?\r\n")?,
    ///         }
    ///         Ok(Next::Again)
    ///     }
    /// }
    /// ```
    pub fn start_tls(&mut self) -> io::Result<()> {
        if !self.is_clear() {
            let what = "this connection speaks TLS already; start_tls is for one that began in the \
                        clear, once";
            return Err(io::Error::new(ErrorKind::InvalidInput, what));
        }
        io::Write::flush(&mut self.inner)?;
        self.begin()
    }

    /// Goes through the handshake; in a table, where the peer is not to be waited for, as far as what
    /// has come allows.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the peer has to say more, and is not waited for.
    pub(super) fn secure(&mut self, wait: bool) -> io::Result<()> {
        match &self.state {
            State::Clear => return Ok(()),
            State::Open(conn) if self.under_way.is_none() && !conn.is_handshaking() => {
                return Ok(());
            }
            State::Early => self.begin()?,
            State::Hello(_) | State::Open(_) | State::Failed(_) => {}
        }
        let done = self.shake(wait);
        match done {
            Err(error) if !wait && error.kind() == ErrorKind::WouldBlock => return Err(error),
            Ok(()) => self.inner.set_stage_end(None),
            Err(_) => {}
        }
        self.under_way = None;
        done
    }

    fn begin(&mut self) -> io::Result<()> {
        self.under_way = self.terms.enter();
        if self.under_way.is_none() {
            let what = format!("{} others are under way already", self.terms.most);
            return Err(self.fail(HandshakeFailed::new(HandshakeReason::Crowded, what)));
        }
        self.inner.set_stage_end(Instant::now().checked_add(self.terms.time));
        self.state = State::Hello(Box::default());
        Ok(())
    }

    fn shake(&mut self, wait: bool) -> io::Result<()> {
        loop {
            match &mut self.state {
                State::Clear | State::Early => return Ok(()),
                State::Failed(why) => return Err(why.clone().into()),
                State::Hello(acceptor) => match acceptor.accept() {
                    Ok(Some(accepted)) => self.choose(accepted)?,
                    Ok(None) => self.receive_handshake(wait)?,
                    Err(refused) => return Err(self.refuse(refused)),
                },
                State::Open(conn) => {
                    let processed = conn.process_new_packets();
                    let over = !conn.is_handshaking();
                    // What is left of TLS 1.3 is tickets, which go with the answer to what has come
                    // already. To a peer that has not asked yet they are sent: it may have to hear
                    // something before it may (RFC 1122, 4.2.3.4).
                    let asked =
                        matches!(&processed, Ok(state) if state.plaintext_bytes_to_read() > 0);
                    let modern = conn.protocol_version() == Some(ProtocolVersion::TLSv1_3);
                    let wait_for_answer = over && asked && modern && self.input.is_none();
                    let sent = if wait_for_answer { Ok(()) } else { self.send() };
                    if let Err(error) = processed {
                        let _ = self.inner.flush();
                        return Err(self.fail(error.into()));
                    }
                    sent?;
                    if over {
                        return self.inner.flush();
                    }
                    self.receive_handshake(wait)?;
                }
            }
        }
    }

    /// Goes on with the configuration that is this client's.
    fn choose(&mut self, accepted: Accepted) -> io::Result<()> {
        let chosen = match (&self.config, &self.terms.choice) {
            (Some(config), _) => Ok(config.clone()),
            (None, Choice::One(config)) => Ok(config.get()),
            (None, Choice::ByHello(choose)) => choose(&accepted.client_hello()),
        };
        let config = match chosen {
            Ok(config) => config,
            Err(error) => {
                let _ = self.inner.write_all(&UNRECOGNIZED_NAME);
                let _ = self.inner.flush();
                let why = error.to_string();
                return Err(self.fail(HandshakeFailed::new(HandshakeReason::Refused, why)));
            }
        };
        match accepted.into_connection(config) {
            Ok(conn) => {
                self.state = State::Open(Box::new(conn));
                Ok(())
            }
            Err(refused) => Err(self.refuse(refused)),
        }
    }

    /// As [`receive`](Self::receive), where the end is not to be expected.
    fn receive_handshake(&mut self, wait: bool) -> io::Result<()> {
        if wait {
            self.inner.flush()?;
        }
        match self.receive(wait)? {
            0 => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the peer ended the connection before the TLS handshake was over",
            )),
            _ => Ok(()),
        }
    }

    fn refuse(&mut self, (error, mut alert): (rustls::Error, AcceptedAlert)) -> io::Error {
        let _ = alert.write_all(&mut self.inner);
        let _ = self.inner.flush();
        self.fail(error.into())
    }

    fn fail(&mut self, why: HandshakeFailed) -> io::Error {
        // What was there of it is of no use any more.
        drop(mem::replace(&mut self.state, State::Failed(why.clone())));
        why.into()
    }
}
