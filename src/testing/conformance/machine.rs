//! A server of any transport, strategy and mixin, behind one object.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::law::{Fault, Law};
use super::model::Setting;
use super::reach::Reach;
use super::teller::Teller;
use super::watched::{Visit, Watched};
use super::world::World;
use crate::{Concurrency, Drain, Handler, Limits, Outcome, Running, Server, StopHandle, Transport};

/// What a schedule is played with. `L` is a client.
pub(super) trait Machine<L> {
    fn connect(&self) -> io::Result<L>;
    /// A stop handle of the server, which does not serve now.
    fn handle(&self) -> Result<StopHandle, Fault>;
    /// Serves on a thread from here on.
    fn spawn(&mut self) -> Result<StopHandle, Fault>;
    /// Whether that thread has ended, or none was started.
    fn has_ended(&self) -> bool;
    /// Waits for the end of that.
    fn join(&mut self) -> Result<(), Fault>;
    /// Serves until a stop, which may have been posted.
    fn serve_forever(&mut self, stopped: bool) -> Result<(), Fault>;
    fn handle_request(&mut self) -> Result<Outcome, Fault>;
    fn close(&mut self) -> Result<(), Fault>;
    /// What is left of the transport.
    fn remains(&self) -> io::Result<Vec<String>>;
}

pub(super) type RequestOf<R> = <<R as Reach>::Transport as Transport>::Request;

pub(super) fn machine<R, C, H>(
    reach: &Arc<R>,
    strategy: C,
    wrap: impl FnOnce(Teller) -> H,
    world: &Arc<World>,
    setting: &Setting,
) -> io::Result<Box<dyn Machine<R::Client>>>
where
    R: Reach + 'static,
    C: Concurrency<Watched<R::Transport>, H> + Send + 'static,
    H: Handler<Visit<RequestOf<R>>> + Send + Sync + 'static,
{
    let (transport, address) = reach.open()?;
    let transport = Watched::new(transport, Arc::clone(world));
    let make = |stop| wrap(Teller::new(Arc::clone(world), stop));
    let mut server = Server::with_stop(transport, strategy, make)?.counters(&world.counters);
    if setting.books {
        let limits = Limits::<Watched<R::Transport>>::new()
            .at_once(1000)
            .per_source(1000, |visit: &Visit<RequestOf<R>>| visit.guest.client)
            .rate(1_000_000, Duration::from_secs(1));
        server = server.limits(limits)?.drain(Drain::new());
    }
    if world.forks {
        // Where there can be no thread to watch the loop, the loop has to watch itself.
        server = server.service_interval(world.patience);
    }
    let (reach, world) = (Arc::clone(reach), Arc::clone(world));
    Ok(Box::new(Whole { reach, address, idle: Some(server), running: None, world }))
}

struct Whole<R: Reach, C, H> {
    reach: Arc<R>,
    address: R::Address,
    idle: Option<Server<Watched<R::Transport>, C, H>>,
    running: Option<Running<Watched<R::Transport>, C, H>>,
    world: Arc<World>,
}

impl<R, C, H> Whole<R, C, H>
where
    R: Reach,
    C: Concurrency<Watched<R::Transport>, H> + Send + 'static,
    H: Handler<Visit<RequestOf<R>>> + Send + Sync + 'static,
{
    fn take(&mut self) -> Result<Server<Watched<R::Transport>, C, H>, Fault> {
        self.idle.take().ok_or_else(gone)
    }

    /// Has the server do something that has to come to an end.
    fn run<V>(
        &mut self,
        what: &'static str,
        law: Law,
        stop: Option<StopHandle>,
        run: impl FnOnce(&mut Server<Watched<R::Transport>, C, H>) -> io::Result<V>,
    ) -> Result<V, Fault> {
        let server = self.idle.as_mut().ok_or_else(gone)?;
        let value = self.world.watch.during(what, law, stop, || run(server))?;
        law.holds(!self.world.overdue.load(SeqCst), || format!("{what} did not return"))?;
        returned(what, Law::LoopLives, value)
    }
}

fn gone() -> Fault {
    Fault::Failed(ErrorKind::NotConnected.into())
}

/// The value, unless it is an error, which breaks the law.
fn returned<V>(what: &str, law: Law, value: io::Result<V>) -> Result<V, Fault> {
    value.map_err(|error| Fault::Broken(law, format!("{what} returned the error: {error}")))
}

impl<R, C, H> Machine<R::Client> for Whole<R, C, H>
where
    R: Reach,
    C: Concurrency<Watched<R::Transport>, H> + Send + 'static,
    H: Handler<Visit<RequestOf<R>>> + Send + Sync + 'static,
{
    fn connect(&self) -> io::Result<R::Client> {
        self.reach.connect(&self.address)
    }

    fn handle(&self) -> Result<StopHandle, Fault> {
        self.idle.as_ref().map(Server::stop_handle).ok_or_else(gone)
    }

    fn spawn(&mut self) -> Result<StopHandle, Fault> {
        let running = self.take()?.spawn()?;
        let stop = running.stop_handle();
        self.running = Some(running);
        Ok(stop)
    }

    fn has_ended(&self) -> bool {
        self.running.as_ref().is_none_or(Running::has_ended)
    }

    fn join(&mut self) -> Result<(), Fault> {
        let running = self.running.take().ok_or_else(gone)?;
        let join = || running.join();
        let joined = self.world.watch.during("serve_forever", Law::StopIsSeen, None, join)?;
        self.idle = Some(returned("serve_forever", Law::LoopLives, joined)?);
        Ok(())
    }

    fn serve_forever(&mut self, stopped: bool) -> Result<(), Fault> {
        let stop = self.idle.as_ref().filter(|_| !stopped).map(Server::stop_handle);
        self.run("serve_forever", Law::StopIsSeen, stop, Server::serve_forever)
    }

    fn handle_request(&mut self) -> Result<Outcome, Fault> {
        let now = |server: &mut Server<_, _, _>| server.handle_request_timeout(Duration::ZERO);
        self.run("handle_request", Law::LoopLives, None, now)
    }

    fn close(&mut self) -> Result<(), Fault> {
        let server = self.take()?;
        let close = || server.close();
        let closed = self.world.watch.during("close", Law::NothingRemains, None, close)?;
        returned("close", Law::NothingRemains, closed).map(drop)
    }

    fn remains(&self) -> io::Result<Vec<String>> {
        self.reach.remains()
    }
}
