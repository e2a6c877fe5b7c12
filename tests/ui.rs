//! What makes no sense does not compile, and the message says why: its wording, pinned.
//!
//! The wording is the compiler's in part, so it is compared under one version of it only.

use std::error::Error;
use std::process::Command;

/// The compiler whose messages stand in `tests/ui/*.stderr`.
const PINNED: &str = "1.95";

#[test]
fn what_makes_no_sense_does_not_compile_and_says_why() -> Result<(), Box<dyn Error>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = String::from_utf8(Command::new(rustc).arg("--version").output()?.stdout)?;
    if !version.starts_with(&format!("rustc {PINNED}.")) {
        eprintln!(
            "SKIPPED: the messages are pinned to rustc {PINNED}, and this is {}",
            version.trim()
        );
        return Ok(());
    }
    // The messages name what there is instead, and with a feature there is more.
    let cases = trybuild::TestCases::new();
    let (proxy, tls) = (cfg!(feature = "proxy"), cfg!(feature = "tls"));
    let features = [
        (proxy, "tests/ui/proxy/*.rs"),
        (tls, "tests/ui/tls/*.rs"),
        (cfg!(feature = "testing") && !proxy && !tls, "tests/ui/testing/*.rs"),
    ];
    for (_, folder) in features.iter().filter(|(on, _)| *on) {
        cases.compile_fail(folder);
    }
    if features.iter().all(|(on, _)| !on) {
        cases.compile_fail("tests/ui/*.rs");
    }
    Ok(())
}
