//! Requests that come over a channel, handled in processes of their own.

mod support;

use std::error::Error;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::process::{self, ExitCode};
use std::sync::OnceLock;
use std::sync::mpsc::TrySendError;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use socketserver::{
    Channel, ChannelRequest, Forking, Handler, Next, Outcome, Sender, Server, StopHandle, Sync,
    Transport,
};
use support::alone::{self, Case};
use support::net::PATIENCE;

const CASES: [Case; 4] = [
    ("each_job_has_a_process", each_job_has_a_process),
    ("a_child_stops_the_server_that_waits", a_child_stops_the_server),
    ("a_sender_in_a_child_gives_the_job_back", a_sender_in_a_child),
    ("a_channel_in_a_fork_of_the_application_is_at_its_end", in_a_fork_of_the_application),
];

fn main() -> ExitCode {
    alone::run(&CASES)
}

/// Tells which process has which job; where there is one, stops the server after the last.
struct Telling {
    tells: UnixDatagram,
    stop: OnceLock<StopHandle>,
    sender: Option<Sender<u32>>,
}

const LAST: u32 = 9;

impl Handler<ChannelRequest<u32>> for Telling {
    fn handle(&self, job: &mut ChannelRequest<u32>) -> io::Result<Next> {
        let sent = match &self.sender {
            None => "none",
            Some(sender) => match sender.try_send(**job) {
                Err(TrySendError::Disconnected(back)) if back == **job => "back",
                _ => "lost",
            },
        };
        self.tells.send(format!("{} {} {sent}", **job, process::id()).as_bytes())?;
        if **job == LAST {
            self.stop.get().into_iter().for_each(StopHandle::stop);
        }
        Ok(Next::Done)
    }
}

fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
    let (tells, told) = UnixDatagram::pair()?;
    told.set_read_timeout(Some(PATIENCE))?;
    Ok((tells, told))
}

/// The next job's number, its process, and what became of what it sent.
fn hear(told: &UnixDatagram) -> Result<(u32, u32, String), Box<dyn Error>> {
    let mut bytes = [0; 64];
    let length = told.recv(&mut bytes)?;
    let text = std::str::from_utf8(&bytes[..length])?;
    let mut words = text.split(' ');
    let mut next = || words.next().unwrap_or_default();
    Ok((next().parse()?, next().parse()?, next().to_owned()))
}

fn each_job_has_a_process() -> Result<(), Box<dyn Error>> {
    let ((tells, told), (sender, channel)) = (pair()?, Channel::bounded(20)?);
    let telling = Telling { tells, stop: OnceLock::new(), sender: None };
    let mut server = Server::new(channel, Forking::new().max_children(2)?, telling)?;
    (0..5).try_for_each(|job| sender.send(job))?;
    drop(sender);
    // It ends by itself.
    server.serve_forever()?;
    server.close()?;
    let heard: Vec<_> = (0..5).map(|_| hear(&told)).collect::<Result<_, _>>()?;
    let mut jobs: Vec<_> = heard.iter().map(|(job, ..)| *job).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, [0, 1, 2, 3, 4]);
    assert!(heard.iter().all(|(_, process, _)| *process != process::id()));
    Ok(())
}

fn a_child_stops_the_server() -> Result<(), Box<dyn Error>> {
    let ((tells, told), (sender, channel)) = (pair()?, Channel::bounded(20)?);
    let telling = Telling { tells, stop: OnceLock::new(), sender: None };
    let mut server = Server::new(channel, Forking::new(), telling)?;
    let _ = server.handler().stop.set(server.stop_handle());
    sender.send(LAST)?;
    // There is a sender still, and no job: it is the child that ends the wait.
    server.serve_forever()?;
    assert_eq!(hear(&told)?.0, LAST);
    assert!(sender.send(1).is_ok(), "the server is not closed");
    server.close()?;
    Ok(())
}

fn a_sender_in_a_child() -> Result<(), Box<dyn Error>> {
    let ((tells, told), (sender, channel)) = (pair()?, Channel::bounded(20)?);
    let telling = Telling { tells, stop: OnceLock::new(), sender: Some(sender.clone()) };
    let mut server = Server::new(channel, Forking::new(), telling)?;
    sender.send(1)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(hear(&told)?.2, "back");
    server.close()?;
    Ok(())
}

fn in_a_fork_of_the_application() -> Result<(), Box<dyn Error>> {
    let (sender, channel) = Channel::bounded(20)?;
    sender.send(1)?;
    #[expect(unsafe_code, reason = "an application that forks")]
    // SAFETY: this process has one thread.
    let forked = unsafe { fork() }?;
    match forked {
        ForkResult::Child => {
            let is_over = channel.get_request().is_ok_and(|job| job.is_none());
            let mut server = Server::new_fn(channel, Sync, |_job| Ok(()))?;
            let ended = server.serve_forever().is_ok();
            process::exit(if is_over && ended && sender.send(2).is_err() { 0 } else { 1 });
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
        }
    }
    // Nothing is missing here, or there twice.
    assert_eq!(channel.get_request()?.map(ChannelRequest::into_inner), Some(1));
    let none = channel.get_request().map_err(|error| error.kind());
    assert_eq!(none, Err(ErrorKind::WouldBlock));
    Ok(())
}
