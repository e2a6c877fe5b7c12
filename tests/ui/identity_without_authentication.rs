//! A handler that has to know whose requests it handles, on requests that nobody has authenticated.
use std::io::{self, Write};

use socketserver::{Credentials, Handler, HasIdentity, Next, Server, Sync, UnixStream};

struct Greeter;

impl<R: HasIdentity<Identity = Credentials> + Write> Handler<R> for Greeter {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let uid = request.identity()?.uid;
        writeln!(request, "hello, user {uid}").map(Next::from)
    }
}

fn main() -> io::Result<()> {
    let server: Server<UnixStream, Sync, _> = Server::bind("greeter.sock", Greeter)?;
    server.close().map(drop)
}
