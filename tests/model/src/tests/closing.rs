//! The end of a server sees its last request leave.

use std::os::fd::BorrowedFd;

use platform::kernel;

use super::*;
use crate::drain::{Closing, Drain};
use crate::in_flight::Ticket;
use crate::worker::Worker;

/// The server is closed: see `Server::close`.
fn close(control: &Arc<Control>, flight: &Arc<InFlight>) -> Closing<()> {
    control.close();
    let worker = Worker { control: Arc::clone(control), session: control.number(), handler: () };
    Closing::new(worker, Some(Arc::clone(flight)), Some(Drain::new()))
}

/// 3 threads: two requests leave while the server is being closed, and waits for them.
#[test]
fn the_last_request_that_leaves_is_seen() {
    model(|| {
        let (control, _) = control();
        let number = control.begin().unwrap();
        let flight = flight(&control, 2);
        let requests = [(); 2].map(|()| {
            let ticket = Ticket::new(&flight, None);
            thread::spawn(move || drop(ticket))
        });
        control.end(number);
        let closing = close(&control, &flight);
        assert_eq!(closing.drain().unwrap(), Some(0));
        join(requests);
    });
}

/// 3 threads: a request that ends only when it is cut, and a stop for a server that is
/// closed.
#[test]
fn a_stop_hurries_the_end() {
    model(|| {
        let (control, stop) = control();
        let flight = flight(&control, 1);
        let connection = kernel::open();
        let mut ticket = Ticket::new(&flight, None);
        let (listed, _) = ticket.list(Some(BorrowedFd::new(connection).into())).unwrap();
        let closing = close(&control, &flight);
        let stop = thread::spawn(move || stop.stop());
        let request = thread::spawn(move || {
            kernel::wait(connection);
            drop((listed, ticket));
        });
        assert_eq!(closing.drain().unwrap(), Some(0));
        assert_eq!((closing.end().cut, closing.end().finished), (1, 0));
        join([stop, request]);
    });
}
