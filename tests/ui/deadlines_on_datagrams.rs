//! Law 7: deadlines for connections around a handler of packets.

use std::io;
use std::time::Duration;

use socketserver::{Deadlines, ThreadingUdpServer, UdpRequest, handler_fn};

fn main() -> io::Result<()> {
    let echo = handler_fn(|packet: &mut UdpRequest| packet.reply(packet.data()));
    let guarded = Deadlines::new().request(Duration::from_secs(1)).guard(echo)?;
    let _ = ThreadingUdpServer::bind("127.0.0.1:0", guarded)?;
    Ok(())
}
