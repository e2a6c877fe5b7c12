//! The reference: what a server may and must do, by the documentation of its stop and its queue.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;
use socketserver::Stage;

use super::client::{LENGTH, Wire, heard};
use super::mixin::Mixin;
use super::script::{Heard, How, Script};

pub const MOST_CLIENTS: usize = 10;
const MOST_HANDLES: usize = 8;

/// What a case is about.
#[derive(Debug, Clone)]
pub struct Setting {
    pub wire: Wire,
    pub mixin: Mixin,
    pub hooks_panic: bool,
    /// Whether it has limits that nobody meets, and a drain without deadlines.
    pub books: bool,
}

#[derive(Clone)]
pub struct Model {
    pub setting: Setting,
    /// Whether the server serves on a thread.
    pub running: bool,
    /// How many sessions have ended.
    pub session: usize,
    /// Whether this session has been stopped.
    pub stop: bool,
    /// The sessions that the stop handles were made for.
    pub handles: Vec<usize>,
    pub clients: Vec<Peer>,
    /// What the last `handle_request` had to find.
    pub once: Once,
    /// Whether it is certain that this session has begun: any handle stops it then.
    begun: bool,
}

/// A client.
#[derive(Debug, Clone)]
pub struct Peer {
    pub script: Script,
    pub sent: usize,
    pub end: End,
    pub fate: Fate,
    /// Whether it came to the session that is running.
    to_this_session: bool,
}

/// What a client has done with its end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Open,
    HalfClosed,
    Aborted,
}

/// Where a client's request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// In the kernel's queue.
    Queued,
    /// It may have been taken, or not.
    Unknown,
    Taken,
    /// Its end has been seen.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    Stopped,
    Taken,
    TimedOut,
    Unknown,
}

#[derive(Clone)]
pub enum Transition {
    /// A client comes, and sends so much of its message (a packet: all).
    Connect(Script, usize),
    /// It sends more, up to this byte.
    Send(usize, usize),
    HalfClose(usize),
    Abort(usize),
    /// The client's request comes to its end.
    Await(usize),
    TakeHandle,
    Stop(usize),
    /// Serving begins on a thread of its own.
    Spawn,
    /// A client comes whose handler stops the server.
    StopByHandler,
    /// Serving has ended.
    Join,
    /// `serve_forever`, until the stop that was posted before, or that a client's handler posts.
    Serve,
    HandleRequest,
}

/// What a case begins with is its setting; all else is the same for each.
impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.setting)
    }
}

/// On one line, however it is asked for: failures are read by people.
impl fmt::Debug for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(script, sent) => write!(f, "Connect({script:?}, {sent})"),
            Self::Send(client, end) => write!(f, "Send({client}, {end})"),
            Self::HalfClose(client) => write!(f, "HalfClose({client})"),
            Self::Abort(client) => write!(f, "Abort({client})"),
            Self::Await(client) => write!(f, "Await({client})"),
            Self::TakeHandle => f.write_str("TakeHandle"),
            Self::Stop(handle) => write!(f, "Stop({handle})"),
            Self::Spawn => f.write_str("Spawn"),
            Self::StopByHandler => f.write_str("StopByHandler"),
            Self::Join => f.write_str("Join"),
            Self::Serve => f.write_str("Serve"),
            Self::HandleRequest => f.write_str("HandleRequest"),
        }
    }
}

impl Peer {
    fn new(script: Script, sent: usize, fate: Fate, to_this_session: bool) -> Self {
        Self { script, sent, end: End::Open, fate, to_this_session }
    }

    /// Whether its request ends without anything more from it.
    pub fn is_decided(&self, setting: &Setting) -> bool {
        let refused = setting.mixin == Mixin::ForkingRefused;
        refused || self.end != End::Open || heard(self.sent) >= self.script.needs()
    }

    /// The stories that its request may have.
    pub fn stories(&self, setting: &Setting) -> Vec<Vec<String>> {
        let packet = setting.wire.is_packet();
        if setting.mixin == Mixin::ForkingRefused {
            return vec![self.script.story_without_start(packet)];
        }
        let all = [Heard::Nothing, Heard::FirstLine, Heard::All];
        let heard = heard(self.sent);
        // Who is gone may not be heard to the end, nor be answered.
        let mut stories: Vec<_> = match self.end {
            End::Aborted => all.into_iter().filter(|part| *part <= heard).collect(),
            End::Open if !self.is_decided(setting) => vec![Heard::All],
            End::Open | End::HalfClosed => vec![heard],
        }
        .into_iter()
        .map(|heard| self.script.story(heard, packet))
        .collect();
        if self.end == End::Aborted && self.script.answers(true) {
            stories.push(Script::Fails(Stage::Deliver, How::Gone).story(heard, packet));
        }
        stories
    }
}

