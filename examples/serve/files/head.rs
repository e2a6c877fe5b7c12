//! The head of a request: read with a bound, parsed by `httparse`.

use std::io::{self, BufRead, ErrorKind};

use httparse::{EMPTY_HEADER, Request};

use super::status::Status;

/// How many bytes a head may have, and how many fields.
const LONGEST: usize = 16 * 1024;
const MOST_FIELDS: usize = 100;

/// What stands before the body.
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Whether more comes that nobody here reads.
    pub(crate) has_body: bool,
    minor_version: u8,
    fields: Vec<(String, Vec<u8>)>,
}

/// Why there is none.
pub(crate) enum Headless {
    /// The peer has said nothing, and goes.
    Silent,
    /// It is wrong, or too long.
    Refused(Status),
    /// The connection is of no use any more.
    Broken(io::Error),
}

impl Head {
    /// Reads up to the empty line, and takes no byte behind it.
    pub(crate) fn read(input: &mut impl BufRead) -> Result<Self, Headless> {
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            let more = match input.fill_buf() {
                Ok([]) if before == 0 => return Err(Headless::Silent),
                Ok([]) => return Err(Headless::Refused(Status::BAD_REQUEST)),
                Ok(more) => &more[..more.len().min(LONGEST - before)],
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if before == 0 => {
                        return Err(Headless::Silent);
                    }
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        return Err(Headless::Refused(Status::REQUEST_TIMEOUT));
                    }
                    _ => return Err(Headless::Broken(error)),
                },
            };
            bytes.extend_from_slice(more);
            let parsed = Self::parse(&bytes).map_err(Headless::Refused)?;
            let taken = parsed.as_ref().map_or(bytes.len(), |(_, length)| *length) - before;
            input.consume(taken);
            match parsed {
                Some((head, _)) => return Ok(head),
                None if bytes.len() == LONGEST => {
                    return Err(Headless::Refused(Status::HEADERS_TOO_LARGE));
                }
                None => {}
            }
        }
    }

    /// The head and its length, or `None` where its end is not there yet.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Status> {
        let mut fields = [EMPTY_HEADER; MOST_FIELDS];
        let mut request = Request::new(&mut fields);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(Status::HEADERS_TOO_LARGE),
            Err(httparse::Error::Version) => return Err(Status::VERSION_NOT_SUPPORTED),
            Err(_) => return Err(Status::BAD_REQUEST),
        };
        let mut head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            has_body: false,
            minor_version: request.version.unwrap_or_default(),
            fields: request.headers.iter().map(|f| (f.name.to_owned(), f.value.to_vec())).collect(),
        };
        head.has_body = head.fields("transfer-encoding").next().is_some()
            || head.fields("content-length").any(|length| length != b"0");
        Ok(Some((head, length)))
    }

    /// The value of a field that is there once, if it is text.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields(name);
        let value = values.next().filter(|_| values.next().is_none())?;
        std::str::from_utf8(value).ok().map(str::trim)
    }

    fn fields(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = move |(other, _): &&(String, Vec<u8>)| other.eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|(_, value)| value.as_slice())
    }

    /// RFC 9112, 3.2: a request of HTTP/1.1 has one `Host`, and no request has two.
    pub(crate) fn check_host(&self) -> Result<(), Status> {
        match self.fields("host").count() {
            1 => Ok(()),
            0 if self.minor_version == 0 => Ok(()),
            _ => Err(Status::BAD_REQUEST),
        }
    }

    /// The request line.
    pub(crate) fn line(&self) -> String {
        format!("{} {} HTTP/1.{}", self.method, self.target, self.minor_version)
    }
}
