//! A stop is neither lost nor sticky.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use platform::kernel;

use super::*;

const TIME: Duration = Duration::from_secs(1);

/// 2 threads and then 3. A lost stop is a deadlock.
#[test]
fn a_stop_at_any_time_ends_one_session_and_no_other() {
    model(|| {
        let (control, stop) = control();
        let first = thread::spawn(move || stop.stop());
        let number = control.begin().unwrap();
        serve(&control, number);
        control.end(number);

        let (stop, asked) =
            (StopHandle::new(Arc::clone(&control)), Arc::new(AtomicBool::new(false)));
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

/// 3 threads.
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

/// 3 threads: two that wait at the same bell, and one that rings for nothing and stops.
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

/// As the session does while its end is announced (see `Session::is_announced`). When that begins,
/// `clock` does.
fn serve_announcing(control: &Control, number: u64, clock: fn()) {
    let (mut until, mut clocks) = (None, Vec::new());
    while !control.has_ended(number) {
        if control.is_stopping(number) && until.is_none() {
            until = Some(Instant::now() + TIME);
            clocks.push(thread::spawn(clock));
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            control.conclude(number);
        } else {
            Waiter::new(control, number, &[], until).pause().unwrap();
        }
    }
    join(clocks);
}

/// 3 threads: the session, the stop, and the clock.
#[test]
fn a_stop_that_is_announced_ends_the_session_when_its_time_is_over() {
    model(|| {
        let (control, stop) = control();
        control.announce();
        let number = control.begin().unwrap();
        let stop = thread::spawn(move || stop.stop());
        serve_announcing(&control, number, || kernel::advance(TIME));
        join([stop]);
        assert!(!control.is_hurried());
    });
}

/// 3 threads (the third clock does nothing): time does not pass, but there are two stops.
#[test]
fn two_stops_end_an_announcement() {
    model(|| {
        let (control, stop) = control();
        control.announce();
        let number = control.begin().unwrap();
        let stops = [stop.clone(), stop].map(|stop| thread::spawn(move || stop.stop()));
        serve_announcing(&control, number, || ());
        join(stops);
        assert!(!control.is_hurried());
    });
}

/// 4 threads: the session, its clock, and two stops.
#[test]
fn a_stop_may_come_when_the_time_of_another_is_over() {
    within(2, || {
        let (control, stop) = control();
        control.announce();
        let number = control.begin().unwrap();
        let stops = [stop.clone(), stop].map(|stop| thread::spawn(move || stop.stop()));
        serve_announcing(&control, number, || kernel::advance(TIME));
        control.end(number);
        join(stops);
        let next = control.begin().unwrap();
        assert!(!control.is_stopping(next));
    });
}

/// 3 threads: a session that is stopped twice while its time is found to be over, and one
/// after it.
#[test]
fn an_announcement_that_is_over_ends_its_own_session_alone() {
    model(|| {
        let (control, stop) = control();
        control.announce();
        let number = control.begin().unwrap();
        let announced = thread::spawn({
            let control = Arc::clone(&control);
            move || control.conclude(number)
        });
        let stop = thread::spawn(move || (0..2).for_each(|_| stop.stop()));
        serve(&control, number);
        control.end(number);
        join([stop]);
        let next = control.begin().unwrap();
        join([announced]);
        assert!(!control.has_ended(next));
    });
}

/// 2 threads: a second and a third stop, before the server is closed or afterwards.
#[test]
fn a_stop_too_many_is_a_hurry_whenever_the_server_is_closed() {
    model(|| {
        let (control, stop) = control();
        let number = control.begin().unwrap();
        let stops = thread::spawn(move || (0..3).for_each(|_| stop.stop()));
        serve(&control, number);
        control.close();
        let closed = control.number();
        while !control.is_hurried() {
            pause(&control, closed);
        }
        join([stops]);
    });
}
