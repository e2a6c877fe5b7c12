//! The laws under `Forking`, `ForkServer`, `FinishInChild` and `PreForking`, and one story under every strategy: in processes with one thread.

mod support;

use std::error::Error;
use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use support::alone;
use support::laws::mixin::Mixin;
use support::laws::model::{Forks, Model, Setting, Transition, scripts, sent, wires};
use support::laws::system::{Laws, run};
use support::laws::{config, hush_scripted_panics};

const REGRESSIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/laws_fork.proptest-regressions");
/// Within the life of a case's process.
const SHRINK: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    alone::run(&[
        ("forking_servers_keep_the_laws_under_every_schedule", forking_servers_keep_the_laws),
        ("a_script_has_one_story_under_every_strategy", a_script_has_one_story),
    ])
}

fn forking_servers_keep_the_laws() -> Result<(), Box<dyn Error>> {
    let (config, mut runner) = runner(64);
    let cases = Forks::sequential_strategy(1..40);
    let result = runner.run(&cases, |(model, transitions, seen)| {
        Laws::<Forks>::test_sequential(config.clone(), model, transitions, seen);
        Ok(())
    });
    result.map_err(|error| error.to_string().into())
}

/// Law 2 by itself: not what a table says that the story is, but that it is the same.
fn a_script_has_one_story() -> Result<(), Box<dyn Error>> {
    let (_, mut runner) = runner(32);
    let cases = (wires(), any::<(bool, bool)>(), vec((scripts(), sent()), 1..6));
    let result = runner.run(&cases, |(wire, (hooks_panic, books), clients)| {
        let mut transitions = Vec::new();
        for (number, (script, sent)) in clients.into_iter().enumerate() {
            transitions.push(Transition::Connect(script, sent));
            if !wire.is_packet() {
                transitions.push(Transition::HalfClose(number));
            }
        }
        transitions.push(Transition::Serve);
        let stories = |mixin| {
            run(Model::new(Setting { wire, mixin, hooks_panic, books }), &transitions)
                .map_err(|error| TestCaseError::fail(error.to_string()))
        };
        let sync = stories(Mixin::Sync)?;
        let others = [
            Mixin::Threading,
            Mixin::ThreadPool,
            Mixin::ThreadPoolOne,
            Mixin::Selecting,
            Mixin::SelectingThreads,
            Mixin::SelectingPool,
            Mixin::Forking,
            Mixin::ForkingOne,
            Mixin::ForkServer,
            Mixin::FinishInChild,
            Mixin::FinishInChildOfHelper,
            Mixin::PreForking,
            Mixin::PreForkingPool,
            Mixin::PreForkingSelecting,
        ];
        for mixin in others {
            prop_assert_eq!(&sync, &stories(mixin)?, "Sync and {:?}", mixin);
        }
        Ok(())
    });
    result.map_err(|error| error.to_string().into())
}

fn runner(cases: u32) -> (ProptestConfig, TestRunner) {
    // The failure has the message; the pipe that stderr is would not hold it once for each step of
    // the shrinking.
    hush_scripted_panics();
    panic::set_hook(Box::new(|_| {}));
    let config = config(cases, SHRINK, REGRESSIONS);
    (config.clone(), TestRunner::new(config))
}
