//! The files of a directory over HTTP: what `python -m http.server` does, one exchange to a call,
//! and as many to a connection as its peer likes.

mod about;
mod body;
mod head;
mod listing;
mod range;
mod reply;
mod status;
mod target;
mod tree;

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::{fmt_http_date, parse_http_date};
use socketserver::{Deadlines, Handler, Hangup, Next};

pub(crate) use about::About;
use head::{Head, Headless};
use range::Wanted;
use reply::Reply;
use status::Status;
use target::Target;
use tree::{Found, Served, Tree};

use crate::peer::{self, Client, Heard};
use crate::signals::Stopping;

/// How long a connection may be open before its request begins to come: the first, as browsers open
/// some that they may need later, and each that follows. It is Apache's `KeepAliveTimeout`.
const PATIENCE: Duration = Duration::from_secs(5);

/// Handles connections of all kinds.
pub(crate) struct Files {
    tree: Tree,
    about: About,
    stopping: Stopping,
    logs: bool,
}

impl Files {
    /// The files under `folder`, with a line on stderr for each exchange if it `logs`.
    pub(crate) fn new(
        folder: &Path,
        about: About,
        stopping: Stopping,
        logs: bool,
    ) -> io::Result<Self> {
        Ok(Self { tree: Tree::new(folder)?, about, stopping, logs })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.tree.root()
    }

    fn respond(&self, head: &Head, client: &impl Client, stops: bool) -> Result<Reply, Status> {
        match head.method.as_str() {
            "GET" | "HEAD" => {}
            "CONNECT" | "DELETE" | "OPTIONS" | "PATCH" | "POST" | "PUT" | "TRACE" => {
                return Ok(Reply::error(Status::METHOD_NOT_ALLOWED).with("Allow", "GET, HEAD"));
            }
            _ => return Err(Status::NOT_IMPLEMENTED),
        }
        if let Some(reply) = self.about.reply(&head.target, client, stops) {
            return Ok(reply);
        }
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
    Deadlines::new().first_byte(PATIENCE).idle(patience).min_rate(1024, patience).write(patience)
}

impl<R: Client> Handler<R> for Files {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let heard = peer::hear(request, &self.stopping, PATIENCE)?;
        if heard == Heard::Nothing {
            return Ok(Next::Done);
        }
        let stops = heard == Heard::LastWord;
        let (head, reply) = match Head::read(request) {
            Ok(head) => {
                let reply = self.respond(&head, request, stops).unwrap_or_else(Reply::error);
                (Some(head), reply)
            }
            Err(Headless::Refused(status)) => (None, Reply::error(status)),
            Err(Headless::Silent) => return Ok(Next::Done),
            Err(Headless::Broken(error)) => return Err(error),
        };
        if self.logs {
            log(request, head.as_ref(), &reply);
        }
        answer(request, head.as_ref(), reply, stops)
    }

    fn missing(&self, input: &[u8]) -> usize {
        head::missing(input)
    }
}

/// Sends the reply, and says whether the connection may have another exchange.
fn answer(
    request: &mut impl Client,
    head: Option<&Head>,
    reply: Reply,
    stops: bool,
) -> io::Result<Next> {
    // Where a request was refused, or its body was left, the next one begins nobody knows where.
    let unread = head.is_none_or(|head| head.leaves_body);
    let again = head.filter(|head| head.persists() && !unread && !stops);
    let connection = match again {
        None => Some("close"),
        // It is what HTTP/1.1 does without a word.
        Some(head) => Some("keep-alive").filter(|_| head.minor_version == 0),
    };
    reply.send(request, head.is_none_or(|head| head.method != "HEAD"), connection)?;
    if unread {
        request.set_hangup(Hangup::default())?;
    }
    Ok(if again.is_some() { Next::Again } else { Next::Done })
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
fn log(request: &impl Client, head: Option<&Head>, reply: &Reply) {
    let who = request.name();
    let when = fmt_http_date(SystemTime::now());
    // Escaped, as it is the peer's text and goes to a terminal.
    let what = head.map_or_else(|| "-".into(), |head| head.line().escape_debug().to_string());
    let (code, length) = (reply.status().code, reply.length());
    let line = format!("{who} - - [{when}] \"{what}\" {code} {length}\n");
    // A server whose stderr is gone serves on.
    let _ = io::stderr().write_all(line.as_bytes());
}
