//! What is cut is open, and is what was meant.

use std::os::fd::BorrowedFd;

use platform::kernel;

use super::*;
use crate::in_flight::{Activity, Connections, Cut, Ticket};
use crate::live::Board;

/// A connection of which nobody has a place.
fn outsider() {
    let number = kernel::open();
    assert!(!kernel::close(number), "a descriptor was cut that was never entered");
}

/// As a worker with its request: entered, left, closed. Returns whether it was cut.
fn connection(flight: &Arc<InFlight>, work: impl FnOnce(&Activity)) -> bool {
    let number = kernel::open();
    let mut ticket = Ticket::new(flight, None);
    let (listed, activity) = ticket.list(Some(BorrowedFd::new(number).into())).unwrap();
    work(&activity);
    drop(listed);
    kernel::close(number)
}

/// 3 threads: a worker whose descriptor's number is used again, and by another thread at
/// any moment; and one that cuts all. One that is cut after it was closed is `EBADF`, or an
/// outsider's.
#[test]
fn nothing_is_cut_that_has_left() {
    model(|| {
        let (control, _) = control();
        let flight = flight(&control, 1);
        let cutter = thread::spawn({
            let flight = Arc::clone(&flight);
            move || flight.connections.cut_all()
        });
        let other = thread::spawn(outsider);
        let cut = connection(&flight, |_| ());
        outsider();
        join([cutter, other]);
        assert_eq!(flight.connections.count_cut(), usize::from(cut), "each is counted once");
    });
}

/// 3 threads: two workers share the places, one after the other or at once.
#[test]
fn each_has_a_place_of_its_own() {
    model(|| {
        let (control, _) = control();
        let flight = flight(&control, 2);
        let cutter = thread::spawn({
            let flight = Arc::clone(&flight);
            move || flight.connections.cut_all()
        });
        let other = thread::spawn({
            let flight = Arc::clone(&flight);
            move || connection(&flight, |_| ())
        });
        let cut = usize::from(connection(&flight, |_| ()));
        join([cutter]);
        let cut = cut + usize::from(other.join().unwrap());
        assert_eq!(flight.connections.count_cut(), cut, "each is counted once");
    });
}

/// 2 threads: what has never been idle, and what no longer is, is not cut as idle.
#[test]
fn what_is_busy_is_not_cut_as_idle() {
    model(|| {
        let (control, _) = control();
        let flight = flight(&control, 1);
        let mut cutter = None;
        let cut_idle = {
            let flight = Arc::clone(&flight);
            move || flight.connections.cut_idle()
        };
        let cut = connection(&flight, |activity| {
            activity.idle();
            activity.busy();
            cutter = Some(thread::spawn(cut_idle));
            activity.busy();
        });
        assert!(!cut, "something has come from its peer");
        join(cutter);
    });
}

/// 3 threads: one that is idle for a moment, and two that cut it.
#[test]
fn what_is_cut_is_cut_once() {
    model(|| {
        let (control, _) = control();
        let flight = flight(&control, 1);
        let cutters = [Connections::cut_idle, Connections::cut_all].map(|cut| {
            let flight = Arc::clone(&flight);
            thread::spawn(move || cut(&flight.connections))
        });
        let cut = connection(&flight, |activity| {
            activity.idle();
            activity.busy();
            activity.idle();
        });
        join(cutters);
        assert_eq!(flight.connections.count_cut(), usize::from(cut), "each is counted once");
    });
}

/// 3 threads: as the first of these, with one that cuts it alone, by its number; and it is in the
/// list until its ticket is gone.
#[test]
fn nothing_is_cut_alone_that_has_left() {
    model(|| {
        let (control, _) = control();
        let board = Arc::new(Board::new().unwrap());
        let permits = Permits::new(1).steered(Some(board));
        let counters = Counters::new().unwrap();
        let flight = Arc::new(InFlight::new(control, counters, permits));
        let cutter = thread::spawn({
            let flight = Arc::clone(&flight);
            move || flight.connections.cut_one(1, false) == Cut::Done
        });
        let other = thread::spawn(outsider);
        let cut = connection(&flight, |_| ());
        outsider();
        assert_eq!(cutter.join().unwrap(), cut);
        join([other]);
        assert_eq!(flight.connections.count_cut(), 0, "the end of the server has cut nothing");
        assert!(flight.connections.list(false).is_empty());
    });
}
