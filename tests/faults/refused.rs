//! More requests than the system has threads or processes for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::cgroup::Cgroup;
use crate::footprint::until;
use crate::served::{LIMIT, Served, Tested};
use crate::subject::{self, Held};
use crate::trials::{Need, OTHER_USER, trial};

/// So many requests are there threads or processes for, and so many clients come.
const ROOM: usize = 11;
const CLIENTS: usize = 20;

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = Vec::new();
    for (strategy, user) in [("threading", "65002"), ("forking", "65003")] {
        all.push(trial(format!("{strategy}_where_the_group_is_full"), &[Need::PidsGroup], || {
            in_a_group(strategy)
        }));
        let needs = [OTHER_USER, Need::Ours];
        all.push(trial(format!("{strategy}_where_the_user_may_have_no_more"), &needs, || {
            as_a_user(strategy, user)
        }));
    }
    all
}

/// Whether a thread waits for the next request that has none.
fn waits(strategy: &str) -> bool {
    strategy == "threading" && !subject::is_foreign()
}

/// By the controller of pids; see cgroups(7).
fn in_a_group(strategy: &str) -> Tested<String> {
    let group = Cgroup::new(strategy)?;
    let server = subject::start(&[], strategy, "echo")?;
    let process = subject::process(&server);
    group.add(process)?;
    if waits(strategy) {
        until("one waits", LIMIT, || Ok(process.threads()? == 2))?;
    }
    group.limit(process.threads()? + ROOM)?;
    crowd(&server)
}

/// By `RLIMIT_NPROC`, which is for all that a user runs; root has no such limit.
fn as_a_user(strategy: &str, user: &str) -> Tested<String> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let program = folder.path().join("serve");
    fs::copy(crate::served::program()?, &program)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "prlimit"]);
    // One serves.
    let most = ROOM + 1 + usize::from(waits(strategy));
    command.arg(format!("--nproc={most}")).arg(program).current_dir("/");
    command.args(["--strategy", strategy, "--mode", "echo", "--addr", "127.0.0.1:0"]);
    crowd(&Served::run(&mut command)?)
}

/// As many are served as there is room for, the others see the end at once; when the first have
/// gone, there is room again.
fn crowd(server: &Served) -> Tested<String> {
    let process = subject::process(server);
    let alone = process.in_hand()?;
    let mut clients: Vec<Held> =
        (0..CLIENTS).map(|_| Held::open(&server.address)).collect::<Tested<_>>()?;
    let (served, closed, ignored) = subject::fates(&mut clients, Duration::from_secs(2))?;
    drop(clients);
    let gone = until("the requests end", LIMIT, || Ok(process.in_hand()? <= alone));

    let mut clients: Vec<Held> =
        (0..ROOM).map(|_| Held::open(&server.address)).collect::<Tested<_>>()?;
    let (again, ..) = subject::fates(&mut clients, Duration::from_secs(2))?;
    let figures = format!(
        "of {CLIENTS}, with room for {ROOM}: {served} served, {closed} closed, {ignored} ignored; \
         of {ROOM} later ones {again} served"
    );
    gone.map_err(|error| format!("{error}; {figures}"))?;
    if (served, closed, again) == (ROOM, CLIENTS - ROOM, ROOM) {
        Ok(figures)
    } else {
        Err(figures.into())
    }
}
