//! The handler under test: it does what the request's script says, and tells the ledger.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::ledger::What;
use super::script::{Script, panic_if};
use super::watched::Visit;
use super::world::{World, this_process};
use crate::{Begun, Event, Failure, Handler, InHalves, Next, ReadLine, Request, Stage, StopHandle};

/// The kit's own handler, which a mixin under test wraps: it does to each request what the schedule
/// says, and notes each hook that is called.
pub struct Teller {
    world: Arc<World>,
    stop: StopHandle,
}

const LONGEST: usize = 64;

impl Teller {
    pub(super) fn new(world: Arc<World>, stop: StopHandle) -> Self {
        Self { world, stop }
    }

    fn tell(&self, what: What) {
        self.world.ledger.record(0, what);
        panic_if(self.world.hooks_panic);
    }
}

impl<R: Request + BufRead + Write> Handler<Visit<R>> for Teller {
    fn verify_request(&self, visit: &Visit<R>) -> io::Result<bool> {
        visit.record(What::Hook(Stage::Verify));
        visit.guest.script.act(Stage::Verify)?;
        Ok(visit.guest.script != Script::Rejected)
    }

    fn setup(&self, visit: &mut Visit<R>) -> io::Result<()> {
        visit.record(What::Hook(Stage::Setup));
        let word = line(visit)?;
        let script = Script::parse(&word).ok_or(ErrorKind::InvalidData)?;
        visit.heard = Some(script);
        if script != visit.guest.script {
            visit.record(What::Mistaken);
        }
        script.act(Stage::Setup)
    }

    fn handle(&self, visit: &mut Visit<R>) -> io::Result<Next> {
        self.both_halves(visit)
    }

    fn finish(&self, visit: &mut Visit<R>) -> io::Result<()> {
        visit.record(What::Hook(Stage::Finish));
        visit.heard.map_or(Ok(()), |script| script.act(Stage::Finish))
    }

    fn handle_error(&self, visit: &mut Visit<R>, failure: &Failure) {
        visit.record(What::HandleError(failure.stage(), failure.kind()));
        panic_if(self.world.hooks_panic);
    }

    fn event(&self, event: Event) {
        self.tell(What::Event(event));
    }

    fn child_init(&self) {
        self.world.ledger.record(this_process(), What::ChildInit);
    }

    fn handle_timeout(&self) {
        self.tell(What::HandleTimeout);
    }

    fn service_actions(&self) {
        if self.world.forks && self.world.since.elapsed() >= self.world.patience {
            self.world.overdue.store(true, SeqCst);
            self.stop.stop();
        }
        self.tell(What::ServiceActions);
    }

    fn get_request_failed(&self, _error: &io::Error) {
        panic_if(self.world.hooks_panic);
    }
}

/// The message is heard where it comes in, and answered where that may be somewhere else.
impl<R: Request + BufRead + Write> InHalves<Visit<R>> for Teller {
    type Rest = Vec<u8>;

    fn begin(&self, visit: &mut Visit<R>) -> io::Result<Begun<Vec<u8>>> {
        visit.record(What::Hook(Stage::Handle));
        let body = line(visit)?;
        if body.parse() != Ok(visit.guest.client) {
            visit.record(What::Mistaken);
        }
        self.world.ledger.record(0, What::Begun);
        Ok(Begun::InChild(body.into()))
    }

    fn finish_in_child(&self, visit: &mut Visit<R>, body: Vec<u8>) -> io::Result<Next> {
        let script = visit.heard.ok_or(ErrorKind::InvalidData)?;
        script.act(Stage::Handle)?;
        if script == Script::Stops {
            self.stop.stop();
        }
        visit.write_all(&body)?;
        Ok(Next::Done)
    }
}

/// The next line without its end; a peer that went away in the middle of it is an error.
fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line_bounded(&mut line, LONGEST)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}
