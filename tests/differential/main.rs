//! The same scripts on CPython's `socketserver` and on this crate: the hooks, in their order and
//! place, and the bytes on the wire have to be the same, but for what `expected.rs` lists. A
//! difference that is not listed fails, and so does one that is listed and not there.
//!
//! The interpreter (3.7 or later) is `python3`, or what `SOCKETSERVER_PYTHON` says. Where there is
//! no `python3`, nothing is compared, and every trial says that it was ignored.

#![expect(unreachable_pub, reason = "the modules of a test binary have no outside")]

mod expected;
mod peer;
mod python;
mod rust_side;
mod scenario;
mod story;
mod trace;

use std::env;
use std::fmt::Write;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use expected::{DIFFERENCES, Difference};
use python::Python;
use scenario::{Run, runs};
use story::{AS_SERVER, Aspect, Side, Story};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if env::var_os(AS_SERVER).is_some() {
        return match rust_side::serve(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let python = Python::find();
    eprintln!("{}", python.report());
    let ignored = python.is_missing();
    let compared = runs().map(|run| {
        let python = python.clone();
        Trial::test(run.to_string(), move || compare(run, python)).with_ignored_flag(ignored)
    });
    let table = Trial::test("each listed difference is looked for", table_is_sound);
    libtest_mimic::run(&Arguments::from_args(), compared.chain([table]).collect()).exit_code()
}

fn compare(run: Run, python: Python) -> Result<(), Failed> {
    let report = python.report();
    let Python::Found { interpreter, .. } = python else { return Err(report.into()) };
    let python = Side::Python(interpreter).tell(run).map_err(|error| error.to_string())?;
    let rust = Side::Rust.tell(run).map_err(|error| error.to_string())?;
    if !rust.values().any(|told| told.contains(run.scenario.shows)) {
        return Err(format!("{run}: no {:?} in {rust:#?}", run.scenario.shows).into());
    }
    let listed: Vec<_> = DIFFERENCES.iter().filter(|row| row.concerns(run)).collect();
    match complaints(&python, &rust, &listed) {
        none if none.is_empty() => Ok(()),
        complaints => Err(format!("{run}\n{complaints}{report}").into()),
    }
}

fn complaints(python: &Story, rust: &Story, listed: &[&Difference]) -> String {
    let mut text = String::new();
    for aspect in Aspect::ALL {
        let row = listed.iter().find(|row| row.aspect == aspect);
        // The hooks of a request that one side has not served have no counterpart.
        let seen = python.get(&aspect).zip(rust.get(&aspect));
        let is_expected = match (seen, row) {
            (Some((python, rust)), Some(row)) => python == row.python && rust == row.rust,
            (Some((python, rust)), None) => python == rust,
            (None, row) => row.is_none(),
        };
        if is_expected {
            continue;
        }
        let mut show = |what: &str, python: &str, rust: &str| {
            let _ = writeln!(text, "{aspect}{what}:\n  python: {python}\n  rust:   {rust}");
        };
        if let Some((python, rust)) = seen {
            show("", python, rust);
        }
        match row {
            Some(row) => show(&format!(", as listed ({})", row.why), row.python, row.rust),
            None => text.push_str("  which is not listed\n"),
        }
    }
    text
}

/// Each row can be found wanting: it says that something differs, some run looks at it, and no
/// other row hides it there.
fn table_is_sound() -> Result<(), Failed> {
    for row in DIFFERENCES {
        if row.python == row.rust || !runs().any(|run| row.concerns(run)) {
            return Err(format!("no run can differ as this says: {row:#?}").into());
        }
    }
    for run in runs() {
        for aspect in Aspect::ALL {
            let rows: Vec<_> = DIFFERENCES
                .iter()
                .filter(|row| row.concerns(run) && row.aspect == aspect)
                .collect();
            if rows.len() > 1 {
                return Err(format!("{run} has more than one row: {rows:#?}").into());
            }
        }
    }
    Ok(())
}
