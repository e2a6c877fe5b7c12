//! A response, and how it is sent.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::SystemTime;

use super::status::Status;
use super::tree::Served;
use crate::peer::Client;

const SERVER: &str = concat!("socketserver/", env!("CARGO_PKG_VERSION"));
/// How much of a file leaves together with its head.
const CHUNK: u64 = 64 * 1024;

/// A response to one request.
pub(crate) struct Reply {
    status: Status,
    fields: Vec<(&'static str, String)>,
    body: Body,
}

enum Body {
    /// None, and no word about its length.
    None,
    Text(String),
    File(File, Range<u64>),
}

impl Reply {
    fn new(status: Status, body: Body) -> Self {
        let reply = Self { status, fields: Vec::new(), body };
        match status {
            Status::NOT_MODIFIED => reply,
            _ => {
                let length = reply.length();
                reply.with("Content-Length", length.to_string())
            }
        }
    }

    /// A response that says everything in its head.
    pub(crate) fn empty(status: Status) -> Self {
        Self::new(status, Body::None)
    }

    pub(crate) fn text(status: Status, content_type: &str, text: String) -> Self {
        Self::new(status, Body::Text(text)).with("Content-Type", content_type)
    }

    /// A page that says what is wrong.
    pub(crate) fn error(status: Status) -> Self {
        let Status { code, reason, says } = status;
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <title>{code} {reason}</title>\n</head>\n<body>\n<h1>{code} {reason}</h1>\n\
             <p>{says}</p>\n</body>\n</html>\n"
        );
        Self::text(status, "text/html; charset=utf-8", page)
    }

    /// The whole file, or a part.
    pub(crate) fn file(status: Status, served: Served, part: Option<Range<u64>>) -> Self {
        let Served { file, length, content_type, .. } = served;
        let content_range =
            part.as_ref().map(|part| format!("bytes {}-{}/{length}", part.start, part.end - 1));
        let mut reply = Self::new(status, Body::File(file, part.unwrap_or(0..length)))
            .with("Content-Type", content_type)
            .with("Accept-Ranges", "bytes");
        reply.fields.extend(content_range.map(|range| ("Content-Range", range)));
        reply
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// How many bytes the body has.
    pub(crate) fn length(&self) -> u64 {
        match &self.body {
            Body::None => 0,
            Body::Text(text) => text.len() as u64,
            Body::File(_, range) => range.end - range.start,
        }
    }

    /// Sends the head, and the body if it is wanted. `connection` is the field that says whether
    /// another exchange may follow, where that has to be said.
    pub(crate) fn send(
        self,
        to: &mut impl Client,
        with_body: bool,
        connection: Option<&'static str>,
    ) -> io::Result<()> {
        let Status { code, reason, .. } = self.status;
        let date = httpdate::fmt_http_date(SystemTime::now());
        let mut head = format!("HTTP/1.1 {code} {reason}\r\nServer: {SERVER}\r\nDate: {date}\r\n");
        let fields = self.fields.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in fields.chain(connection.map(|value| ("Connection", value))) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        let head = head.into_bytes();
        match self.body {
            Body::File(file, range) if with_body => send_part(head, file, range, to),
            Body::Text(text) if with_body => to.write_all(&[head, text.into_bytes()].concat()),
            _ => to.write_all(&head),
        }
    }
}

/// Sends a part of a file behind a head: together with it, if it is small.
fn send_part(
    head: Vec<u8>,
    mut file: File,
    range: Range<u64>,
    to: &mut impl Client,
) -> io::Result<()> {
    if range.start > 0 {
        file.seek(SeekFrom::Start(range.start))?;
    }
    let mut rest = Promised { file, left: range.end - range.start };
    let first = rest.left.min(CHUNK);
    let mut bytes = head;
    let begin = bytes.len();
    bytes.resize(begin + usize::try_from(first).unwrap_or_default(), 0);
    rest.read_exact(&mut bytes[begin..])?;
    to.write_all(&bytes)?;
    if rest.left == 0 { Ok(()) } else { to.send_from(rest) }
}

/// A file of which so much has been promised: the peer learns of a shorter one by the early end.
struct Promised {
    file: File,
    left: u64,
}

impl Read for Promised {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = (&mut self.file).take(self.left).read(bytes)?;
        self.left -= count as u64;
        if count == 0 && self.left > 0 && !bytes.is_empty() {
            return Err(io::Error::other("a file became shorter while it was sent"));
        }
        Ok(count)
    }
}
