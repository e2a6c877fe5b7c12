//! The files of a directory over HTTP: what `python -m http.server` does, one response to a
//! connection.

mod head;
mod listing;
mod peer;
mod range;
mod reply;
mod status;
mod target;
mod tree;

use std::io::{self, BufRead, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::{fmt_http_date, parse_http_date};
use socketserver::{Connection, Deadlines, Handler, Hangup, Next};

pub(crate) use peer::Ahead;

use head::{Head, Headless};
use range::Wanted;
use reply::Reply;
use status::Status;
use target::Target;
use tree::{Found, Served, Tree};

/// Handles whatever is a connection: it reads, it writes, and there is a socket underneath.
pub(crate) struct Files {
    tree: Tree,
    stopping: UnixStream,
}

impl Files {
    /// The files under `folder`. `stopping` becomes readable when the server is about to end.
    pub(crate) fn new(folder: &Path, stopping: UnixStream) -> io::Result<Self> {
        Ok(Self { tree: Tree::new(folder)?, stopping })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.tree.root()
    }

    fn respond(&self, head: &Head) -> Result<Reply, Status> {
        match head.method.as_str() {
            "GET" | "HEAD" => {}
            "CONNECT" | "DELETE" | "OPTIONS" | "PATCH" | "POST" | "PUT" | "TRACE" => {
                return Ok(Reply::error(Status::METHOD_NOT_ALLOWED).with("Allow", "GET, HEAD"));
            }
            _ => return Err(Status::NOT_IMPLEMENTED),
        }
        head.check_host()?;
        let target = Target::parse(&head.target)?;
        match self.tree.find(&target)? {
            Found::File(file) => Ok(send_file(file, head)),
            // Links in a listing are relative to it: its name has to end in a slash.
            Found::Folder(_) if !target.is_folder() => {
                let location = target.as_folder();
                Ok(Reply::empty(Status::MOVED_PERMANENTLY).with("Location", location))
            }
            Found::Folder(folder) => {
                let page = listing::page(&self.tree, &folder, &target)?;
                Ok(Reply::text(Status::OK, "text/html; charset=utf-8", page))
            }
        }
    }
}

/// How long a peer may keep the server waiting: for the beginning of its request, for each part of
/// it that long, and until it takes the response.
pub(crate) fn deadlines() -> Deadlines {
    let patience = Duration::from_secs(30);
    Deadlines::new().idle(patience).min_rate(1024, patience).write(patience)
}

impl<R: BufRead + Write + AsFd + Connection + Ahead> Handler<R> for Files {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        if !peer::speaks(request, &self.stopping)? {
            return Ok(Next::Done);
        }
        let head = match Head::read(request) {
            Ok(head) => Ok(head),
            Err(Headless::Silent) => return Ok(Next::Done),
            Err(Headless::Broken(error)) => return Err(error),
            Err(Headless::Refused(status)) => Err(status),
        };
        let reply = head.as_ref().map_err(|status| *status).and_then(|head| self.respond(head));
        let reply = reply.unwrap_or_else(Reply::error);
        log(request, head.as_ref().ok(), &reply);
        let with_body = head.as_ref().map_or(true, |head| head.method != "HEAD");
        reply.send(request, with_body)?;
        // A body that nobody reads may still be on its way.
        if head.map_or(true, |head| head.has_body) {
            request.set_hangup(Hangup::default())?;
        }
        Ok(Next::Done)
    }
}

/// The file, a part of it, or the news that it has not changed.
fn send_file(served: Served, head: &Head) -> Reply {
    let modified = served.modified.and_then(http_time);
    let stamp = |reply: Reply| match modified {
        Some(time) => reply.with("Last-Modified", fmt_http_date(time)),
        None => reply,
    };
    if modified.is_some_and(|time| head.has_seen(time)) {
        return stamp(Reply::empty(Status::NOT_MODIFIED));
    }
    let wanted = match head.field("range") {
        Some(range) if head.method == "GET" && head.may_have_part(modified) => {
            Wanted::parse(range, served.length)
        }
        _ => Wanted::All,
    };
    match wanted {
        Wanted::All => stamp(Reply::file(Status::OK, served, None)),
        Wanted::Part(part) => stamp(Reply::file(Status::PARTIAL_CONTENT, served, Some(part))),
        Wanted::Nothing => Reply::error(Status::RANGE_NOT_SATISFIABLE)
            .with("Content-Range", format!("bytes */{}", served.length)),
    }
}

/// A time as HTTP can say it: in whole seconds, of this epoch, and not in the future.
fn http_time(time: SystemTime) -> Option<SystemTime> {
    let since = time.min(SystemTime::now()).duration_since(UNIX_EPOCH).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}

impl Head {
    /// Whether the peer has the file as it was at `modified`, and nothing newer is there.
    fn has_seen(&self, modified: SystemTime) -> bool {
        // An entity tag would decide alone, and no file here has one.
        let date =
            self.field("if-modified-since").filter(|_| self.field("if-none-match").is_none());
        date.and_then(|date| parse_http_date(date).ok()).is_some_and(|seen| modified <= seen)
    }

    /// Whether the part that the peer asks for belongs to the file that it knows.
    fn may_have_part(&self, modified: Option<SystemTime>) -> bool {
        let Some(condition) = self.field("if-range") else { return true };
        parse_http_date(condition).is_ok_and(|known| modified == Some(known))
    }
}

/// One line, as web servers write it.
fn log(request: &impl AsFd, head: Option<&Head>, reply: &Reply) {
    let who = peer::name(request);
    let when = fmt_http_date(SystemTime::now());
    // Escaped, as it is the peer's text and goes to a terminal.
    let what = head.map_or_else(|| "-".into(), |head| head.line().escape_debug().to_string());
    let (code, length) = (reply.status().code, reply.length());
    let line = format!("{who} - - [{when}] \"{what}\" {code} {length}\n");
    // A server whose stderr is gone serves on.
    let _ = io::stderr().write_all(line.as_bytes());
}
