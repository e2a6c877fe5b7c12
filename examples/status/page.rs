//! What the page can ask for.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;

use socketserver::{Handler, Next};

use crate::Watched;
use crate::http::{Answer, Asked};

/// The handler of the page.
pub(crate) struct Page {
    watched: Watched,
    address: SocketAddr,
}

impl Page {
    pub(crate) fn new(watched: Watched, address: SocketAddr) -> Self {
        Self { watched, address }
    }

    fn answer(&self, asked: &Asked) -> Answer {
        if !asked.is_ours(self.address) {
            return Answer::wrong("403 Forbidden", &"this is for the page of this server alone");
        }
        if asked.is_post {
            return match self.act(asked) {
                Ok(()) => Answer::new("application/json", self.watched.state()),
                Err(error) => Answer::wrong("400 Bad Request", &error),
            };
        }
        match asked.path.as_str() {
            "/" => Answer::new("text/html", include_str!("page.html")),
            "/page.css" => Answer::new("text/css", include_str!("page.css")),
            "/page.js" => Answer::new("text/javascript", include_str!("page.js")),
            "/state" => Answer::new("application/json", self.watched.state()),
            _ => Answer::wrong("404 Not Found", &"there is no such page"),
        }
    }

    /// Does what a button is for.
    fn act(&self, asked: &Asked) -> io::Result<()> {
        let Watched { live, pool, .. } = &self.watched;
        let value = |name| {
            let missing = || io::Error::other(format!("{name} is to be a number"));
            asked.value(name).ok_or_else(missing)
        };
        match asked.path.as_str() {
            "/suspend" => live.suspend(),
            "/resume" => live.resume(),
            "/cut" => _ = live.cut(value("id")? as u64),
            "/pool" => pool.set(value("min")?, value("max")?)?,
            "/at-once" => live.set_at_once(value("most")?)?,
            _ => return Err(io::Error::other("there is no such button")),
        }
        Ok(())
    }
}

impl<R: BufRead + Write> Handler<R> for Page {
    fn handle(&self, conn: &mut R) -> io::Result<Next> {
        let Some(asked) = Asked::read(conn)? else { return Ok(Next::Done) };
        self.answer(&asked).send(conn)?;
        Ok(Next::Again)
    }
}
