//! A server that echoes lines, and a page in the browser on which it can be watched and steered
//! while it serves: what it has counted, who is connected, a button to cut each off, to suspend it,
//! and how many threads it has.
//!
//! `cargo run --example status` prints two addresses, of the echo and of the page; `-- --addr HOST:PORT`
//! and `--page HOST:PORT` choose them. The page is this crate's too: a second server beside the
//! first, which it knows by handles alone ([`Live`], [`Counters`], [`PoolSize`]).
//!
//! Whoever can reach the page can steer the server, so it listens at 127.0.0.1, and does nothing for
//! pages of others that the same browser has open: see `http.rs`.

mod http;
#[path = "../serve/limits.rs"]
mod limits;
mod page;
mod state;

use std::io::{self, Write};
use std::process::ExitCode;

use lexopt::prelude::*;
use socketserver::{
    Counters, Handler, Limits, Live, LocalAddr, Next, PoolSize, ReadLine, Selecting, Server, Tcp,
    TcpRequest, ThreadPool, Threading, line_missing,
};

use page::Page;

/// What is known of the server that echoes.
pub(crate) struct Watched {
    pub(crate) live: Live,
    pub(crate) counters: Counters,
    pub(crate) pool: PoolSize,
}

fn main() -> ExitCode {
    match asked().map_err(io::Error::other).and_then(|(echo, page)| serve(&echo, &page)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("status: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The addresses to listen at.
fn asked() -> Result<(String, String), lexopt::Error> {
    let (mut echo, mut page) = ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned());
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("addr") => echo = parser.value()?.string()?,
            Long("page") => page = parser.value()?.string()?,
            _ => return Err(arg.unexpected()),
        }
    }
    Ok((echo, page))
}

fn serve(echo: &str, page: &str) -> io::Result<()> {
    limits::raise_open_files();
    let pool = ThreadPool::new(4);
    let watched = Watched { live: Live::new()?, counters: Counters::new()?, pool: pool.size() };
    let echo = Server::new(Tcp::options().bind(echo)?, Selecting::new(pool), Echo)?
        .limits(Limits::new())?
        .counters(&watched.counters)
        .live(&watched.live);
    let page = http::options().bind(page)?;
    let (echo_at, page_at) = (echo.local_addr()?, page.local_addr()?);
    let mut page = Server::new(page, Threading::new(), Page::new(watched, page_at))?;

    writeln!(io::stdout(), "LISTENING {echo_at}\nLISTENING {page_at}")?;
    eprintln!("lines are echoed at {echo_at}; the page is http://{page_at}/");
    let running = echo.spawn()?;
    page.serve_forever()?;
    running.close().map(drop)
}

/// Sends each line back.
struct Echo;

/// The longest line, in bytes.
const LONGEST: usize = 4096;

impl Handler<TcpRequest> for Echo {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        let mut line = Vec::new();
        if conn.read_bytes_bounded(&mut line, LONGEST)? == 0 {
            return Ok(Next::Done);
        }
        conn.write_all(&line)?;
        Ok(Next::Again)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, LONGEST)
    }
}
