//! Nobody waits for a permit while one is left, and there are never more than there may be.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::in_flight::Ticket;
use crate::live::Board;

/// See `Session::wait_to_enter`.
fn wait_to_enter(flight: &InFlight, number: u64) {
    if let Some(wanted) = flight.permits.want() {
        pause(&flight.control, number);
        drop(wanted);
        flight.pass_on();
    }
}

/// One that waits at the same bell for something else than a permit.
fn wait_for_something_else(flight: &Arc<InFlight>, number: u64) -> thread::JoinHandle<()> {
    let flight = Arc::clone(flight);
    thread::spawn(move || {
        pause(&flight.control, number);
        flight.pass_on();
    })
}

/// As a session that takes one request: see `Session::enter_by`.
fn enter(flight: &Arc<InFlight>, number: u64) -> Ticket {
    while flight.permits.is_suspended() || !flight.permits.take() {
        wait_to_enter(flight, number);
    }
    Ticket::new(flight, None)
}

/// Notes how many are inside at once.
fn pass(flight: &Arc<InFlight>, number: u64, inside: &AtomicUsize, most: usize) {
    let ticket = enter(flight, number);
    assert!(inside.fetch_add(1, SeqCst) < most, "more are inside than may be");
    inside.fetch_sub(1, SeqCst);
    drop(ticket);
}

/// 3 threads that each take the one permit and give it back. A lost wake-up is a deadlock.
#[test]
fn one_permit_serves_three() {
    model(|| {
        let (control, _) = control();
        let number = control.begin().unwrap();
        let (flight, inside) = (flight(&control, 1), Arc::new(AtomicUsize::new(0)));
        let others = [(); 2].map(|()| {
            let (flight, inside) = (Arc::clone(&flight), Arc::clone(&inside));
            thread::spawn(move || pass(&flight, number, &inside, 1))
        });
        pass(&flight, number, &inside, 1);
        join(others);
        assert_eq!(flight.active(), 0);
        assert!(flight.permits.take() && !flight.permits.take(), "each comes back once");
    });
}

/// 4 threads: two permits are taken; two workers give them back; two wait for them.
#[test]
fn two_who_wait_get_what_two_workers_give_back() {
    within(2, || {
        let (control, _) = control();
        let number = control.begin().unwrap();
        let flight = flight(&control, 2);
        let workers = [(); 2].map(|()| {
            let ticket = enter(&flight, number);
            thread::spawn(move || drop(ticket))
        });
        let other = thread::spawn({
            let flight = Arc::clone(&flight);
            move || enter(&flight, number).forget()
        });
        enter(&flight, number).forget();
        join(workers);
        join([other]);
        assert!(!flight.permits.is_left());
    });
}

/// 3 threads: one waits for the permit, one gives it back, and one waits at the same bell
/// for something else, and does not come back for the permit.
#[test]
fn who_waits_for_something_else_passes_the_ring_on() {
    model(|| {
        let (control, _) = control();
        let number = control.begin().unwrap();
        let flight = flight(&control, 1);
        let ticket = enter(&flight, number);
        let worker = thread::spawn({
            let control = Arc::clone(&control);
            move || {
                drop(ticket);
                // So that the one that waits for something else ends, whatever else rings.
                control.ring();
            }
        });
        let other = wait_for_something_else(&flight, number);
        enter(&flight, number).forget();
        control.ring();
        join([worker, other]);
    });
}

/// 3 threads: a stop ends the wait for a permit that never comes.
#[test]
fn a_stop_ends_the_wait_for_a_permit() {
    model(|| {
        let (control, stop) = control();
        let number = control.begin().unwrap();
        let flight = flight(&control, 0);
        let stop = thread::spawn(move || stop.stop());
        let wait = move |flight: &Arc<InFlight>| {
            while !flight.control.has_ended(number) {
                wait_to_enter(flight, number);
            }
        };
        let other = thread::spawn({
            let flight = Arc::clone(&flight);
            move || wait(&flight)
        });
        wait(&flight);
        join([stop, other]);
    });
}

/// The books of a server with one permit, and the board by which it is steered.
fn steered(control: &Arc<Control>) -> (Arc<InFlight>, Arc<Board>) {
    let board = Arc::new(Board::new().unwrap());
    let permits = Permits::new(1).steered(Some(Arc::clone(&board)));
    let counters = Counters::new().unwrap();
    (Arc::new(InFlight::new(Arc::clone(control), counters, permits)), board)
}

/// 3 threads: one waits while nobody is to have a permit, another has it be over, and one waits at the
/// same bell for something else. See `Live::resume`.
#[test]
fn who_waits_while_it_is_suspended_hears_that_it_is_over() {
    model(|| {
        let (control, _) = control();
        let number = control.begin().unwrap();
        let (flight, board) = steered(&control);
        board.suspend(true);
        let resumes = thread::spawn({
            let control = Arc::clone(&control);
            move || {
                board.suspend(false);
                control.call();
            }
        });
        let other = wait_for_something_else(&flight, number);
        enter(&flight, number).forget();
        control.ring();
        join([resumes, other]);
    });
}

/// 3 threads: two wait for more permits than there are, and another has there be more. See
/// `Live::set_at_once`.
#[test]
fn who_waits_for_a_permit_hears_that_there_are_to_be_more() {
    within(2, || {
        let (control, _) = control();
        let number = control.begin().unwrap();
        let (flight, board) = steered(&control);
        enter(&flight, number).forget();
        let raises = thread::spawn({
            let control = Arc::clone(&control);
            move || {
                board.set_at_once(3);
                control.call();
            }
        });
        let other = thread::spawn({
            let flight = Arc::clone(&flight);
            move || enter(&flight, number).forget()
        });
        enter(&flight, number).forget();
        join([raises, other]);
        assert!(!flight.permits.is_left());
    });
}
