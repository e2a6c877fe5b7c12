//! The worker processes, and what their supervisor does about them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::process;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::member::{Member, never_came_up};
use super::shards::Shards;
use super::sheet::{ASK, HURRY, LEAVE, LOOK, Sheet};
use super::work::{self, Outfit};
use super::workers::Workers;
use crate::concurrency::Concurrency;
use crate::concurrency::children::{Ends, LOOK_AFTER, is_refusal};
use crate::counters::Counters;
use crate::drain::{Closing, Due};
use crate::event::Event;
use crate::failure::FailureKind;
use crate::handler::Handler;
use crate::session::Session;
use crate::sys::Exit;
use crate::transport::Transport;
use crate::worker::Worker;

/// So many in a row that could not serve, with nobody else who can, are the end of the server.
const MOST_IN_A_ROW: u32 = 10;

#[derive(Debug)]
pub(super) struct Staff {
    pub(super) workers: Workers,
    /// How many requests a worker takes before it is replaced, less the chance.
    pub(super) max_requests: Option<u64>,
    pub(super) shards: Option<Shards>,
    members: Vec<Member>,
    /// The process whose children they are.
    owner: u32,
    /// How many in a row could not serve.
    in_a_row: u32,
    /// Until when none is started.
    pause: Option<Instant>,
    /// One has come to the end of its transport: no more are started.
    exhausted: bool,
}

impl Staff {
    pub(super) fn new(workers: Workers) -> Self {
        Self {
            workers,
            max_requests: None,
            shards: None,
            members: Vec::new(),
            owner: process::id(),
            in_a_row: 0,
            pause: None,
            exhausted: false,
        }
    }

    /// Forgets the children of a process that the application has forked this one from.
    pub(super) fn disown(&mut self) {
        let own = process::id();
        if mem::replace(&mut self.owner, own) != own {
            self.members.clear();
        }
    }

    /// Sees to it that there are as many as there are to be, until the session is over.
    pub(super) fn supervise<T, H, C>(
        &mut self,
        strategy: &mut C,
        session: &Session<T, H>,
    ) -> io::Result<()>
    where
        T: Transport,
        H: Handler<T::Request>,
        C: Concurrency<T, H>,
    {
        (self.in_a_row, self.pause, self.exhausted) = (0, None, false);
        let mut changes = session.changes();
        loop {
            self.workers.hush();
            self.reap(session)?;
            hear_panics(&session.worker());
            self.part();
            while session.goes_on() && self.lacks_one() {
                self.start(strategy, session)?;
            }
            if session.is_stopping() {
                self.tell(ASK);
            }
            if mem::replace(&mut changes, session.changes()) != changes {
                self.tell(LOOK);
            }
            if self.exhausted && self.members.is_empty() {
                return Ok(());
            }
            let at_most = self.pause.map(|until| until.saturating_duration_since(Instant::now()));
            let Ends { watch, look_after } = self.ends();
            if !session.pause(&watch, [at_most, look_after].into_iter().flatten().min())? {
                return Ok(());
            }
        }
    }

    /// Removes those that have ended, and sees why they have.
    fn reap<T, H>(&mut self, session: &Session<T, H>) -> io::Result<()>
    where
        T: Transport,
        H: Handler<T::Request>,
    {
        let (mut failed, mut died) = (None, false);
        while let Some((member, exit)) = self.take_one_that_has_ended() {
            let left = member.told & LEAVE != 0 || exit == Exit::Code(0);
            // It may have been woken for a request that it has not taken.
            died |= exit != Exit::Code(0);
            self.bury(&member, !left && member.has_died(exit), &session.worker());
            if member.told & LEAVE != 0 || session.is_stopping() {
                continue;
            }
            if left && !member.sheet.leaves() {
                self.exhausted = true;
            } else if left || member.has_come_up(exit) {
                self.in_a_row = 0;
                session.recovered();
            } else {
                failed = Some(never_came_up(exit, member.sheet.error()));
            }
        }
        if died {
            self.members.iter_mut().filter(|member| member.serves()).for_each(|m| m.tell(LOOK));
        }
        failed.map_or(Ok(()), |error| self.could_not_serve(&error, session))
    }

