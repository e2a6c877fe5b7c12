//! A PostgreSQL of one's own, on a Unix socket in a folder that goes with it.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, chown, geteuid};
use tempfile::TempDir;

use super::{Outcome, PATIENCE, Table};

pub struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    /// Who it runs as: PostgreSQL refuses to be root.
    user: User,
    server: Option<(Child, JoinHandle<()>)>,
}

const READY: &str = "ready to accept connections";

impl Cluster {
    /// Starts one, where its programs are; otherwise says that they are missing.
    pub fn start() -> Result<Option<Self>, Box<dyn Error>> {
        let Some(programs) = programs() else {
            eprintln!("SKIPPED: there is no PostgreSQL here (Debian's package postgresql)");
            return Ok(None);
        };
        let user = if geteuid().is_root() {
            User::from_name("postgres")?.ok_or("root needs a user named postgres to run it as")?
        } else {
            User::from_uid(geteuid())?.ok_or("this user has no name")?
        };
        let folder = tempfile::tempdir()?;
        chown(folder.path(), Some(user.uid), Some(user.gid))?;
        let mut cluster = Self { programs, folder, user, server: None };
        let data = cluster.data();
        let made = cluster
            .program("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "-D"])
            .arg(data)
            .stdout(Stdio::null())
            .status()?;
        if !made.success() {
            return Err(format!("initdb: {made}").into());
        }
        cluster.serve()?;
        Ok(Some(cluster))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        if geteuid().is_root() {
            command.uid(self.user.uid.as_raw()).gid(self.user.gid.as_raw());
        }
        command
    }

    /// Starts the server, and returns when it takes connections.
    fn serve(&mut self) -> Outcome {
        let mut server = self
            .program("postgres")
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path())
            .args(["-c", "listen_addresses=", "-c", "max_connections=50"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = BufReader::new(server.stderr.take().ok_or("it has a stderr")?);
        let (tell, ready): (_, Receiver<()>) = channel();
        let reader = thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if line.contains(READY) {
                    let _ = tell.send(());
                }
            }
        });
        self.server = Some((server, reader));
        ready.recv_timeout(PATIENCE).map_err(|_| "PostgreSQL did not start")?;
        Ok(())
    }

    pub fn table(&self) -> Table {
        let folder = self.folder.path().display();
        Table::postgres(&format!("host={folder} user=postgres dbname=postgres"))
    }

    pub fn say(&self, sql: &str) -> Outcome {
        let psql = self.program("psql");
        let mut psql = psql;
        let said =
            psql.arg("-h").arg(self.folder.path()).args(["-U", "postgres", "-qc", sql]).status()?;
        if said.success() { Ok(()) } else { Err(format!("psql: {said}").into()) }
    }

    /// Kills the database, and starts it again.
    pub fn crash(&mut self) -> Outcome {
        self.end(Signal::SIGKILL)?;
        self.serve()
    }

    fn end(&mut self, signal: Signal) -> Outcome {
        let Some((mut server, reader)) = self.server.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(server.id())?), signal)?;
        server.wait()?;
        // Its processes have its stderr: they are gone when that ends.
        reader.join().map_err(|_| "what reads from it has panicked")?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // An immediate shutdown: nobody needs the data any more.
        let _ = self.end(Signal::SIGQUIT);
    }
}

/// Where `initdb` is: Debian has it out of the way.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let mut folders = std::env::split_paths(&path).chain(debian.into_iter().rev());
    // What stands in the path may be links.
    let initdb = folders.find_map(|folder| fs::canonicalize(folder.join("initdb")).ok())?;
    let folder = initdb.parent()?;
    ["postgres", "psql"].iter().all(|name| folder.join(name).is_file()).then(|| folder.into())
}