impl Model {
    pub fn new(setting: Setting) -> Self {
        Self {
            setting,
            running: false,
            session: 0,
            stop: false,
            handles: vec![0],
            clients: Vec::new(),
            once: Once::Unknown,
            begun: false,
        }
    }

    fn is_packet(&self) -> bool {
        self.setting.wire.is_packet()
    }

    /// Whether nobody who may be heard now holds the others.
    fn flows(&self) -> bool {
        !self.setting.mixin.is_serial() || !self.has_holding()
    }

    /// Whether somebody who may be heard now holds whoever waits for the end of that.
    fn has_holding(&self) -> bool {
        let holds = |peer: &Peer| peer.fate != Fate::Done && !peer.is_decided(&self.setting);
        self.clients.iter().any(holds)
    }

    fn can_be_stopped_by_handler(&self) -> bool {
        self.flows() && self.has_room() && self.setting.mixin != Mixin::ForkingRefused
    }

    fn has_room(&self) -> bool {
        self.clients.len() < MOST_CLIENTS
    }

    fn allows(&self, transition: &Transition) -> bool {
        let stream = |client: usize| {
            let peer = self.clients.get(client);
            !self.is_packet() && peer.is_some_and(|peer| peer.end == End::Open)
        };
        match *transition {
            Transition::Connect(..) => self.has_room(),
            Transition::Send(client, end) => stream(client) && self.clients[client].sent < end,
            Transition::HalfClose(client) => stream(client),
            Transition::Abort(client) => {
                self.clients.get(client).is_some_and(|peer| peer.end != End::Aborted)
            }
            Transition::Await(client) => self.clients.get(client).is_some_and(|peer| {
                let served = self.running && !self.stop && peer.fate != Fate::Done;
                peer.is_decided(&self.setting)
                    && (peer.fate == Fate::Taken || served && self.flows())
            }),
            Transition::TakeHandle => !self.running && self.handles.len() < MOST_HANDLES,
            Transition::Stop(handle) => self.handles.get(handle).is_some_and(|born| {
                // A handle of an earlier session stops one that serves: it has to have begun.
                let own = self.begun || *born == self.session;
                // One more is a hurry, where there is a drain.
                if self.setting.books {
                    own && !self.stop
                } else {
                    own || !self.running || self.stop
                }
            }),
            Transition::Spawn => {
                !self.running && !self.setting.mixin.forks() && self.handles.len() < MOST_HANDLES
            }
            Transition::StopByHandler => {
                self.running && !self.stop && self.can_be_stopped_by_handler()
            }
            Transition::Join => self.running && self.stop && self.flows(),
            Transition::Serve => !self.running && (self.stop || self.can_be_stopped_by_handler()),
            Transition::HandleRequest => {
                let mixin = self.setting.mixin;
                let waits = mixin.handles_here() || mixin.begins_here();
                !self.running && self.flows() && !(waits && self.has_holding())
            }
        }
    }

    pub fn step(&mut self, transition: &Transition) {
        match *transition {
            Transition::Connect(script, sent) => {
                let sent = if self.is_packet() { LENGTH } else { sent };
                let fate = if self.running { Fate::Unknown } else { Fate::Queued };
                let to_this_session = self.running && !self.stop;
                self.clients.push(Peer::new(script, sent, fate, to_this_session));
            }
            Transition::Send(client, end) => self.clients[client].sent = end,
            Transition::HalfClose(client) => self.clients[client].end = End::HalfClosed,
            Transition::Abort(client) => self.clients[client].end = End::Aborted,
            Transition::Await(client) => {
                let peer = &mut self.clients[client];
                peer.fate = Fate::Done;
                self.begun |= peer.to_this_session;
            }
            Transition::TakeHandle => self.handles.push(self.session),
            Transition::Stop(handle) => {
                self.stop |= self.running || self.begun || self.handles[handle] == self.session;
            }
            Transition::Spawn => {
                self.running = true;
                self.handles.push(self.session);
                self.change(|fate| *fate == Fate::Queued, Fate::Unknown);
            }
            Transition::StopByHandler => self.stop_by_handler(),
            Transition::Join => self.end_session(),
            Transition::Serve => {
                if !self.stop {
                    self.stop_by_handler();
                }
                self.end_session();
            }
            Transition::HandleRequest => self.handle_request(),
        }
    }

    /// The queue is one: whoever came before the one who stops has been taken before.
    fn stop_by_handler(&mut self) {
        self.clients.push(Peer::new(Script::Stops, LENGTH, Fate::Taken, false));
        self.change(|fate| matches!(fate, Fate::Queued | Fate::Unknown), Fate::Taken);
        self.stop = true;
    }

