//! The reference: what a server may and must do, by the documentation of its stop and its queue.

use super::ledger::What;
use super::script::{Heard, How, LENGTH, Script};
use super::step::Step;
use crate::{FailureKind, Stage};

const MOST_CLIENTS: usize = 10;
pub(super) const MOST_HANDLES: usize = 8;

/// What is known of a strategy beforehand. Of one of which nothing is known, the kit asks less.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Conduct {
    /// A client that is slow holds nobody else.
    pub(super) at_once: bool,
    /// Whether `handle_request` returns when its request has been handled, where that is known.
    pub(super) inline: Option<bool>,
    pub(super) place: Place,
}

/// What is known of a transport beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// A request has all its bytes when it is taken.
    pub(super) packet: bool,
    /// Its client has to do something before it is established.
    pub(super) has_opening: bool,
}

/// Where requests are handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// In the process of the server.
    #[default]
    Here,
    /// Each in a process of its own.
    Children,
    /// Each is begun in the process of the server, and finished in one of its own.
    HalfInChildren,
    /// In other processes, which take them.
    Workers,
    /// Nowhere: there is no thread or process for any.
    Nowhere,
}

impl Conduct {
    /// Whether the process of the server has to have one thread.
    pub(super) fn forks(self) -> bool {
        matches!(self.place, Place::Children | Place::HalfInChildren | Place::Workers)
    }
}

/// What a schedule is played under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) kind: Kind,
    pub(super) conduct: Conduct,
    /// Hooks that belong to no request panic, and so does `handle_error`.
    pub(super) hooks_panic: bool,
    /// The server has limits that nobody meets, and a drain without deadlines.
    pub(super) books: bool,
}

#[derive(Clone)]
pub(super) struct Model {
    pub(super) setting: Setting,
    /// Whether the server serves on a thread.
    pub(super) running: bool,
    /// How many sessions have ended.
    session: usize,
    /// Whether this session has been stopped.
    pub(super) stop: bool,
    /// The sessions that the stop handles were made for.
    pub(super) handles: Vec<usize>,
    pub(super) clients: Vec<Peer>,
    /// What the last `handle_request` had to find.
    pub(super) once: Once,
    /// Whether it is certain that this session has begun: any handle stops it then.
    begun: bool,
}

/// A client, as the model knows it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) script: Script,
    pub(super) sent: usize,
    pub(super) end: End,
    pub(super) fate: Fate,
    /// Whether it came to the session that is running.
    to_this_session: bool,
}

/// What a client has done with its end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    HalfClosed,
    Aborted,
}

/// Where a client's request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Where requests wait before they are taken.
    Queued,
    /// It may have been taken, or not.
    Unknown,
    Taken,
    /// Its end has been seen.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Once {
    Stopped,
    /// This client's request.
    Taken(usize),
    TimedOut,
    Unknown,
}

impl Peer {
    fn new(script: Script, sent: usize, fate: Fate, to_this_session: bool) -> Self {
        Self { script, sent, end: End::Open, fate, to_this_session }
    }

    /// Whether its request ends without anything more from it.
    pub(super) fn is_decided(&self, setting: &Setting) -> bool {
        setting.refuses() || self.end != End::Open || Heard::of(self.sent) >= self.script.needs()
    }

    /// The stories that its request may have.
    pub(super) fn stories(&self, setting: &Setting) -> Vec<Vec<What>> {
        if setting.refuses() {
            return vec![self.script.story_without_start()];
        }
        let all = [Heard::Nothing, Heard::FirstLine, Heard::All];
        let heard = Heard::of(self.sent);
        // Who is gone may not be heard to the end, nor be answered.
        let parts: Vec<_> = match self.end {
            End::Aborted => all.into_iter().filter(|part| *part <= heard).collect(),
            End::Open if !self.is_decided(setting) => vec![Heard::All],
            End::Open | End::HalfClosed => vec![heard],
        };
        let mut stories: Vec<_> = parts.into_iter().map(|part| self.script.story(part)).collect();
        if self.end == End::Aborted {
            let opens = setting.kind.has_opening && self.script.needs() > Heard::Nothing;
            let gone = [(Stage::Deliver, self.script.answers(true)), (Stage::Establish, opens)];
            let gone = gone.into_iter().filter(|(_, may_be)| *may_be);
            stories.extend(gone.map(|(at, _)| Script::Fails(at, How::Gone).story(heard)));
        }
        stories
    }
}

impl Setting {
    pub(super) fn refuses(&self) -> bool {
        self.conduct.place == Place::Nowhere
    }

    /// Whether a request may have `seen` as its story where `wanted` is one. A packet has no peer
    /// that could leave, or be late.
    pub(super) fn is(&self, seen: &[What], wanted: &[What]) -> bool {
        let same = |(seen, wanted): (&What, &What)| match (seen, wanted) {
            (
                What::HandleError(at, FailureKind::Error),
                What::HandleError(stage, FailureKind::TimedOut | FailureKind::PeerGone),
            ) if self.kind.packet => at == stage,
            _ => seen == wanted,
        };
        seen.len() == wanted.len() && seen.iter().zip(wanted).all(same)
    }
}

