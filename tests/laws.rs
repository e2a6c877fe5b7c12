//! The laws under `Sync`, `Threading` and `ThreadPool`, for random clients, failures and stops.
//!
//! One test, and nothing beside it in this process: that nothing remains of a server is seen in
//! what the whole process holds.

mod support;

use std::time::Duration;

use proptest_state_machine::prop_state_machine;
use support::laws::choices::Threads;
use support::laws::config;
use support::laws::system::Laws;

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/laws.proptest-regressions");

prop_state_machine! {
    #![proptest_config(config(128, Duration::from_secs(120), REGRESSIONS))]

    #[test]
    fn servers_keep_the_laws_under_every_schedule(sequential 1..40 => Laws<Threads>);
}
