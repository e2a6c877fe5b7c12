//! All that the page shows, as JSON.

use std::fmt::Write;

use socketserver::{FailureKind, Refusal, Served};

use crate::Watched;

/// So many connections are told at most, the oldest first: beyond that nobody reads the list.
const MOST_ROWS: usize = 5000;

impl Watched {
    /// The state of the server at this moment.
    pub(crate) fn state(&self) -> String {
        let Self { live, counters, pool } = self;
        let all = live.list();
        let mut text = format!(
            "{{\"suspended\":{},\"accepted\":{},\"finished\":{},\"failed\":{},\"refused\":{},\
             \"active\":{},\"min\":{},\"max\":{},\"total\":{}",
            live.is_suspended(),
            counters.accepted(),
            counters.finished(),
            counters.failed(),
            counters.refused(),
            counters.active(),
            pool.min(),
            pool.max(),
            all.len(),
        );
        let failed =
            FailureKind::ALL.iter().map(|kind| (kind.to_string(), counters.failed_by(*kind)));
        let refused = Refusal::ALL.iter().map(|why| (why.to_string(), counters.refused_for(*why)));
        text.push_str(",\"reasons\":");
        list(&mut text, failed.chain(refused).filter(|(_, count)| *count > 0), |text, reason| {
            write(text, format_args!("[{},{}]", quoted(&reason.0), reason.1));
        });
        text.push_str(",\"rows\":");
        list(&mut text, all.iter().take(MOST_ROWS), row);
        text.push('}');
        text
    }
}

/// A connection: its number, peer, age in milliseconds, bytes received and sent, whether it is idle.
fn row(text: &mut String, served: &Served) {
    let peer = served.peer.as_deref().unwrap_or("unknown");
    write(
        text,
        format_args!(
            "[{},{},{},{},{},{}]",
            served.id,
            quoted(peer),
            served.since.elapsed().as_millis(),
            served.received.unwrap_or(0),
            served.sent.unwrap_or(0),
            u8::from(served.idle),
        ),
    );
}

fn list<V>(
    text: &mut String,
    values: impl Iterator<Item = V>,
    mut put: impl FnMut(&mut String, V),
) {
    text.push('[');
    for (number, value) in values.enumerate() {
        if number > 0 {
            text.push(',');
        }
        put(text, value);
    }
    text.push(']');
}

fn write(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A String takes all that there is memory for.
    let _ = text.write_fmt(what);
}

/// As a string of JSON (RFC 8259, 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => write(&mut quoted, format_args!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
