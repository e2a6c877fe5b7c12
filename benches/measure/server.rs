//! A server in a process of its own, from outside.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::clock_getcpuclockid;
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::generator::{Generator, Until};
use super::machine::Machine;
use crate::support::Fallible;
use crate::support::client::Address;
use crate::support::role::Role;

/// One that runs. Dropped before it has been stopped, it is killed.
#[derive(Debug)]
pub struct Server {
    pub role: Role,
    pub address: Address,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    pub fn start(role: Role, machine: &Machine) -> Fallible<Self> {
        let mut command = role.command(&[])?;
        command.stdout(Stdio::piped());
        let mut child = machine.on_servers(|| command.spawn())??;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        let address = lines.next().ok_or("the server says no address")??;
        let address = match address.parse() {
            Ok(address) => Address::Ip(address),
            Err(_) => Address::Path(address.into()),
        };
        Ok(Self { role, address, child, lines })
    }

    fn pid(&self) -> Fallible<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }

    /// The processor time of the server so far: of its threads, the ended ones too, and of
    /// processes that serve for it, to the nanosecond (`clock_getcpuclockid(3)`); of the children it
    /// has reaped, in the ticks of proc(5), ten milliseconds as a rule.
    pub fn processor_time(&self) -> Fallible<Duration> {
        let own = Duration::from(clock_getcpuclockid(self.pid()?)?.now()?);
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("what stat is this?")?;
        let ticks = |at: usize| -> Fallible<u64> {
            Ok(fields.split_whitespace().nth(at).ok_or("a short stat")?.parse()?)
        };
        // cutime and cstime are the 16th and 17th, and the two before the bracket are gone.
        let ticks = ticks(13)? + ticks(14)?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.ok_or("no length of a tick")?;
        let ended = Duration::from_secs_f64(ticks as f64 / per_second as f64);
        if !self.role.strategy.serves_elsewhere() {
            return Ok(own + ended);
        }
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id()))?;
        let clock = |child: &str| -> Fallible<Duration> {
            Ok(clock_getcpuclockid(Pid::from_raw(child.parse()?))?.now()?.into())
        };
        let living: Duration =
            children.split_whitespace().map(clock).sum::<Fallible<Duration>>()?;
        Ok(own + ended + living)
    }

    /// What it costs to ask it: the processor time of a request in microseconds, and how many
    /// requests there have been.
    pub fn cost(&self, generator: &mut Generator, until: Until) -> Fallible<(f64, usize)> {
        let before = self.processor_time()?;
        let count = generator.run(until)?.latencies.len();
        let spent = self.processor_time()? - before;
        Ok((spent.as_secs_f64() * 1e6 / count as f64, count))
    }

    /// How much of its memory is resident, in bytes.
    pub fn resident(&self) -> Fallible<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: u64 = line.ok_or("no VmRSS")?.trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// Ends it; returns the processor time it says to have used for its serving, from
    /// getrusage(2): that of its threads, and of the children it has reaped, which are all.
    pub fn stop(mut self) -> Fallible<Duration> {
        kill(self.pid()?, Signal::SIGTERM)?;
        let micros = self.lines.next().ok_or("the server says no processor time")??.parse()?;
        let status = self.child.wait()?;
        if status.success() { Ok(Duration::from_micros(micros)) } else { Err(self.failed(&status)) }
    }

    fn failed(&self, how: &dyn std::fmt::Display) -> Box<dyn std::error::Error> {
        format!("{}: {how}", self.role).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left to kill where it has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
