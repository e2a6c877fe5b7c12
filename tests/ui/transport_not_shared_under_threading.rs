//! Law 7: a transport that belongs to one thread.

use std::cell::Cell;
use std::io;

use socketserver::{Request, Server, Threading, Transport, Waiter};

struct Task;

impl Request for Task {}

struct Tasks(Cell<u32>);

impl Transport for Tasks {
    type Request = Task;

    fn get_request(&self) -> io::Result<Option<Task>> {
        let left = self.0.get().checked_sub(1);
        self.0.set(left.unwrap_or_default());
        Ok(left.map(|_| Task))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.pause()
    }
}

fn main() {
    let tasks = Tasks(Cell::new(3));
    let _server = Server::new_fn(tasks, Threading::new(), |_task| Ok(()));
}
