//! Law 7: a handler of packets on connections.

use std::io;

use socketserver::{Handler, Next, UdpRequest, UnixStreamServer};

struct Pong;

impl Handler<UdpRequest> for Pong {
    fn handle(&self, packet: &mut UdpRequest) -> io::Result<Next> {
        packet.reply(b"pong")?;
        Ok(Next::Done)
    }
}

fn main() -> io::Result<()> {
    let _server = UnixStreamServer::bind("pong.sock", Pong)?;
    Ok(())
}
