//! The laws as a state machine: a model that says what a server may do, the server it is compared
//! with, and what both are made of. All of it is outsiders' code, on the crate's public surface.
#![allow(clippy::unwrap_used, reason = "tests may, and clippy knows only the functions marked so")]

pub mod client;
pub mod ledger;
pub mod mixin;
pub mod model;
pub mod remains;
pub mod rig;
pub mod script;
pub mod system;
pub mod teller;
pub mod watched;
pub mod world;

use std::env;
use std::panic;
use std::sync::Once;
use std::time::Duration;

use proptest::test_runner::{Config, FileFailurePersistence};

/// Far beyond what anything here needs, so that only what never comes reaches it.
pub const WATCHDOG: Duration = Duration::from_secs(10);

/// What the error or panic of a script says.
pub const SCRIPTED: &str = "scripted";

/// Panics where a script asks for it.
pub fn panic_if(asked: bool) {
    if asked {
        panic::panic_any(SCRIPTED);
    }
}

/// The configuration of a property: `PROPTEST_CASES` or `cases` of them, failures kept in
/// `regressions`.
pub fn config(cases: u32, shrink: Duration, regressions: &'static str) -> Config {
    let asked_for = env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    Config {
        cases: asked_for.unwrap_or(cases),
        max_shrink_time: u32::try_from(shrink.as_millis()).unwrap_or(u32::MAX),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..Config::default()
    }
}

/// Panics that a script asks for are no news on stderr; all others are.
pub fn hush_scripted_panics() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&SCRIPTED) {
                usual(info);
            }
        }));
    });
}