    fn handle_request(&mut self) {
        let is = |wanted| move |peer: &Peer| peer.fate == wanted;
        if self.stop {
            self.once = Once::Stopped;
            self.end_session();
            return;
        }
        self.begun = true;
        if self.clients.iter().any(is(Fate::Unknown)) || self.setting.mixin == Mixin::ForkingOne {
            self.once = Once::Unknown;
            self.change(|fate| *fate == Fate::Queued, Fate::Unknown);
        } else if let Some(first) = self.clients.iter_mut().find(|peer| is(Fate::Queued)(peer)) {
            self.once = Once::Taken;
            first.fate = Fate::Taken;
        } else {
            self.once = Once::TimedOut;
        }
    }

    fn end_session(&mut self) {
        (self.running, self.stop, self.begun) = (false, false, false);
        self.session += 1;
        self.clients.iter_mut().for_each(|peer| peer.to_this_session = false);
    }

    fn change(&mut self, which: impl Fn(&Fate) -> bool, to: Fate) {
        self.clients.iter_mut().filter(|peer| which(&peer.fate)).for_each(|peer| peer.fate = to);
    }
}

/// The model of servers under these strategies.
#[derive(Debug)]
pub struct Threads;
#[derive(Debug)]
pub struct Forks;

macro_rules! reference {
    ($($name:ty: $mixins:expr;)*) => {$(
        impl ReferenceStateMachine for $name {
            type State = Model;
            type Transition = Transition;

            fn init_state() -> BoxedStrategy<Model> {
                init_state($mixins)
            }

            fn transitions(state: &Model) -> BoxedStrategy<Transition> {
                transitions(state)
            }

            fn preconditions(state: &Model, transition: &Transition) -> bool {
                state.allows(transition)
            }

            fn apply(mut state: Model, transition: &Transition) -> Model {
                state.step(transition);
                state
            }
        }
    )*};
}

reference! {
    Threads: vec![
        Mixin::Sync,
        Mixin::Threading,
        Mixin::ThreadPool,
        Mixin::ThreadPoolOne,
        Mixin::Selecting,
        Mixin::SelectingThreads,
        Mixin::SelectingPool,
        Mixin::ForkingRefused,
    ];
    Forks: vec![
        Mixin::Forking,
        Mixin::ForkingOne,
        Mixin::ForkServer,
        Mixin::FinishInChild,
        Mixin::FinishInChildOfHelper,
        Mixin::PreForking,
        Mixin::PreForkingPool,
        Mixin::PreForkingSelecting,
    ];
}

pub fn wires() -> impl Strategy<Value = Wire> {
    select(vec![Wire::Tcp, Wire::Udp, Wire::UnixStream, Wire::UnixDatagram, Wire::Beside])
}

pub fn scripts() -> impl Strategy<Value = Script> {
    prop_oneof![2 => Just(Script::Fine), 3 => select(Script::of_peers())]
}

pub fn sent() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(LENGTH), 1 => 0..LENGTH]
}

fn init_state(mixins: Vec<Mixin>) -> BoxedStrategy<Model> {
    let setting = (wires(), select(mixins), proptest::bool::weighted(0.3), any::<bool>());
    let setting = setting.prop_map(|(wire, mixin, hooks_panic, books)| {
        Model::new(Setting { wire, mixin, hooks_panic, books })
    });
    setting.boxed()
}

fn transitions(state: &Model) -> BoxedStrategy<Transition> {
    let clients = || 0..state.clients.len();
    let sends = clients().flat_map(|client| (1..=LENGTH).map(move |end| (client, end)));
    let sends = sends.map(|(client, end)| Transition::Send(client, end)).collect();
    let alternatives: [(u32, Vec<Transition>); 10] = [
        (6, clients().map(Transition::Await).collect()),
        (3, sends),
        (1, clients().map(Transition::HalfClose).collect()),
        (1, clients().map(Transition::Abort).collect()),
        (1, vec![Transition::TakeHandle]),
        (3, (0..state.handles.len()).map(Transition::Stop).collect()),
        (5, vec![Transition::Join, Transition::Spawn]),
        (1, vec![Transition::StopByHandler]),
        (2, vec![Transition::Serve]),
        (2, vec![Transition::HandleRequest]),
    ];
    let mut choices = Vec::new();
    if state.has_room() {
        let connect =
            (scripts(), sent()).prop_map(|(script, sent)| Transition::Connect(script, sent));
        choices.push((8, connect.boxed()));
    }
    for (weight, mut alternatives) in alternatives {
        alternatives.retain(|transition| state.allows(transition));
        if !alternatives.is_empty() {
            choices.push((weight, select(alternatives).boxed()));
        }
    }
    Union::new_weighted(choices).boxed()
}
