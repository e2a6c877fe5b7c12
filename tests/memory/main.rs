//! Servers in memory: that they are servers as any, and that what goes wrong is what was asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod faults;
mod matrix;
mod packets;
mod promises;
mod time;

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use socketserver::testing::{Link, MemoryStream};
use support::net::PATIENCE;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A client that does not wait for ever.
fn connect(link: Link, server: SocketAddr) -> io::Result<MemoryStream> {
    let client = link.connect(server)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    Ok(client)
}