impl Model {
    pub(super) fn new(setting: Setting) -> Self {
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

    /// Whether nobody who may be heard now holds the others.
    fn flows(&self) -> bool {
        self.setting.conduct.at_once || !self.has_holding()
    }

    /// Whether somebody who may be heard now holds whoever waits for the end of that.
    fn has_holding(&self) -> bool {
        self.clients.iter().any(|peer| peer.fate != Fate::Done && !peer.is_decided(&self.setting))
    }

    fn can_be_stopped_by_handler(&self) -> bool {
        self.flows() && self.has_room() && !self.setting.refuses()
    }

    pub(super) fn has_room(&self) -> bool {
        self.clients.len() < MOST_CLIENTS
    }

    pub(super) fn allows(&self, step: Step) -> bool {
        let Conduct { inline, .. } = self.setting.conduct;
        let stream = |client: usize| {
            let peer = self.clients.get(client);
            !self.setting.kind.packet && peer.is_some_and(|peer| peer.end == End::Open)
        };
        match step {
            Step::Connect(..) => self.has_room(),
            Step::Send(client, end) => stream(client) && self.clients[client].sent < end,
            Step::HalfClose(client) => stream(client),
            Step::Abort(client) => {
                self.clients.get(client).is_some_and(|peer| peer.end != End::Aborted)
            }
            Step::Await(client) => self.clients.get(client).is_some_and(|peer| {
                let served = self.running && !self.stop && peer.fate != Fate::Done;
                peer.is_decided(&self.setting)
                    && (peer.fate == Fate::Taken || served && self.flows())
            }),
            Step::TakeHandle => !self.running && self.handles.len() < MOST_HANDLES,
            Step::Stop(handle) => self.handles.get(handle).is_some_and(|born| {
                // A handle of an earlier session stops one that serves: it has to have begun.
                let own = self.begun || *born == self.session;
                // One more is a hurry, where there is a drain.
                if self.setting.books {
                    own && !self.stop
                } else {
                    own || !self.running || self.stop
                }
            }),
            Step::Spawn => {
                !self.running && !self.setting.conduct.forks() && self.handles.len() < MOST_HANDLES
            }
            Step::StopByHandler => self.running && !self.stop && self.can_be_stopped_by_handler(),
            Step::Join => self.running && self.stop && self.flows(),
            Step::Serve => !self.running && (self.stop || self.can_be_stopped_by_handler()),
            Step::HandleRequest => {
                let waits = inline != Some(false);
                !self.running && self.flows() && !(waits && self.has_holding())
            }
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Connect(script, sent) => {
                let sent = if self.setting.kind.packet { LENGTH } else { sent };
                let fate = if self.running { Fate::Unknown } else { Fate::Queued };
                let to_this_session = self.running && !self.stop;
                self.clients.push(Peer::new(script, sent, fate, to_this_session));
            }
            Step::Send(client, end) => self.clients[client].sent = end,
            Step::HalfClose(client) => self.clients[client].end = End::HalfClosed,
            Step::Abort(client) => self.clients[client].end = End::Aborted,
            Step::Await(client) => {
                let peer = &mut self.clients[client];
                peer.fate = Fate::Done;
                self.begun |= peer.to_this_session;
            }
            Step::TakeHandle => self.handles.push(self.session),
            Step::Stop(handle) => {
                self.stop |= self.running || self.begun || self.handles[handle] == self.session;
            }
            Step::Spawn => {
                self.running = true;
                self.handles.push(self.session);
                self.change(|fate| *fate == Fate::Queued, Fate::Unknown);
            }
            Step::StopByHandler => self.stop_by_handler(),
            Step::Join => self.end_session(),
            Step::Serve => {
                if !self.stop {
                    self.stop_by_handler();
                }
                self.end_session();
            }
            Step::HandleRequest => self.handle_request(),
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
        // It may have room for no further request until it knows that one elsewhere has ended.
        let has_taken = |peer: &Peer| matches!(peer.fate, Fate::Taken | Fate::Done);
        let full = self.setting.conduct.inline.is_none() && self.clients.iter().any(has_taken);
        if full || self.clients.iter().any(is(Fate::Unknown)) {
            self.once = Once::Unknown;
            self.change(|fate| *fate == Fate::Queued, Fate::Unknown);
        } else if let Some(first) = self.clients.iter().position(is(Fate::Queued)) {
            self.once = Once::Taken(first);
            self.clients[first].fate = Fate::Taken;
        } else {
            self.once = Once::TimedOut;
        }
    }

    /// The last `handle_request` had an error of the transport, and took nothing.
    pub(super) fn take_back(&mut self) {
        if let Once::Taken(client) = self.once {
            self.clients[client].fate = Fate::Queued;
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
