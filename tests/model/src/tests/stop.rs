//! A stop is neither lost nor sticky.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use platform::kernel;

use super::*;

const TIME: Duration = Duration::from_secs(1);

/// 2 threads and then 3, no bound on preemptions. A lost stop is a deadlock.
#[test]
fn a_stop_at_any_time_ends_one_session_and_no_other() {
    model(|| {
        let (control, stop) = control();
        let first = thread::spawn(move || stop.stop());
        let number = control.begin().unwrap();
        serve(&control, number);
        control.end(number);

        let (stop, asked) = (StopHandle::new(Arc::clone(&control)), Arc::new(AtomicBool::new(false)));
        let second = thread::spawn({
            let asked = Arc::clone(&asked);
            move || {
                asked.store(true, SeqCst);
                stop.stop();
            }
        });
        let number = control.begin().unwrap();
        serve(&control, number);
        assert!(asked.load(SeqCst), "the first stop has ended the second session");
        control.end(number);
        join([first, second]);
    });
}

/// 3 threads, no bound.
#[test]
fn two_stops_end_one_session() {
    model(|| {
        let (control, stop) = control();
        let stops = [stop.clone(), stop].map(|stop| thread::spawn(move || stop.stop()));
        let number = control.begin().unwrap();
        serve(&control, number);
        control.end(number);
        join(stops);
        let number = control.begin().unwrap();
        assert!(!control.is_stopping(number), "a stop that came too late has been kept");
    });
}

/// 3 threads, no bound: two that wait at the same bell, and one that rings for nothing and stops.
#[test]
fn everybody_who_waits_hears_a_stop() {
    model(|| {
        let (control, stop) = control();
        let number = control.begin().unwrap();
        let other = thread::spawn({
            let control = Arc::clone(&control);
            move || serve(&control, number)
        });
        let stop = thread::spawn({
            let control = Arc::clone(&control);
            move || {
                control.ring();
                stop.stop();
            }
        });
        serve(&control, number);
        join([other, stop]);
    });
}

/// As the session does while its end is announced: see `Session::is_announced`.
fn serve_announcing(control: &Control, number: u64) {
    let mut until = None;
    while !control.has_ended(number) {
        if control.is_stopping(number) {
            let until = *until.get_or_insert(Instant::now() + TIME);
            if until <= Instant::now() {
                control.announced(number);
                continue;
            }
        }
        Waiter::new(control, number, &[], until).pause().unwrap();
    }
}

/// 3 threads, no bound: the session, the stop, and the clock.
#[test]
fn a_stop_that_is_announced_ends_the_session_when_its_time_is_over() {
    model(|| {
        let (control, stop) = control();
        control.announce();
        let number = control.begin().unwrap();
        let stop = thread::spawn(move || stop.stop());
        let begun = Instant::now();
        // Once for a stop that comes before, and once for one that comes afterwards.
        let clock = thread::spawn(|| (0..2).for_each(|_| kernel::advance(TIME)));
        serve_announcing(&control, number);
        assert!(Instant::now() >= begun + TIME, "a single stop has not been announced");
        join([stop, clock]);
    });
}

/// 3 threads, no bound: the session, and two stops. Time does not pass.
#[test]
fn two_stops_end_an_announcement() {
    model(|| {
        let (control, stop) = control();
        control.announce();
        let number = control.begin().unwrap();
        let stops = [stop.clone(), stop].map(|stop| thread::spawn(move || stop.stop()));
        serve_announcing(&control, number);
        join(stops);
        assert!(!control.is_hurried());
    });
}

/// 3 threads, no bound: a session that is stopped twice while its time is found to be over, and one
/// after it.
#[test]
fn an_announcement_that_is_over_ends_its_own_session_alone() {
    model(|| {
        let (control, stop) = control();
        control.announce();
        let number = control.begin().unwrap();
        let announced = thread::spawn({
            let control = Arc::clone(&control);
            move || control.announced(number)
        });
        let stop = thread::spawn(move || stop.stop());
        serve(&control, number);
        control.end(number);
        join([stop]);
        let next = control.begin().unwrap();
        join([announced]);
        assert!(!control.has_ended(next));
    });
}

/// 2 threads, no bound: a second stop, before the server is closed or afterwards.
#[test]
fn a_stop_too_many_is_a_hurry_whenever_the_server_is_closed() {
    model(|| {
        let (control, stop) = control();
        let number = control.begin().unwrap();
        let stops = thread::spawn(move || {
            stop.stop();
            stop.stop();
        });
        serve(&control, number);
        control.close();
        let closed = control.number();
        while !control.is_hurried() {
            pause(&control, closed);
        }
        join([stops]);
    });
}
