//! The thread that sees to the end of a request on the thread that serves.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use platform::kernel;

use super::*;
use crate::drain::{Drain, Timer};
use crate::in_flight::Ticket;

/// 3 threads: the session that drops the timer, the timer, and a stop.
#[test]
fn it_ends_with_its_session_whenever_it_is_stopped() {
    model(|| {
        let (control, stop) = control();
        let number = control.begin().unwrap();
        let timer = Timer::start(&flight(&control, 1), number, Drain::new()).unwrap();
        let stop = thread::spawn(move || stop.stop());
        drop(timer);
        join([stop]);
    });
}

/// 3 threads: a request that ends only when it is cut; stops, one more than announces.
#[test]
fn stops_cut_the_request_off() {
    within(2, || {
        let (control, stop) = control();
        control.announce();
        let number = control.begin().unwrap();
        let flight = flight(&control, 1);
        let drain = Drain::new().announce(Duration::from_secs(1));
        let timer = Timer::start(&flight, number, drain).unwrap();
        let connection = kernel::open();
        let mut ticket = Ticket::new(&flight, None);
        let (listed, _) = ticket.list(Some(BorrowedFd::new(connection).into())).unwrap();
        let stop = thread::spawn(move || (0..3).for_each(|_| stop.stop()));
        kernel::wait(connection);
        drop((listed, ticket));
        drop(timer);
        join([stop]);
    });
}
