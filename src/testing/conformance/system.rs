//! The server under test, held against the model after every step, and at its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::checks::{check_counters, check_end, check_so_far, story};
use super::law::{Fault, Law};
use super::ledger::{Entry, What};
use super::machine::Machine;
use super::model::{End, Fate, Model, Once, Place, Setting};
use super::reach::Client;
use super::remains::Remains;
use super::schedule::Schedule;
use super::script::{LENGTH, Script};
use super::step::Step;
use super::watch::Watch;
use super::world::{Guest, World};
use crate::{Outcome, Stage, StopHandle};

/// A server, its clients, and the model of both.
struct System<L> {
    world: Arc<World>,
    machine: Box<dyn Machine<L>>,
    model: Model,
    handles: Vec<StopHandle>,
    /// Those who have gone away are none.
    clients: Vec<Option<Caller<L>>>,
    taken_once: usize,
    timeouts: usize,
}

/// How a machine is made for a schedule.
pub(super) type Make<L> =
    dyn Fn(&Arc<World>, &Setting) -> io::Result<Box<dyn Machine<L>>> + Send + Sync;

/// Plays a schedule. Where a law breaks, says how many steps it took.
///
/// `before` is what the process held before, where nobody else does anything in it.
pub(super) fn play<L: Client>(
    make: &Make<L>,
    schedule: &Schedule,
    watch: &Arc<Watch>,
    patience: Duration,
    before: Option<&Remains>,
) -> Result<(), (usize, Fault)> {
    let whole = schedule.steps.len();
    let mut system =
        System::start(make, schedule.setting, watch, patience).map_err(|fault| (0, fault))?;
    for (number, step) in schedule.steps.iter().enumerate() {
        // It may not be, where the transport had an error that the schedule does not know of.
        if !system.model.allows(*step) {
            continue;
        }
        system.model.step(*step);
        watch.step(&system.world, &system.model);
        let kept = system.step(*step).and_then(|()| system.check());
        kept.map_err(|fault| (number + 1, fault))?;
    }
    system.finish(before).map_err(|fault| (whole, fault))
}

impl<L: Client> System<L> {
    fn start(
        make: &Make<L>,
        setting: Setting,
        watch: &Arc<Watch>,
        patience: Duration,
    ) -> Result<Self, Fault> {
        let (panics, forks) = (setting.hooks_panic, setting.conduct.forks());
        let world = Arc::new(World::new(watch, patience, panics, forks)?);
        let machine = make(&world, &setting)?;
        let handles = vec![machine.handle()?];
        let model = Model::new(setting);
        let clients = Vec::new();
        Ok(Self { world, machine, model, handles, clients, taken_once: 0, timeouts: 0 })
    }

