//! The same scripts on CPython's `socketserver` and on this crate: the hooks, in their order and
//! place, and the bytes on the wire have to be the same, but for what `expected.rs` lists. A
//! difference that is not listed fails, and so does one that is listed and not there.
//!
//! The interpreter (3.7 or later) is `python3`, or what `SOCKETSERVER_PYTHON` says. Where there is no `python3`,
//! nothing is compared, and every trial says that it was ignored.

#![expect(unreachable_pub, reason = "the modules of a test binary have no outside")]

mod expected;
mod peer;
mod rust_side;
mod scenario;
mod story;

use std::env;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

use expected::{DIFFERENCES, Difference};
use scenario::{Run, runs};
use story::{AS_SERVER, Aspect, Side, Story};

const PYTHON: &str = "SOCKETSERVER_PYTHON";
const WHO: &str = "
import sys
if sys.version_info < (3, 7):
    sys.exit('Python 3.7 or later is needed, whose servers wait for their children')
print(sys.executable)
print(*sys.version_info[:3], sep='.')
";

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

/// The interpreter, and what it calls itself.
#[derive(Debug, Clone)]
enum Python {
    Found {
        interpreter: PathBuf,
        version: String,
    },
    /// Nobody asked for a particular one, and there is none.
    Missing(String),
    /// The one that was asked for is none.
    Unusable(String),
}

impl Python {
    fn find() -> Self {
        let asked = env::var(PYTHON).ok();
        let name = asked.as_deref().unwrap_or("python3");
        match Self::ask(name) {
            Ok(found) => found,
            Err(why) if asked.is_some() => Self::Unusable(format!("{PYTHON}={name}: {why}")),
            Err(why) => Self::Missing(format!("{name}: {why}")),
        }
    }

    /// Asks for the file itself, as `name` may be a script that looks for it each time.
    fn ask(name: &str) -> Result<Self, String> {
        let output = Command::new(name).args(["-I", "-c", WHO]).output();
        let output = output.map_err(|error| error.to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {}", output.status, said.trim_end()));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        match said.lines().collect::<Vec<_>>()[..] {
            [interpreter, version] if !interpreter.is_empty() => {
                Ok(Self::Found { interpreter: interpreter.into(), version: version.into() })
            }
            _ => Err(format!("it said {said:?}")),
        }
    }

    fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    fn report(&self) -> String {
        match self {
            Self::Found { interpreter, version } => {
                format!("compared with Python {version}, {}", interpreter.display())
            }
            Self::Missing(why) => format!(
                "NOT RUN, nothing is compared with Python: {why}; install python3, or name an \
                 interpreter in {PYTHON}"
            ),
            Self::Unusable(why) => format!("can't be compared with Python: {why}"),
        }
    }
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

/// Each row can be found wanting: some run looks at it, and no other row hides it there.
fn table_is_sound() -> Result<(), Failed> {
    let unused = DIFFERENCES.iter().find(|row| !runs().any(|run| row.concerns(run)));
    if let Some(row) = unused {
        return Err(format!("no run is concerned by {row:#?}").into());
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
