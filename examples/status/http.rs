//! As much of HTTP as the page needs, and who may ask.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use socketserver::{Options, Tcp};

/// How many bytes the head of a request may have, and its body.
const LONGEST_HEAD: usize = 16 * 1024;
const LONGEST_BODY: u64 = 1024;

/// Those of the page's listener: a browser keeps its connections, and may forget them.
pub(crate) fn options() -> Options<Tcp> {
    Tcp::options().timeout(Duration::from_secs(60)).wbufsize(64 * 1024)
}

/// A request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) is_post: bool,
    pub(crate) path: String,
    /// `name=value` pairs, joined by `&`.
    pub(crate) body: String,
    host: String,
    origin: Option<String>,
}

impl Asked {
    /// The next one; none where the peer has gone.
    pub(crate) fn read(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let room = (LONGEST_HEAD - head.len()) as u64;
            if input.take(room).read_until(b'\n', &mut head)? == 0 {
                return if head.is_empty() { Ok(None) } else { Err(ErrorKind::InvalidData.into()) };
            }
        }
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        request.parse(&head).map_err(io::Error::other)?;
        let field = |name: &str| {
            let field = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.map(|field| String::from_utf8_lossy(field.value).into_owned())
        };
        let length = field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if length > LONGEST_BODY || field("transfer-encoding").is_some() {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut body = String::new();
        input.take(length).read_to_string(&mut body)?;
        Ok(Some(Self {
            is_post: request.method == Some("POST"),
            path: request.path.unwrap_or_default().to_owned(),
            body,
            host: field("host").unwrap_or_default(),
            origin: field("origin"),
        }))
    }

    /// The value of this name in the body.
    pub(crate) fn value(&self, name: &str) -> Option<usize> {
        let mut pairs = self.body.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(other, _)| *other == name)?.1.parse().ok()
    }

    /// Whether it comes from a page of this server at `address`. A page of somebody else's may have
    /// the browser send a request here: what it can't do is leave out the `Origin` of a POST (the
    /// Fetch standard, "append a request `Origin` header"), or have a name that it has pointed to
    /// this address (DNS rebinding) be this address in `Host`.
    pub(crate) fn is_ours(&self, address: SocketAddr) -> bool {
        let local = address.ip().is_loopback().then(|| format!("localhost:{}", address.port()));
        let known = self.host == address.to_string() || Some(&self.host) == local.as_ref();
        let own = self.origin.as_deref().and_then(|origin| origin.strip_prefix("http://"));
        known && (!self.is_post || own == Some(&self.host))
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    pub(crate) fn new(kind: &'static str, body: impl Into<String>) -> Self {
        Self { status: "200 OK", kind, body: body.into() }
    }

    pub(crate) fn wrong(status: &'static str, why: &impl ToString) -> Self {
        Self { status, kind: "text/plain", body: why.to_string() }
    }

    /// With what keeps the browser from running, or being framed by, what is somebody else's.
    pub(crate) fn send(&self, output: &mut impl Write) -> io::Result<()> {
        let Self { status, kind, body } = self;
        write!(
            output,
            "HTTP/1.1 {status}\r\n\
             Content-Type: {kind}; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
             connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'\r\n\
             X-Content-Type-Options: nosniff\r\n\
             \r\n\
             {body}",
            body.len(),
        )
    }
}
