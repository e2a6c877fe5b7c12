//! A transport of one's own whose requests can't go to another process.

use std::io;

use socketserver::{ForkServer, Request, Server, Transport, Waiter};

struct Task;

impl Request for Task {}

struct Tasks;

impl Transport for Tasks {
    type Request = Task;

    fn get_request(&self) -> io::Result<Option<Task>> {
        Ok(None)
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.pause()
    }
}

fn main() {
    let _ = Server::new_fn(Tasks, ForkServer::new(), |_task| Ok(()));
}
