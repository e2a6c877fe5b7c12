//! Which Python it is compared with.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const PYTHON: &str = "SOCKETSERVER_PYTHON";
/// Asks for the file itself, as the name may be that of a script that looks for it each time.
const WHO: &str = "
import sys
if sys.version_info < (3, 7):
    sys.exit('Python 3.7 or later is needed, whose servers wait for their children')
print(sys.executable)
print(*sys.version_info[:3], sep='.')
";

/// The interpreter, and what it calls itself.
#[derive(Debug, Clone)]
pub enum Python {
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
    pub fn find() -> Self {
        let asked = env::var(PYTHON).ok();
        let name = asked.as_deref().unwrap_or("python3");
        match Self::ask(name) {
            Ok(found) => found,
            Err(why) if asked.is_some() => Self::Unusable(format!("{PYTHON}={name}: {why}")),
            Err(why) => Self::Missing(format!("{name}: {why}")),
        }
    }

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

    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    pub fn report(&self) -> String {
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
