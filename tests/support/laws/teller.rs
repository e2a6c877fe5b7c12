//! The handler under test: it does what the request's script says, and tells the ledger.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use socketserver::{Begun, Event, Failure, Handler, InHalves, Next, ReadLine, Stage, StopHandle};

use super::script::{Script, handle_error, name_of};
use super::watched::{Inner, Visit};
use super::world::World;
use super::{WATCHDOG, panic_if};

pub struct Teller {
    pub world: Arc<World>,
    pub stop: StopHandle,
    /// Whether the hooks that belong to no request, and `handle_error`, panic after their work.
    pub hooks_panic: bool,
    /// When the case began.
    pub since: Instant,
}

const LONGEST: usize = 64;

impl Teller {
    fn tell(&self, event: &str) {
        self.world.ledger.record(0, 0, event);
        panic_if(self.hooks_panic);
    }
}

impl<R: Inner> Handler<Visit<R>> for Teller {
    fn verify_request(&self, visit: &Visit<R>) -> io::Result<bool> {
        visit.record(name_of(Stage::Verify));
        let script = visit.announced();
        script.act(Stage::Verify)?;
        Ok(script != Script::Rejected)
    }

    fn setup(&self, visit: &mut Visit<R>) -> io::Result<()> {
        visit.record(name_of(Stage::Setup));
        let word = line(visit)?;
        let script = Script::parse(&word).ok_or(ErrorKind::InvalidData)?;
        visit.heard = Some(script);
        script.act(Stage::Setup)
    }

    fn handle(&self, visit: &mut Visit<R>) -> io::Result<Next> {
        self.both_halves(visit)
    }

    fn finish(&self, visit: &mut Visit<R>) -> io::Result<()> {
        visit.record(name_of(Stage::Finish));
        visit.heard.map_or(Ok(()), |script| script.act(Stage::Finish))
    }

    fn handle_error(&self, visit: &mut Visit<R>, failure: &Failure) {
        visit.record(&handle_error(failure.stage(), failure.kind()));
        panic_if(self.hooks_panic);
    }

    fn event(&self, event: Event) {
        self.world.events.record(0, 0, &format!("{event:?}"));
        panic_if(self.hooks_panic);
    }

    fn child_init(&self) {
        self.world.close_ends();
    }

    fn handle_timeout(&self) {
        self.tell("handle_timeout");
    }

    fn service_actions(&self) {
        if self.since.elapsed() >= WATCHDOG {
            self.world.overdue.store(true, SeqCst);
            self.stop.stop();
        }
        self.tell("service_actions");
    }
}

/// The message is heard where it comes in, and answered where that may be somewhere else.
impl<R: Inner> InHalves<Visit<R>> for Teller {
    type Rest = Vec<u8>;

    fn begin(&self, visit: &mut Visit<R>) -> io::Result<Begun<Vec<u8>>> {
        visit.record(name_of(Stage::Handle));
        let body = line(visit)?;
        self.world.handed_over.fetch_add(1, SeqCst);
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
fn line<R: Inner>(visit: &mut Visit<R>) -> io::Result<String> {
    let mut line = String::new();
    visit.read_line_bounded(&mut line, LONGEST)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}