    /// The model is as it has to be afterwards.
    fn step(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Connect(script, _) => self.connect(script)?,
            Step::Send(client, end) => self.caller(client, |caller| caller.send(end))?,
            Step::HalfClose(client) => self.caller(client, Caller::half_close)?,
            Step::Abort(client) => self.clients[client].take().map_or(Ok(()), Caller::abort)?,
            Step::Await(client) => self.see_end(client)?,
            Step::TakeHandle => self.handles.push(self.machine.handle()?),
            Step::Stop(handle) => self.handles[handle].stop(),
            Step::Spawn => self.handles.push(self.machine.spawn()?),
            Step::StopByHandler => {
                self.connect(Script::Stops)?;
                self.see_end(self.model.clients.len() - 1)?;
            }
            Step::Join => self.machine.join()?,
            Step::Serve => self.serve()?,
            Step::HandleRequest => self.handle_request()?,
        }
        Ok(())
    }

    fn connect(&mut self, script: Script) -> io::Result<()> {
        let number = self.clients.len() + 1;
        let sent = self.model.clients[number - 1].sent;
        self.world.invite(Guest { client: number, script });
        let client = self.machine.connect()?;
        let mut caller = Caller::new(client, script, number, self.model.setting.kind.packet);
        caller.send(sent)?;
        self.clients.push(Some(caller));
        Ok(())
    }

    fn caller(
        &mut self,
        client: usize,
        run: impl FnOnce(&mut Caller<L>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.clients[client].as_mut().map_or(Ok(()), run)
    }

    fn serve(&mut self) -> Result<(), Fault> {
        let stopped = self.model.clients.len() == self.clients.len();
        if !stopped {
            self.connect(Script::Stops)?;
        }
        let last = self.clients.len();
        let (begun, served) = (Instant::now(), self.machine.serve_forever(stopped));
        // Where nobody has come to ask it to stop, that it goes on is right.
        let asked = stopped || self.has(last, What::Hook(Stage::Handle));
        if !asked && begun.elapsed() >= self.world.patience {
            return Err(self.never_closed(last));
        }
        served?;
        if !asked {
            // What has gone wrong before may have stopped it.
            self.check()?;
        }
        self.wait_for_workers()?;
        Law::LoopLives.holds(asked, || "serve_forever returned, and nobody had stopped it".into())
    }

    /// Waits until no worker takes requests any more: one that does although the session is over does
    /// not know of the clients that have come since.
    fn wait_for_workers(&self) -> Result<(), Fault> {
        let all_have_left = |entries: &[Entry]| {
            let begun = entries.iter().filter(|entry| entry.what == What::ChildInit);
            let left = |client| Entry { client, what: What::AfterFork };
            begun.into_iter().all(|entry| entries.contains(&left(entry.client)))
        };
        let ledger = &self.world.ledger;
        let left = self.model.setting.conduct.place != Place::Workers
            || ledger.wait_until(self.world.patience, all_have_left);
        Law::StopIsSeen.holds(left, || "workers go on when serve_forever has returned".into())
    }

    fn has(&self, client: usize, what: What) -> bool {
        self.world.ledger.entries().contains(&Entry { client, what })
    }

    fn see_end(&mut self, client: usize) -> Result<(), Fault> {
        let closed = Entry { client: client + 1, what: What::Closed };
        let patience = self.world.patience;
        if !self.world.ledger.wait_until(patience, |entries| entries.contains(&closed)) {
            return Err(self.never_closed(client + 1));
        }
        self.check_end(client)
    }

    /// Why a request has not come to its end.
    fn never_closed(&mut self, client: usize) -> Fault {
        if let Err(wrong) = self.check() {
            return wrong;
        }
        let story = story(&self.world.ledger.entries(), client);
        if !story.is_empty() {
            let what = format!("the request of client {client} was never closed: {}", list(&story));
            return Fault::Broken(Law::OnceEach, what);
        }
        if self.model.running && self.machine.has_ended() {
            let what = "the loop has ended, and nobody had stopped it".to_owned();
            return Fault::Broken(Law::LoopLives, what);
        }
        let what = format!("the request of client {client} was never taken");
        let law = if self.takes_another() { Law::Conservation } else { Law::LoopLives };
        Fault::Broken(law, what)
    }

    /// Whether the loop takes the request of one more client.
    fn takes_another(&mut self) -> bool {
        let (number, taken) = (self.clients.len() + 1, self.world.ledger.taken());
        let script = Script::Fine;
        self.world.invite(Guest { client: number, script });
        let Ok(client) = self.machine.connect() else { return false };
        let mut caller = Caller::new(client, script, number, self.model.setting.kind.packet);
        let said = caller.send(LENGTH);
        if !self.model.running {
            // Where that fails too, nothing more has been taken.
            let _ = self.machine.handle_request();
        }
        let ledger = &self.world.ledger;
        said.is_ok() && ledger.wait_until(self.world.patience / 4, |_| ledger.taken() > taken)
    }

    fn handle_request(&mut self) -> Result<(), Fault> {
        let (before, errors) = (self.world.ledger.taken(), self.world.errors.load(SeqCst));
        let outcome = self.machine.handle_request()?;
        let taken = self.world.ledger.taken() - before;
        self.taken_once += taken;
        self.timeouts += usize::from(outcome == Outcome::TimedOut);
        let entries = self.world.ledger.entries();
        let newest = entries.iter().rfind(|entry| entry.what == What::GetRequest);
        let client = newest.filter(|_| taken > 0).map(|entry| entry.client);
        if taken == 0 && self.world.errors.load(SeqCst) > errors {
            self.model.take_back();
        }
        let missed = matches!(self.model.once, Once::Taken(_)) && taken == 0;
        let stalled = missed && !self.takes_another();
        let (law, possible) = match self.model.once {
            Once::Taken(_) if stalled => (Law::LoopLives, 1..=1),
            Once::Taken(_) => (Law::Conservation, 1..=1),
            Once::Stopped => (Law::StopIsSeen, 0..=0),
            Once::TimedOut => (Law::Conservation, 0..=0),
            Once::Unknown => (Law::Conservation, 0..=1),
        };
        law.holds(possible.contains(&taken), || {
            format!("handle_request took {taken} requests, and had to take {possible:?}")
        })?;
        let expected = self.outcomes(client, &entries);
        Law::SameStory.holds(expected.contains(&outcome), || {
            format!("handle_request returned {outcome:?}, and had to return one of {expected:?}")
        })
    }

    /// What `handle_request` may have said of the request that it took.
    fn outcomes(&self, client: Option<usize>, entries: &[Entry]) -> Vec<Outcome> {
        let Some(client) = client else {
            let stopped = self.model.once == Once::Stopped;
            return vec![if stopped { Outcome::Stopped } else { Outcome::TimedOut }];
        };
        match self.model.clients.get(client.saturating_sub(1)).map(|peer| peer.script) {
            Some(Script::Rejected) => return vec![Outcome::Rejected],
            Some(Script::Fails(Stage::Verify, _)) => return vec![Outcome::Failed],
            _ => {}
        }
        if self.model.setting.refuses() {
            return vec![Outcome::Failed];
        }
        let failed = |what: &What| matches!(what, What::HandleError(..));
        match self.model.setting.conduct.inline {
            Some(false) => vec![Outcome::Handled],
            Some(true) if story(entries, client).iter().any(failed) => vec![Outcome::Failed],
            Some(true) => vec![Outcome::Handled],
            None => vec![Outcome::Handled, Outcome::Failed],
        }
    }

    /// What holds while requests are on their way.
    fn check(&self) -> Result<(), Fault> {
        check_so_far(&self.world, &self.model)
    }

    /// What holds for a request that is over.
    fn check_end(&mut self, client: usize) -> Result<(), Fault> {
        check_end(&self.world.ledger.entries(), &self.model, client)?;
        let (handled, patience) = (!self.model.setting.refuses(), self.world.patience);
        let caller = self.clients[client].as_mut();
        caller.map_or(Ok(()), |caller| caller.check_reply(handled, patience))
    }

    /// Ends the server, and checks what is left to be checked.
    fn finish(mut self, before: Option<&Remains>) -> Result<(), Fault> {
        for (client, peer) in self.clients.iter_mut().zip(&mut self.model.clients) {
            if !peer.is_decided(&self.model.setting) {
                *client = None;
                peer.end = End::Aborted;
            }
        }
        // Before anything is waited for: whoever looks into a hang has to know who is gone.
        self.world.watch.step(&self.world, &self.model);
        if self.model.running {
            if !self.model.stop {
                Law::LoopLives.holds(!self.machine.has_ended(), || {
                    "the loop has ended, and nobody had stopped it".into()
                })?;
                self.handles[self.model.handles.len() - 1].stop();
            }
            self.machine.join()?;
        }
        self.machine.close()?;
        self.check()?;
        self.check_ends()?;
        check_counters(&self.world, &self.model)?;
        self.check_hooks()?;
        self.check_remains(before)
    }

    /// Each request was taken as often as it had to be, and came to its end.
    fn check_ends(&mut self) -> Result<(), Fault> {
        let entries = self.world.ledger.entries();
        for index in 0..self.clients.len() {
            let story = story(&entries, index + 1);
            let times = story.iter().filter(|what| **what == What::GetRequest).count();
            let possible = match self.model.clients[index].fate {
                Fate::Done | Fate::Taken => 1..=1,
                Fate::Unknown => 0..=1,
                Fate::Queued => 0..=0,
            };
            Law::Conservation.holds(possible.contains(&times), || {
                let client = index + 1;
                format!("the request of client {client} was taken {times} times, not {possible:?}")
            })?;
            if times == 1 {
                self.check_end(index)?;
            }
        }
        Ok(())
    }

    /// The hooks that belong to no request.
    fn check_hooks(&self) -> Result<(), Fault> {
        let entries = self.world.ledger.entries();
        let count = |wanted| entries.iter().filter(|entry| entry.what == wanted).count();
        let forked = match self.model.setting.conduct.place {
            Place::Children => count(What::Hook(Stage::Establish)),
            Place::HalfInChildren => count(What::Begun),
            _ => 0,
        };
        let served = count(What::GetRequest) - self.taken_once;
        let wanted = [
            (Law::SameStory, What::CopyClosed, forked),
            // It is the loop's own: one that does not come to it has ended.
            (Law::LoopLives, What::ServiceActions, served),
            (Law::SameStory, What::HandleTimeout, self.timeouts),
        ];
        for (law, what, wanted) in wanted {
            let seen = count(what);
            law.holds(seen == wanted, || {
                format!("{what} was called {seen} times, and had to be {wanted} times")
            })?;
        }
        Ok(())
    }

    /// Nothing is left, in this process or beside it.
    fn check_remains(self, before: Option<&Remains>) -> Result<(), Fault> {
        let Self { world, machine, handles, clients, .. } = self;
        let left = machine.remains()?;
        Law::NothingRemains.holds(left.is_empty(), || format!("left: {}", left.join(", ")))?;
        drop((machine, handles, clients));
        let until = Instant::now() + world.patience;
        while Arc::strong_count(&world) > 1 && Instant::now() < until {
            thread::yield_now();
        }
        Law::NothingRemains.holds(Arc::strong_count(&world) == 1, || {
            "somebody still holds the handler, the transport or a request".into()
        })?;
        let patience = world.patience;
        drop(world);
        let left = before.map_or(Ok(None), |before| Remains::since(before, patience))?;
        Law::NothingRemains.holds(left.is_none(), || format!("left:{}", left.unwrap_or_default()))
    }
}

/// What happened, on one line.
pub(super) fn list(story: &[What]) -> String {
    Vec::from_iter(story.iter().map(What::to_string)).join(", ")
}
