//! Waits that are no wait for a descriptor hear a stop too.

use platform::kernel;

use super::*;

/// A wait for a descriptor that control knows nothing of, ended by its waker.
fn wait(control: &Control, number: u64) {
    let own = kernel::open();
    let wake = move || kernel::set_readable(own, true);
    Waiter::new(control, number, &[], None).interruptible(wake, || kernel::wait(own));
}

/// 3 threads: two that wait, and a stop that may find the list locked by either.
#[test]
fn everybody_who_has_a_waker_hears_a_stop() {
    model(|| {
        let (control, stop) = control();
        let number = control.begin().unwrap();
        let stop = thread::spawn(move || stop.stop());
        let other = thread::spawn({
            let control = Arc::clone(&control);
            move || {
                while !control.has_ended(number) {
                    wait(&control, number);
                }
            }
        });
        while !control.has_ended(number) {
            wait(&control, number);
        }
        join([stop, other]);
    });
}

/// 2 threads.
#[test]
fn a_stop_that_is_announced_is_heard_by_a_waker() {
    model(|| {
        let (control, stop) = control();
        control.announce();
        let number = control.begin().unwrap();
        let stop = thread::spawn(move || stop.stop());
        while !control.is_stopping(number) {
            wait(&control, number);
        }
        join([stop]);
    });
}
