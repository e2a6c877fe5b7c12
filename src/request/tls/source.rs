//! Content that is sent as the peer takes it.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Mutex, PoisonError};

use super::{TlsRequest, TlsStream};
use crate::request::held::PIECE;

/// What is sent when all before it has left. Nobody locks it: requests are `Sync`, and it need not
/// be.
pub(super) type Source = Mutex<Box<dyn Read + Send>>;

impl<R: TlsStream> TlsRequest<R> {
    /// Sends what `source` gives, to its end, as
    /// [`StreamRequest::send_from`](crate::StreamRequest::send_from): elsewhere at once, and under
    /// [`Selecting`](crate::Selecting) as the peer takes it. What is written there before the source
    /// has been read to its end reads the rest of it first.
    ///
    /// # Errors
    ///
    /// What writing says, and what the source says when it is read.
    pub fn send_from(&mut self, source: impl Read + Send + 'static) -> io::Result<()> {
        let before = self.send_rest();
        self.source = Some(Mutex::new(Box::new(source)));
        before.and_then(|()| if self.input.is_some() { Ok(()) } else { self.send_rest() })
    }

    /// Sends all that is left of the source.
    pub(super) fn send_rest(&mut self) -> io::Result<()> {
        while self.send_piece()? {}
        Ok(())
    }

    /// Sends a piece of the source; whether there was one.
    pub(super) fn send_piece(&mut self) -> io::Result<bool> {
        // Taken out, or the write would read it to its end.
        let Some(mut source) = self.source.take() else { return Ok(false) };
        let mut piece = vec![0; PIECE];
        let read = source.get_mut().unwrap_or_else(PoisonError::into_inner).read(&mut piece);
        match read {
            Ok(0) => return Ok(false),
            Ok(count) => self.write_all(&piece[..count])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.source = Some(source);
        Ok(true)
    }
}
