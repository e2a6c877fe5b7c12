//! Packets have nobody to be asked who they are.
use std::io;

use socketserver::{Authenticate, Authenticated, Server, Sync, Udp, UdpRequest};

struct Anybody;

impl Authenticate<UdpRequest> for Anybody {
    type Identity = ();
    type Attempt = ();

    fn authenticate(&self, _request: &mut UdpRequest, (): &mut ()) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let udp = Authenticated::new(Udp::options().bind("127.0.0.1:0")?, Anybody);
    let mut server = Server::new_fn(udp, Sync, |_packet| Ok(()))?;
    server.serve_forever()
}
