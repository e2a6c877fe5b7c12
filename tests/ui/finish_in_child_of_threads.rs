//! Threads are no children.

use std::io;

use socketserver::{Begun, FinishInChild, Handler, InHalves, Next, Server, Tcp, Threading};

struct Halves;

impl<R> InHalves<R> for Halves {
    type Rest = ();

    fn begin(&self, _: &mut R) -> io::Result<Begun<()>> {
        Ok(Begun::InChild(()))
    }

    fn finish_in_child(&self, _: &mut R, (): ()) -> io::Result<Next> {
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
    let _ = Server::new(tcp, FinishInChild::new(Threading::new()), Halves);
}
