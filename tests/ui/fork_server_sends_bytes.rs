//! What one process gives another through a helper is bytes.

use std::io;

use socketserver::{Begun, FinishInChild, ForkServer, Handler, InHalves, Next, Server, Tcp};

struct Halves;

impl<R> InHalves<R> for Halves {
    type Rest = u64;

    fn begin(&self, _: &mut R) -> io::Result<Begun<u64>> {
        Ok(Begun::InChild(7))
    }

    fn finish_in_child(&self, _: &mut R, _: u64) -> io::Result<Next> {
        Ok(Next::Done)
    }
}

impl<R> Handler<R> for Halves {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        self.both_halves(request)
    }
}

fn main() {
    let tcp = Tcp::options().bind("127.0.0.1:0").unwrap();
    let _ = Server::new(tcp, FinishInChild::new(ForkServer::new()), Halves);
}