    fn take_one_that_has_ended(&mut self) -> Option<(Member, Exit)> {
        let mut ends = self.members.iter().map(Member::exit).enumerate();
        let (at, exit) = ends.find_map(|(at, exit)| Some((at, exit?)))?;
        drop(ends);
        Some((self.members.swap_remove(at), exit))
    }

    /// Counts what one that has ended had in hand.
    fn bury<R, H: Handler<R>>(&self, member: &Member, died: bool, worker: &Worker<H>) {
        self.workers.note_end(member.pid, died);
        for _ in 0..member.counters.as_ref().map_or(0, Counters::settle) {
            worker.tell(Event::Failed(FailureKind::Lost));
        }
    }

    /// Pauses before the next; an error where there have been too many.
    fn could_not_serve<T, H>(
        &mut self,
        error: &io::Error,
        session: &Session<T, H>,
    ) -> io::Result<()>
    where
        T: Transport,
        H: Handler<T::Request>,
    {
        // Those that were started together fail together, and that is once.
        if self.pause.is_some() {
            return Ok(());
        }
        self.in_a_row += 1;
        if self.in_a_row >= MOST_IN_A_ROW && !self.members.iter().any(Member::serves) {
            return Err(io::Error::new(
                error.kind(),
                format!("{MOST_IN_A_ROW} times in a row, and nobody is left to serve: {error}"),
            ));
        }
        self.pause = Instant::now().checked_add(session.next_pause(error));
        Ok(())
    }

    /// How many may be there besides those that are about to end: one more while there is one to be
    /// replaced, or a shard that nobody takes from.
    fn most(&self) -> usize {
        let generation = self.workers.generation();
        let due = self.staying().any(|member| member.is_due(generation));
        let one_more = due || self.crowds(Member::stays).contains(&0);
        self.workers.processes() + usize::from(one_more)
    }

    /// How many such members each shard has.
    fn crowds(&self, such: impl Fn(&Member) -> bool) -> Vec<usize> {
        let mut crowds = vec![0; self.shards.as_ref().map_or(1, Shards::count)];
        for member in self.members.iter().filter(|member| such(member)) {
            crowds[member.shard] += 1;
        }
        crowds
    }

    /// Where the next takes from: there are the fewest, those not counted that are to be replaced.
    fn next_shard(&self) -> usize {
        let generation = self.workers.generation();
        let crowds = self.crowds(|member| member.stays() && !member.is_due(generation));
        (0..crowds.len()).min_by_key(|shard| crowds[*shard]).unwrap_or(0)
    }

