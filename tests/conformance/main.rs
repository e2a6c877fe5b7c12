//! A piece for each way to break a law, and the kit names the law.

mod mixins;
mod strategies;
#[path = "../support/mod.rs"]
mod support;
mod transports;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use socketserver::testing::{Check, Law};
use support::alone;

type Outcome = Result<(), Box<dyn Error>>;

/// The piece breaks this law, or one of these, and the kit says so.
fn breaks(laws: &[Law], piece: impl Check) -> Outcome {
    let begun = Instant::now();
    match piece.check() {
        Ok(kept) => Err(format!("it is said to keep the laws: {kept}").into()),
        Err(broken) => {
            eprintln!("{:?} after {:?}\n{broken}", broken.law(), begun.elapsed());
            if broken.law().is_some_and(|law| laws.contains(&law)) {
                Ok(())
            } else {
                Err("another law broke".into())
            }
        }
    }
}

/// With nothing wrong about it, it keeps them all.
fn keeps(piece: impl Check) -> Outcome {
    piece.check()?;
    Ok(())
}

fn main() -> ExitCode {
    alone::run(&[
        ("a_strategy_of_which_nothing_is_wrong", strategies::nothing_wrong),
        ("a_mixin_of_which_nothing_is_wrong", mixins::nothing_wrong),
        ("a_transport_of_which_nothing_is_wrong", transports::nothing_wrong),
        ("a_strategy_that_drops_requests", strategies::drops),
        ("a_strategy_that_forgets_requests", strategies::forgets),
        ("a_strategy_that_ends_after_a_failure", strategies::ends_after_a_failure),
        ("a_strategy_that_panics_after_a_failure", strategies::panics_after_a_failure),
        ("a_strategy_that_ignores_the_stop", strategies::ignores_the_stop),
        ("a_strategy_that_leaks_a_thread", strategies::leaks_a_thread),
        ("a_strategy_that_keeps_the_handler", strategies::keeps_the_handler),
        ("a_strategy_that_is_one_at_a_time_and_says_it_is_not", strategies::is_no_threading),
        ("a_mixin_that_handles_twice", mixins::handles_twice),
        ("a_mixin_that_swallows_failures", mixins::swallows_failures),
        ("a_mixin_that_tells_failures_twice", mixins::tells_failures_twice),
        ("a_mixin_that_forgets_to_finish", mixins::forgets_to_finish),
        ("a_mixin_that_lets_everybody_in", mixins::lets_everybody_in),
        ("a_mixin_that_answers_twice", mixins::answers_twice),
        ("a_transport_that_loses_requests", transports::loses_requests),
        ("a_transport_that_spins", transports::spins),
        ("a_transport_that_breaks", transports::breaks_for_good),
        ("a_transport_that_takes_nothing_after_a_while", transports::takes_nothing_more),
        ("a_transport_that_does_not_hear_the_stop", transports::is_deaf),
        ("a_transport_that_leaves_a_descriptor", transports::leaves_a_descriptor),
        ("a_transport_that_leaves_connections_open", transports::leaves_connections_open),
    ])
}
