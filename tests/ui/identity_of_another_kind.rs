//! A handler that wants to know a name, on requests of which the user's number is known.
use std::io::{self, Write};

use socketserver::{Authenticated, Handler, HasIdentity, Next, Server, Sync, UnixStream, Users};

struct Greeter;

impl<R: HasIdentity<Identity = String> + Write> Handler<R> for Greeter {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let name = request.identity()?.clone();
        writeln!(request, "hello, {name}").map(Next::from)
    }
}

fn main() -> io::Result<()> {
    let socket = UnixStream::options().bind("greeter.sock")?;
    let mut server = Server::new(Authenticated::new(socket, Users::new().uid(0)), Sync, Greeter)?;
    server.serve_forever()
}
