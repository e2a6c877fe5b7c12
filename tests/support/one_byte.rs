//! A handler that waits for one byte, so that a test says when it ends.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use socketserver::{Tcp, TcpRequest};

pub fn tcp() -> io::Result<Tcp> {
    Tcp::options().bind("127.0.0.1:0")
}

/// Lets a request's handler, which waits for one byte, go on.
pub fn release(client: &TcpStream) -> io::Result<()> {
    (&*client).write_all(b"x")
}

pub fn echo_one(conn: &mut TcpRequest) -> io::Result<()> {
    let mut byte = [0];
    conn.read_exact(&mut byte)?;
    conn.write_all(&byte)
}
