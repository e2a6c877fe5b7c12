//! The server under test, held against the model after every step, and at its end.

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use socket2::SockAddr;
use socketserver::{Event, FailureKind, Outcome, Refusal, Stage, StopHandle};

use super::client::{Client, LENGTH};
use super::hush_scripted_panics;
use super::ledger::Entry;
use super::mixin::Mixin;
use super::model::{End, Fate, Model, Once, Transition};
use super::remains::{Remains, reap_leftovers};
use super::rig::{Rig, build};
use super::script::{Script, name_of};
use super::world::{Guest, World};

pub struct System {
    before: Remains,
    world: Arc<World>,
    rig: Box<dyn Rig>,
    address: SockAddr,
    handles: Vec<StopHandle>,
    /// Those who have gone away are none.
    clients: Vec<Option<Client>>,
    taken_once: usize,
    timeouts: usize,
}

impl System {
    fn start(model: &Model) -> io::Result<Self> {
        hush_scripted_panics();
        reap_leftovers();
        let before = Remains::now()?;
        let world = Arc::new(World::new()?);
        let rig = build(&world, &model.setting)?;
        let (address, handles) = (rig.address(), vec![rig.handle()]);
        let clients = Vec::new();
        Ok(Self { before, world, rig, address, handles, clients, taken_once: 0, timeouts: 0 })
    }

    /// `model` is as it has to be afterwards.
    fn step(&mut self, model: &Model, transition: &Transition) -> io::Result<()> {
        match *transition {
            Transition::Connect(script, _) => self.connect(model, script)?,
            Transition::Send(client, end) => self.client(client).send(end)?,
            Transition::HalfClose(client) => self.client(client).half_close()?,
            Transition::Abort(client) => {
                self.clients[client].take().map_or(Ok(()), Client::abort)?;
            }
            Transition::Await(client) => self.see_end(model, client),
            Transition::TakeHandle => self.handles.push(self.rig.handle()),
            Transition::Stop(handle) => self.handles[handle].stop(),
            Transition::Spawn => self.handles.push(self.rig.spawn()),
            Transition::StopByHandler => {
                self.connect(model, Script::Stops)?;
                self.see_end(model, model.clients.len() - 1);
            }
            Transition::Join => self.rig.join(),
            Transition::Serve => {
                if model.clients.len() > self.clients.len() {
                    self.connect(model, Script::Stops)?;
                }
                self.rig.serve_forever();
            }
            Transition::HandleRequest => self.handle_request(model),
        }
        Ok(())
    }

    fn connect(&mut self, model: &Model, script: Script) -> io::Result<()> {
        let guest = Guest { client: self.clients.len() + 1, script };
        let peer = &model.clients[self.clients.len()];
        let mut client = Client::connect(&self.world, model.setting.wire, &self.address, guest)?;
        client.send(peer.sent)?;
        self.clients.push(Some(client));
        Ok(())
    }

    fn client(&mut self, client: usize) -> &mut Client {
        self.clients[client].as_mut().unwrap()
    }

    fn see_end(&self, model: &Model, client: usize) {
        let is_closed = |entry: &Entry| entry.client == client + 1 && entry.event == "closed";
        let closed = self.world.ledger.wait_until(|entries| entries.iter().any(is_closed));
        let entries = self.world.ledger.entries();
        assert!(closed, "the request of client {} was never closed: {entries:?}", client + 1);
        self.check_end(model, client, &entries);
    }

    fn handle_request(&mut self, model: &Model) {
        let before = self.world.taken.load(SeqCst);
        let outcome = self.rig.handle_request();
        let taken = self.world.taken.load(SeqCst) - before;
        self.taken_once += taken;
        self.timeouts += usize::from(outcome == Outcome::TimedOut);
        let entries = self.world.ledger.entries();
        let newest = entries.iter().rfind(|entry| entry.event == "get_request");
        let client = newest.filter(|_| taken > 0).map(|entry| entry.client);
        // Under the others it is not known yet.
        let mixin = model.setting.mixin;
        let begun_here = mixin.begins_here() && outcome == Outcome::Failed;
        let at_once = mixin.handles_here() || mixin == Mixin::ForkingRefused || begun_here;
        let has_failed = |client| {
            at_once && story(&entries, client).iter().any(|event| event.starts_with("handle_error"))
        };
        let expected = match client.map(|client| (model.clients[client - 1].script, client)) {
            Some((Script::Rejected, _)) => Outcome::Rejected,
            Some((Script::Fails(Stage::Verify, _), _)) => Outcome::Failed,
            Some((_, client)) if has_failed(client) => Outcome::Failed,
            Some(_) => Outcome::Handled,
            None if model.once == Once::Stopped => Outcome::Stopped,
            None => Outcome::TimedOut,
        };
        assert_eq!((outcome, taken), (expected, usize::from(client.is_some())), "{entries:?}");
        match model.once {
            Once::Taken => assert_eq!(taken, 1, "nobody was taken, though a client waited"),
            Once::Stopped | Once::TimedOut => assert_eq!(taken, 0, "{entries:?}"),
            Once::Unknown => {}
        }
    }

