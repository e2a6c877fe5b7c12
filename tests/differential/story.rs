//! One run on one side: starts its server, talks to it, and tells what could be seen.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::{fmt, io};

use wait_timeout::ChildExt;

use crate::peer::{self, Client};
use crate::scenario::{Peer, Run};

/// Far beyond what any run needs, so that only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);
/// Says to this test binary that it is the server.
pub const AS_SERVER: &str = "SOCKETSERVER_DIFFERENTIAL_SERVER";

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// The hooks of the first request in the serve loop: its process, and its thread.
    InLoop,
    /// Those elsewhere.
    InWorker,
    /// What the first peer received, and how its connection ended.
    Wire,
    /// Whether the second request was served.
    Next,
    /// Its hooks, where it was.
    NextHooks,
    /// How `serve_forever` ended.
    End,
}

impl Aspect {
    pub const ALL: [Self; 6] =
        [Self::InLoop, Self::InWorker, Self::Wire, Self::Next, Self::NextHooks, Self::End];
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InLoop => "hooks in the loop",
            Self::InWorker => "hooks in the worker",
            Self::Wire => "on the wire",
            Self::Next => "the next request",
            Self::NextHooks => "its hooks",
            Self::End => "serve_forever",
        })
    }
}

/// What one side did in one run.
pub type Story = BTreeMap<Aspect, String>;

/// A side.
#[derive(Debug, Clone)]
pub enum Side {
    Rust,
    Python(PathBuf),
}

impl Side {
    fn command(&self) -> io::Result<Command> {
        match self {
            Self::Rust => {
                let mut command = Command::new(env::current_exe()?);
                command.env(AS_SERVER, "1");
                Ok(command)
            }
            Self::Python(interpreter) => {
                let mut command = Command::new(interpreter);
                // Nothing of the environment or of other packages gets in.
                command.args(["-I", "-S"]);
                command.arg(
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/server.py"),
                );
                Ok(command)
            }
        }
    }

    /// Runs it.
    pub fn tell(&self, run: Run) -> Result<Story, Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let (trace, stderr) = (dir.path().join("trace"), dir.path().join("stderr"));
        fs::write(&trace, "")?;
        let mut server = self
            .command()?
            .args([run.transport.to_string(), run.strategy.to_string()])
            .arg(run.scenario.directives)
            .arg(&trace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&stderr)?)
            .spawn()?;
        let watched = watch(&mut server, run);
        if watched.is_err() {
            server.kill()?;
            server.wait()?;
        }
        let explain = |error: Box<dyn Error>| {
            let said = fs::read_to_string(&stderr).unwrap_or_default();
            format!("{self:?}: {error}; on stderr:\n{said}")
        };
        let (status, wires) = watched.map_err(explain)?;
        if !status.success() {
            return Err(explain(status.to_string().into()).into());
        }
        compose(&fs::read_to_string(&trace)?, run, wires)
    }
}

/// From the server's first word to its end, and what the two peers saw of it.
fn watch(server: &mut Child, run: Run) -> Result<(ExitStatus, [String; 2]), Box<dyn Error>> {
    let address = listening(server)?;
    let start = |index, peer| Client::start(run.transport, address, index, peer, LIMIT);
    let first = start(0, run.scenario.peer)?;
    peer::settle(LIMIT)?;
    let second = start(1, Peer::Asks)?;
    peer::settle(LIMIT)?;
    let mut stdin = server.stdin.take().ok_or("no stdin")?;
    stdin.write_all(b"serve\n")?;
    let status = server.wait_timeout(LIMIT)?.ok_or_else(|| format!("hangs after {LIMIT:?}"))?;
    peer::settle(LIMIT)?;
    Ok((status, [first.end()?, second.end()?]))
}

fn listening(server: &mut Child) -> Result<SocketAddr, Box<dyn Error>> {
    let stdout = server.stdout.take().ok_or("no stdout")?;
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        // Without a bound a server that talks nonsense would be listened to for ever.
        let read = BufReader::new(stdout.take(1024)).read_line(&mut line);
        let _ = send.send(read.map(|_| line));
    });
    let line = lines.recv_timeout(LIMIT)??;
    let address = line.trim_end().strip_prefix("LISTENING ");
    Ok(address.ok_or_else(|| format!("it does not listen, it said {line:?}"))?.parse()?)
}

fn compose(trace: &str, run: Run, wires: [String; 2]) -> Result<Story, Box<dyn Error>> {
    let hooks = |number: &str, place: &str| {
        let wanted = format!("{number} {place} ");
        let found: Vec<_> = trace.lines().filter_map(|line| line.strip_prefix(&wanted)).collect();
        if found.is_empty() { "none".to_owned() } else { found.join(", ") }
    };
    let known = |line: &&str| ["0 loop ", "1 ", "2 "].iter().any(|start| line.starts_with(start));
    if let Some(line) = trace.lines().find(|line| !known(line)) {
        return Err(format!("the trace has a line that nobody knows: {line:?}").into());
    }
    let [first, second] = wires;
    let mut story = Story::from([
        (Aspect::InLoop, hooks("1", "loop")),
        (Aspect::InWorker, hooks("1", "worker")),
        (Aspect::Wire, first),
        (Aspect::End, hooks("0", "loop")),
    ]);
    let next_hooks = format!("{}; {}", hooks("2", "loop"), hooks("2", "worker"));
    if next_hooks == "none; none" {
        story.insert(Aspect::Next, "not served".into());
    } else {
        let is_served = second == peer::served(run.transport);
        story.insert(Aspect::Next, if is_served { "served".into() } else { second });
        story.insert(Aspect::NextHooks, next_hooks);
    }
    Ok(story)
}
