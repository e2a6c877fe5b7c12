//! A request: bounded, its head parsed by `httparse`, its body measured and passed over, as no
//! method here has a use for one.

use std::io::{self, BufRead};

use httparse::{EMPTY_HEADER, Header, Request};

use super::body::Framing;
use super::status::Status;
use crate::whole::{self, Seen, Trouble};

/// How many bytes a head may have, how many of them its first line, and how many fields.
const LONGEST: usize = 16 * 1024;
const LONGEST_LINE: usize = 8 * 1024;
const MOST_FIELDS: usize = 100;

/// What stands before the body.
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) minor_version: u8,
    /// Whether a body comes that nobody here reads.
    pub(crate) leaves_body: bool,
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

/// How many bytes at least are missing from a whole request, its body included; 0 where it is
/// whole, or is known to be refused.
pub(crate) fn missing(input: &[u8]) -> usize {
    whole::missing(&examine(input, |_, _| ()))
}

/// Measures a request, and makes something of its head, and of whether its body is left unread.
fn examine<V>(
    bytes: &[u8],
    make: impl FnOnce(&Request<'_, '_>, bool) -> V,
) -> Result<Seen<V>, Status> {
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut request = Request::new(&mut fields);
    // Never more than is allowed: the verdict is then the same, whatever comes at once.
    let (limit, too_long) = limit(bytes);
    let length = match request.parse(&bytes[..bytes.len().min(limit)]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < limit => return Ok(Seen::Missing(1)),
        Ok(httparse::Status::Partial) => return Err(too_long),
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HEADERS_TOO_LARGE),
        Err(httparse::Error::Version) => return Err(Status::VERSION_NOT_SUPPORTED),
        Err(_) => return Err(Status::BAD_REQUEST),
    };
    let minor_version = request.version.unwrap_or_default();
    check_host(request.headers, minor_version)?;
    let framing = Framing::of(request.headers, minor_version)?;
    // RFC 9110, 10.1.1: an answer that does not depend on the body need not wait for it, nor ask
    // for it; the connection then ends.
    if framing != Framing::None && expects_continue(request.headers) {
        return Ok(Seen::Whole(make(&request, true), length));
    }
    Ok(match framing.measure(&bytes[length..])? {
        Seen::Whole((), body) => Seen::Whole(make(&request, false), length + body),
        Seen::Missing(count) => Seen::Missing(count),
    })
}

/// How much is parsed of a head, and what is wrong with a longer one.
fn limit(bytes: &[u8]) -> (usize, Status) {
    match bytes.get(..LONGEST_LINE) {
        Some(line) if !line.contains(&b'\n') => (LONGEST_LINE, Status::URI_TOO_LONG),
        _ => (LONGEST, Status::HEADERS_TOO_LARGE),
    }
}

/// RFC 9112, 3.2: a request of HTTP/1.1 has one `Host`, and no request has two.
fn check_host(fields: &[Header<'_>], minor_version: u8) -> Result<(), Status> {
    match named(fields, "host").count() {
        1 => Ok(()),
        0 if minor_version == 0 => Ok(()),
        _ => Err(Status::BAD_REQUEST),
    }
}

fn expects_continue(fields: &[Header<'_>]) -> bool {
    named(fields, "expect").any(|value| value.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}

/// The values of the fields of one name.
pub(super) fn named<'a>(
    fields: &'a [Header<'_>],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> + 'a {
    fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

impl Head {
    /// Reads a request, and takes no byte behind it.
    pub(crate) fn read(input: &mut impl BufRead) -> Result<Self, Headless> {
        whole::read(input, |bytes| examine(bytes, Self::new)).map_err(|trouble| match trouble {
            Trouble::Silent => Headless::Silent,
            Trouble::Cut => Headless::Refused(Status::BAD_REQUEST),
            Trouble::Late => Headless::Refused(Status::REQUEST_TIMEOUT),
            Trouble::Wrong(status) => Headless::Refused(status),
            Trouble::Broken(error) => Headless::Broken(error),
        })
    }

    fn new(request: &Request<'_, '_>, leaves_body: bool) -> Self {
        Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            minor_version: request.version.unwrap_or_default(),
            leaves_body,
            fields: request.headers.iter().map(|f| (f.name.to_owned(), f.value.to_vec())).collect(),
        }
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

    /// RFC 9112, 9.3: whether the connection may have another exchange, for all that the peer says.
    pub(crate) fn persists(&self) -> bool {
        let says = |option: &str| {
            let mut options =
                self.fields("connection").flat_map(|value| value.split(|b| *b == b','));
            options.any(|other| other.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
        };
        !says("close") && (self.minor_version > 0 || says("keep-alive"))
    }

    /// The request line.
    pub(crate) fn line(&self) -> String {
        format!("{} {} HTTP/1.{}", self.method, self.target, self.minor_version)
    }
}