    /// Law 1 and 2, while requests are on their way.
    fn check_stories(&self, model: &Model) {
        let counters = &self.world.counters;
        let ended = counters.finished() + counters.failed() + counters.refused();
        let accepted = counters.accepted();
        // What has been counted before has been done before.
        let entries = self.world.ledger.entries();
        let done = |event| entries.iter().filter(|entry| entry.event == event).count() as u64;
        assert!(ended <= accepted && accepted <= done("get_request"), "{counters}: {entries:?}");
        assert!(ended <= done("closed"), "{counters}: {entries:?}");
        for (index, peer) in model.clients.iter().enumerate() {
            let so_far = story(&entries, index + 1);
            let stories = peer.stories(&model.setting);
            assert!(
                stories.iter().any(|story| story.starts_with(&so_far)),
                "client {} {peer:?} has the story\n{so_far:?}, which begins none of\n{stories:?}",
                index + 1
            );
        }
    }

    /// Law 1 and 2, for a request that is over.
    fn check_end(&self, model: &Model, client: usize, entries: &[Entry]) {
        let peer = &model.clients[client];
        let whole = story(entries, client + 1);
        let stories = peer.stories(&model.setting);
        assert!(
            stories.contains(&whole),
            "client {} {peer:?} has the story\n{whole:?}, which is none of\n{stories:?}",
            client + 1
        );
        if let Some(client) = &self.clients[client] {
            let is_handled = model.setting.mixin != Mixin::ForkingRefused;
            client.check_reply(is_handled && peer.sent == LENGTH).unwrap();
        }
    }

    /// Ends the server, checks what is left to be checked, and returns the clients' stories.
    fn finish(mut self, mut model: Model) -> io::Result<Vec<Vec<String>>> {
        for (client, peer) in self.clients.iter_mut().zip(&mut model.clients) {
            if !peer.is_decided(&model.setting) {
                *client = None;
                peer.end = End::Aborted;
            }
        }
        if model.running {
            if !model.stop {
                self.handles[model.handles.len() - 1].stop();
            }
            self.rig.join();
        }
        self.rig.close();
        self.check_ledger(&model);
        let entries = self.world.ledger.entries();
        let stories = (1..=self.clients.len()).map(|client| story(&entries, client)).collect();
        self.check_remains()?;
        Ok(stories)
    }

    /// Law 1 and 2, when all is over.
    fn check_ledger(&self, model: &Model) {
        let entries = self.world.ledger.entries();
        let count = |event: &str| entries.iter().filter(|entry| entry.event == event).count();
        for (client, peer) in model.clients.iter().enumerate() {
            let story = story(&entries, client + 1);
            let times = story.iter().filter(|event| *event == "get_request").count();
            let possible = match peer.fate {
                Fate::Done | Fate::Taken => 1..=1,
                Fate::Unknown => 0..=1,
                Fate::Queued => 0..=0,
            };
            assert!(
                possible.contains(&times),
                "client {} {peer:?} was taken {times} times: {entries:?}",
                client + 1
            );
            if times == 1 {
                self.check_end(model, client, &entries);
            }
        }
        self.check_counters(model, &entries);
        let forked = match model.setting.mixin {
            mixin if mixin.hands_over() => count(name_of(Stage::Establish)),
            mixin if mixin.begins_here() => self.world.handed_over.load(SeqCst),
            _ => 0,
        };
        assert_eq!(count(COPY_CLOSED), forked, "copies closed: {entries:?}");
        let served = count("get_request") - self.taken_once;
        assert_eq!(count("service_actions"), served, "one for each that was taken: {entries:?}");
        assert_eq!(count("handle_timeout"), self.timeouts, "{entries:?}");
    }

