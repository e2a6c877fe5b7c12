//! The trials, and what each needs.

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Failed, Trial};

use crate::cgroup::Cgroup;
use crate::served::Tested;
use crate::{
    crowd, cut, cycles, errors, flood, killed, network, refused, silent, slow, storm, subject,
    trickle,
};

/// What a trial cannot do without.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// A program that can do what its arguments say.
    Tool(&'static [&'static str]),
    /// A group of processes whose number can be limited.
    PidsGroup,
    /// The server of this crate, and no other in its place.
    Ours,
}

pub(crate) const STRACE: Need = Need::Tool(&["strace", "-qq", "-o", "/dev/null", "true"]);
pub(crate) const PRLIMIT: Need = Need::Tool(&["prlimit", "--nofile=64:64", "true"]);
pub(crate) const OTHER_USER: Need =
    Need::Tool(&["setpriv", "--reuid=65001", "--regid=65001", "--clear-groups", "true"]);
pub(crate) const NAMESPACE: Need =
    Need::Tool(&["unshare", "--net", "ip", "link", "set", "lo", "up"]);
pub(crate) const FIREWALL: Need =
    Need::Tool(&["unshare", "--net", "nft", "add", "table", "inet", "t"]);
pub(crate) const SS: Need = Need::Tool(&["unshare", "--net", "ss", "-K", "dst", "127.0.0.1"]);
pub(crate) const SLOWHTTPTEST: Need = Need::Tool(&["which", "slowhttptest"]);

impl Need {
    /// What is lacking, if it is.
    fn lack(self) -> Option<String> {
        match self {
            Self::Tool(words) => {
                let mut command = Command::new(words[0]);
                command.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null());
                let works = command.status().is_ok_and(|status| status.success());
                (!works).then(|| format!("`{}` fails here", words.join(" ")))
            }
            Self::PidsGroup => Cgroup::new("probe").err().map(|error| error.to_string()),
            Self::Ours => subject::is_foreign().then(|| "another server stands here".to_owned()),
        }
    }
}

/// What has been measured.
static FIGURES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A trial that notes the figures it returns.
pub(crate) fn trial<F>(name: impl Into<String>, needs: &[Need], run: F) -> Trial
where
    F: FnOnce() -> Tested<String> + Send + 'static,
{
    let name = name.into();
    let lack = needs.iter().find_map(|need| need.lack());
    let noted = name.clone();
    let trial = Trial::test(name, move || {
        let figures = run().map_err(|error| Failed::from(error.to_string()))?;
        let figures = format!("{noted}: {figures}");
        FIGURES.lock().unwrap_or_else(PoisonError::into_inner).push(figures);
        Ok(())
    });
    trial.with_ignored_flag(lack.is_some()).with_kind(lack.unwrap_or_default())
}

/// Prints what has been measured.
pub(crate) fn print_figures() {
    for line in FIGURES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("{line}");
    }
}

pub(crate) fn all() -> Vec<Trial> {
    let modules = [
        errors::trials(),
        storm::trials(),
        refused::trials(),
        killed::trials(),
        crowd::trials(),
        cut::trials(),
        cycles::trials(),
        flood::trials(),
        network::trials(),
        silent::trials(),
        slow::trials(),
        trickle::trials(),
    ];
    modules.into_iter().flatten().collect()
}
