//! The laws in memory, for random clients, failures and stops, by the thousand.
//!
//! One test, and nothing beside it in this process: that nothing remains of a server is seen in
//! what the whole process holds. `PROPTEST_CASES` says how many schedules there are to be.

mod support;

use std::time::{Duration, Instant};

use proptest::test_runner::TestRunner;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use support::laws::config;
use support::laws::model::Memories;
use support::laws::system::Laws;

const REGRESSIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/laws_memory.proptest-regressions");

#[test]
fn servers_in_memory_keep_the_laws_under_every_schedule() {
    let config = config(2000, Duration::from_secs(120), REGRESSIONS);
    let mut runner = TestRunner::new(config.clone());
    let begun = Instant::now();
    let result = runner.run(&Memories::sequential_strategy(1..40), |(model, transitions, seen)| {
        Laws::<Memories>::test_sequential(config.clone(), model, transitions, seen);
        Ok(())
    });
    let (cases, took) = (config.cases, begun.elapsed());
    println!(
        "{cases} schedules in {took:.1?}: {:.0} a second",
        f64::from(cases) / took.as_secs_f64()
    );
    if let Err(error) = result {
        panic!("{error}");
    }
}
