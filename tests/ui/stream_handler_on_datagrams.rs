//! Law 7: a stream handler on datagrams.

use std::io::{self, Write};

use socketserver::{Handler, Next, TcpRequest, ThreadingUdpServer};

struct Greeter;

impl Handler<TcpRequest> for Greeter {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.write_all(b"hello\n")?;
        Ok(Next::Done)
    }
}

fn main() -> io::Result<()> {
    ThreadingUdpServer::bind("127.0.0.1:0", Greeter)?.serve_forever()
}