    fn staying(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.stays())
    }

    fn lacks_one(&mut self) -> bool {
        if self.pause.is_some_and(|until| until <= Instant::now()) {
            self.pause = None;
        }
        self.pause.is_none() && !self.exhausted && self.staying().count() < self.most()
    }

    /// Has those leave that are too many: from the fullest shard, those that are due first, then those
    /// that do not serve yet, then the youngest. One that is replaced serves until whoever replaces it
    /// does.
    fn part(&mut self) {
        let (generation, wanted) = (self.workers.generation(), self.workers.processes());
        loop {
            let (staying, all_serve) = (self.staying().count(), self.staying().all(Member::serves));
            if staying <= wanted || !all_serve && staying <= self.most() {
                break;
            }
            let crowds = self.crowds(Member::stays);
            let order =
                |m: &&mut Member| (crowds[m.shard], m.is_due(generation), !m.serves(), m.since);
            let staying = self.members.iter_mut().filter(|member| member.stays());
            if let Some(member) = staying.max_by_key(order) {
                member.tell(LEAVE);
            }
        }
        self.workers.set_serving(self.members.iter().filter(|member| member.serves()).count());
    }

    fn start<T, H, C>(&mut self, strategy: &mut C, session: &Session<T, H>) -> io::Result<()>
    where
        T: Transport,
        H: Handler<T::Request>,
        C: Concurrency<T, H>,
    {
        match self.fork(strategy, session) {
            Ok(member) => {
                self.workers.note_start(member.pid);
                self.members.push(member);
                Ok(())
            }
            Err(error) if is_refusal(&error) && self.staying().next().is_none() => Err(error),
            Err(error) => self.could_not_serve(&error, session),
        }
    }

    fn fork<T, H, C>(&mut self, strategy: &mut C, session: &Session<T, H>) -> io::Result<Member>
    where
        T: Transport,
        H: Handler<T::Request>,
        C: Concurrency<T, H>,
    {
        let counters = session.counters().map(Counters::row).transpose()?;
        let (sheet, limit) = (Arc::new(Sheet::new()?), self.limit());
        let mut outfit = Some(Outfit {
            sheet: Arc::clone(&sheet),
            counters: counters.clone(),
            workers: self.workers.clone(),
            limit,
            supervisor: Pid::this(),
        });
        let (generation, since) = (self.workers.generation(), Instant::now());
        let shard = self.next_shard();
        let (members, shards) = (&mut self.members, &mut self.shards);
        let forked = session.fork_worker(|child| {
            // What is there to tell them by is not this one's.
            members.clear();
            if let Some(shards) = shards.take() {
                shards.leave_one(shard, child);
            }
            outfit.take().map_or(0, |outfit| work::run(strategy, session, child, outfit))
        });
        let pid = match forked {
            Ok(pid) => pid,
            Err(error) => {
                counters.as_ref().map(Counters::settle);
                return Err(error);
            }
        };
        Ok(Member { pid, sheet, shard, counters, generation, limit, since, told: 0, end: None })
    }

    /// A tenth more at most, so that those that were started together do not end together.
    fn limit(&self) -> u64 {
        let Some(least) = self.max_requests else { return u64::MAX };
        let random = RandomState::new().build_hasher().finish();
        least.saturating_add(random % (least / 10 + 1))
    }

    /// Tells all.
    pub(super) fn tell(&mut self, orders: u64) {
        for member in &mut self.members {
            member.tell(orders);
        }
    }

    /// Has all end.
    pub(super) fn dismiss(&mut self) {
        self.tell(LEAVE);
        self.workers.set_serving(0);
    }

    fn ends(&mut self) -> Ends<'_> {
        let all = self.members.len();
        let ends = self.members.iter_mut().filter_map(|member| member.watch().map(AsFd::as_fd));
        let mut watch: Vec<BorrowedFd<'_>> = ends.collect();
        let look_after = (watch.len() < all).then_some(LOOK_AFTER);
        watch.push(self.workers.as_fd());
        Ends { watch, look_after }
    }

    /// How many requests they have in hand, where that is known.
    pub(super) fn in_hand(&self) -> usize {
        self.members.iter().map(Member::in_hand).sum()
    }

    /// Waits for all, which know by themselves what is due when; kills those that have not ended when
    /// they are to be abandoned.
    pub(super) fn close<R, H: Handler<R>>(&mut self, closing: &Closing<H>) -> io::Result<()> {
        let (mut left, mut due) = (self.in_hand(), Due::Wait);
        loop {
            while let Some((member, exit)) = self.take_one_that_has_ended() {
                let (reported, lost) = (member.sheet.reported(), member.in_hand());
                self.bury(&member, member.has_died(exit), closing.worker());
                // What it has given up, and what it lost when it was killed, is the same.
                let gone = reported.abandoned.max(lost);
                let known = member.counters.is_some();
                let finished = if known { 0 } else { reported.finished };
                closing.report(finished, reported.cut, gone);
                closing.report_refused(reported.refused);
                left = left.saturating_sub(reported.cut + gone);
            }
            hear_panics(closing.worker());
            if self.members.is_empty() {
                break;
            }
            if closing.due() > due {
                due = closing.due();
                match due {
                    Due::Abandon => self.kill(),
                    _ => self.tell(HURRY),
                }
            }
            let Ends { watch, look_after } = self.ends();
            let at = look_after.and_then(|time| Instant::now().checked_add(time));
            closing.wait_until(&watch, at)?;
            self.workers.hush();
        }
        closing.report(left, 0, 0);
        Ok(())
    }

    fn kill(&self) {
        for member in &self.members {
            // Its number is its own until it is reaped.
            let _ = kill(member.pid, Signal::SIGKILL);
        }
    }
}

/// Asks what is to be done about the panics that workers have noted.
fn hear_panics<R, H: Handler<R>>(worker: &Worker<H>) {
    for _ in 0..worker.control().take_panics() {
        worker.panicked();
    }
}