    /// Law 1, in numbers: each class of ends is what the ledger says.
    fn check_counters(&self, model: &Model, entries: &[Entry]) {
        let counters = &self.world.counters;
        let taken = entries.iter().filter(|entry| entry.event == "get_request");
        let scripts = taken.map(|entry| model.clients[entry.client - 1].script);
        let (all, rejected) = scripts.fold((0, 0), |(all, rejected), script| {
            (all + 1, rejected + u64::from(script == Script::Rejected))
        });
        let mut failed = 0;
        for kind in KINDS {
            let says = format!(", {kind:?})");
            let own = entries.iter().filter(|entry| entry.event.ends_with(&says)).count() as u64;
            assert_eq!(counters.failed_by(kind), own, "{kind:?}: {counters}, {entries:?}");
            failed += own;
        }
        let counted = [counters.accepted(), counters.failed(), counters.active()];
        assert_eq!(counted, [all, failed, 0], "{counters}, {entries:?}");
        let ended = [counters.finished(), counters.refused(), counters.failed()];
        assert_eq!(ended, [all - failed - rejected, rejected, failed], "{counters}, {entries:?}");
        assert_eq!(counters.refused_for(Refusal::Rejected), rejected, "{counters}");
        self.check_events();
    }

    /// The handler was told what was counted.
    fn check_events(&self) {
        let (counters, events) = (&self.world.counters, self.world.events.entries());
        let is = |entry: &&Entry, wanted: &str| entry.event == wanted;
        let count = |wanted: Event| {
            let wanted = format!("{wanted:?}");
            events.iter().filter(|entry| is(entry, &wanted)).count() as u64
        };
        assert_eq!(count(Event::Accepted), counters.accepted(), "{events:?}");
        assert_eq!(count(Event::Finished), counters.finished(), "{events:?}");
        assert_eq!(count(Event::Refused(Refusal::Rejected)), counters.refused(), "{events:?}");
        for kind in KINDS {
            assert_eq!(count(Event::Failed(kind)), counters.failed_by(kind), "{events:?}");
        }
    }

    /// Law 5.
    fn check_remains(self) -> io::Result<()> {
        let files = self.world.place.path().read_dir()?.collect::<io::Result<Vec<_>>>()?;
        assert!(files.is_empty(), "left over: {files:?}");
        let before = self.before.clone();
        drop(self);
        if let Err(left) = Remains::since(&before)? {
            panic!("{left}");
        }
        Ok(())
    }
}

/// Runs a case on its own, and returns the clients' stories.
pub fn run(mut model: Model, transitions: &[Transition]) -> io::Result<Vec<Vec<String>>> {
    let mut system = System::start(&model)?;
    for transition in transitions {
        model.step(transition);
        system.step(&model, transition)?;
    }
    system.finish(model)
}

/// All ways in which a request can fail.
const KINDS: [FailureKind; 6] = [
    FailureKind::PeerGone,
    FailureKind::TimedOut,
    FailureKind::Error,
    FailureKind::Panic,
    FailureKind::NotStarted,
    FailureKind::Lost,
];

const COPY_CLOSED: &str = "copy closed";

/// What happened to the request of a client, in its order.
fn story(entries: &[Entry], client: usize) -> Vec<String> {
    let own = entries.iter().filter(|entry| entry.client == client && entry.event != COPY_CLOSED);
    own.map(|entry| entry.event.clone()).collect()
}

/// The laws, for the servers that `M` is the model of.
pub struct Laws<M>(PhantomData<M>);

impl<M> StateMachineTest for Laws<M>
where
    M: ReferenceStateMachine<State = Model, Transition = Transition>,
{
    type SystemUnderTest = System;
    type Reference = M;

    fn init_test(model: &Model) -> System {
        System::start(model).unwrap()
    }

    fn apply(mut system: System, model: &Model, transition: Transition) -> System {
        system.step(model, &transition).unwrap();
        system
    }

    fn check_invariants(system: &System, model: &Model) {
        system.check_stories(model);
    }

    fn teardown(system: System, model: Model) {
        system.finish(model).unwrap();
    }
}
