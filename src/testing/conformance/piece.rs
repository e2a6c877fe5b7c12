//! What can be checked: a strategy, a transport, a mixin, or one of each.

use std::any::type_name;
use std::sync::Arc;

use super::in_memory::OverMemory;
use super::law::Broken;
use super::machine::{RequestOf, machine};
use super::model::{Conduct, Kind, Place};
use super::reach::{OverTcp, Reach};
use super::runner::{Kept, Piece, run};
use super::teller::Teller;
use super::watched::{Visit, Watched};
use crate::testing::{Memory, MemoryRequest};
use crate::{Concurrency, Handler, Sync, Tcp, TcpRequest, Threading};

/// Something that the laws can be checked on; [`keeps_the_laws!`](crate::testing::keeps_the_laws)
/// makes a test of it.
///
/// # Examples
///
/// Where no test is wanted, but to know:
///
/// ```
/// use socketserver::Threading;
/// use socketserver::testing::{Check, OverTcp, strategy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # fn few() -> Option<()> { None }
/// # if few().is_some() {
/// let kept = strategy(Threading::new).over(OverTcp).check()?;
/// println!("{kept}"); // 100 schedules in 0.2 s, 640 a second
/// # }
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "the laws can't be checked on `{Self}`",
    label = "not a piece that the kit can put into a server",
    note = "`strategy(…)` and `mixin(…)` are checked over memory and over TCP; what needs a descriptor, \
            as `Selecting` does, says `.over(OverTcp)`",
    note = "a strategy has to serve `Watched<T>` with the handler `Teller`, so to be generic over both; a \
            mixin has to handle `Visit<R>`, so to be generic over its requests; and all have to be `Send` \
            and `'static`"
)]
pub trait Check {
    /// Plays schedules until one breaks a law, or as many as there are to be.
    ///
    /// Threads and descriptors that are left are seen where the process has one thread when it is
    /// called, or was started by [`keeps_the_laws!`](crate::testing::keeps_the_laws); without, it is
    /// seen that nobody holds the handler or the transport any more.
    ///
    /// # Errors
    ///
    /// The law that broke.
    fn check(self) -> Result<Kept, Box<Broken>>;
}

/// A strategy to be checked, made afresh by `make` for each schedule: over [`Memory`] and over TCP, or
/// over what [`Strategy::over`] says.
///
/// [`Memory`]: crate::testing::Memory
///
/// # Examples
///
/// ```
/// use socketserver::testing::{OverTcp, keeps_the_laws, strategy};
/// use socketserver::{Selecting, Sync, ThreadPool};
///
/// keeps_the_laws!(a_pool, strategy(|| ThreadPool::new(2)));
/// keeps_the_laws!(a_table, strategy(|| Selecting::new(Sync)).over(OverTcp));
/// ```
pub fn strategy<S>(make: S) -> Strategy<S> {
    Strategy { make, conduct: Conduct::default() }
}

/// A transport to be checked, under [`Sync`] and [`Threading`].
pub fn transport<R: Reach>(reach: R) -> Over<R> {
    Over { reach }
}

/// A mixin to be checked: `wrap` puts it around the kit's handler. Over memory and over TCP, under
/// [`Sync`] and [`Threading`].
///
/// # Examples
///
/// ```
/// use std::io;
/// use socketserver::testing::{keeps_the_laws, mixin};
/// use socketserver::{Handler, Next, forward_hooks};
///
/// /// Handles as the one inside does, and says how it went.
/// struct Aloud<H>(H);
///
/// impl<R, H: Handler<R>> Handler<R> for Aloud<H> {
///     forward_hooks!(R, self => self.0; missing setup finish verify_request handle_error
///         handle_timeout service_actions get_request_failed event panicked child_init);
///
///     fn handle(&self, request: &mut R) -> io::Result<Next> {
///         let next = self.0.handle(request)?;
///         eprintln!("handled");
///         Ok(next)
///     }
/// }
///
/// keeps_the_laws!(it_says_no_more_than_that, mixin(Aloud));
/// ```
pub fn mixin<M, H>(wrap: M) -> Mixin<M>
where
    M: Fn(Teller) -> H,
{
    Mixin { wrap }
}

/// Made by [`strategy`].
#[derive(Debug, Clone, Copy)]
pub struct Strategy<S> {
    make: S,
    conduct: Conduct,
}

/// Made by [`transport`](fn@transport).
#[derive(Debug, Clone, Copy)]
pub struct Over<R> {
    reach: R,
}

/// Made by [`mixin`].
#[derive(Debug, Clone, Copy)]
pub struct Mixin<M> {
    wrap: M,
}

/// A strategy over a transport, in a mixin where there is one.
#[derive(Debug, Clone, Copy)]
pub struct Rig<R, S, M = fn(Teller) -> Teller> {
    reach: R,
    strategy: Strategy<S>,
    wrap: M,
}

impl<S> Strategy<S> {
    /// A client that is slow holds up nobody else: the kit counts on it, and finds out where it is
    /// not so.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.conduct.at_once = true;
        self
    }

    /// [`handle_request`](crate::Server::handle_request) returns when its request has been handled,
    /// and says how that ended; or, where it is `false`, before.
    #[must_use]
    pub fn inline(mut self, inline: bool) -> Self {
        self.conduct.inline = Some(inline);
        self
    }

    /// Each request goes to a process of its own. The check has to run in a process with one thread and
    /// no children of its own: all there are are taken for the server's, and reaped. That of
    /// [`keeps_the_laws!`](crate::testing::keeps_the_laws) has more threads: call
    /// [`check`](Check::check) in the `main` of a test that has no harness.
    #[must_use]
    pub fn in_children(mut self) -> Self {
        self.conduct.place = Place::Children;
        self
    }

    /// Each request is [begun](crate::InHalves::begin) in the process of the server, and finished in one
    /// of its own. As for [`in_children`](Self::in_children), there has to be one thread.
    #[must_use]
    pub fn half_in_children(mut self) -> Self {
        self.conduct.place = Place::HalfInChildren;
        self
    }

    /// The requests are taken by another process; of several it would not be known which has taken the
    /// first. As for [`in_children`](Self::in_children), there has to be one thread.
    #[must_use]
    pub fn in_workers(mut self) -> Self {
        self.conduct.place = Place::Workers;
        self
    }

    /// No request is handled, as there is no thread or process for any: they are
    /// [refused](crate::Session::refuse_request).
    #[must_use]
    pub fn refuses(mut self) -> Self {
        self.conduct.place = Place::Nowhere;
        self
    }

    /// Over this transport.
    pub fn over<R: Reach>(self, reach: R) -> Rig<R, S> {
        Rig { reach, strategy: self, wrap: |teller| teller }
    }
}

impl<R, S, M> Rig<R, S, M> {
    /// In this mixin.
    pub fn within<W>(self, wrap: W) -> Rig<R, S, W> {
        Rig { reach: self.reach, strategy: self.strategy, wrap }
    }
}

impl<S, C> Check for Strategy<S>
where
    S: Fn() -> C + Send + std::marker::Sync + 'static,
    C: Concurrency<Watched<Memory>, Teller> + Concurrency<Watched<Tcp>, Teller>,
    C: Send + 'static,
{
    fn check(self) -> Result<Kept, Box<Broken>> {
        let make = Arc::new(self.make);
        let mut kept = check(Arc::new(OverMemory), Arc::<S>::clone(&make), self.conduct, plain())?;
        kept += check(Arc::new(OverTcp), make, self.conduct, plain())?;
        Ok(kept)
    }
}

impl<R: Reach + Send + std::marker::Sync + 'static> Check for Over<R> {
    fn check(self) -> Result<Kept, Box<Broken>> {
        under_both(self.reach, plain())
    }
}

impl<M, H> Check for Mixin<M>
where
    M: Fn(Teller) -> H + Send + std::marker::Sync + 'static,
    H: Handler<Visit<MemoryRequest>> + Handler<Visit<TcpRequest>>,
    H: Send + std::marker::Sync + 'static,
{
    fn check(self) -> Result<Kept, Box<Broken>> {
        let wrap = Arc::new(self.wrap);
        let mut kept = under_both(OverMemory, Arc::<M>::clone(&wrap))?;
        kept += under_both(OverTcp, wrap)?;
        Ok(kept)
    }
}

impl<R, S, M, C, H> Check for Rig<R, S, M>
where
    R: Reach + Send + std::marker::Sync + 'static,
    S: Fn() -> C + Send + std::marker::Sync + 'static,
    C: Concurrency<Watched<R::Transport>, H> + Send + 'static,
    M: Fn(Teller) -> H + Send + std::marker::Sync + 'static,
    H: Handler<Visit<RequestOf<R>>> + Send + std::marker::Sync + 'static,
{
    fn check(self) -> Result<Kept, Box<Broken>> {
        let Strategy { make, conduct } = self.strategy;
        check(Arc::new(self.reach), Arc::new(make), conduct, Arc::new(self.wrap))
    }
}

/// How the handler under test is made of the kit's.
type Wrap<H> = Arc<dyn Fn(Teller) -> H + Send + std::marker::Sync>;

fn plain() -> Wrap<Teller> {
    Arc::new(|teller| teller)
}

fn under_both<R, H>(reach: R, wrap: Wrap<H>) -> Result<Kept, Box<Broken>>
where
    R: Reach + Send + std::marker::Sync + 'static,
    H: Handler<Visit<RequestOf<R>>> + Send + std::marker::Sync + 'static,
{
    let known = |at_once| Conduct { at_once, inline: Some(!at_once), ..Conduct::default() };
    let reach = Arc::new(reach);
    let mut kept = check(Arc::clone(&reach), Arc::new(|| Sync), known(false), Arc::clone(&wrap))?;
    kept += check(reach, Arc::new(Threading::new), known(true), wrap)?;
    Ok(kept)
}

fn check<R, C, H>(
    reach: Arc<R>,
    strategy: Arc<dyn Fn() -> C + Send + std::marker::Sync>,
    conduct: Conduct,
    wrap: Wrap<H>,
) -> Result<Kept, Box<Broken>>
where
    R: Reach + Send + std::marker::Sync + 'static,
    C: Concurrency<Watched<R::Transport>, H> + Send + 'static,
    H: Handler<Visit<RequestOf<R>>> + Send + std::marker::Sync + 'static,
{
    let name = format!(
        "{} under {} in {}",
        type_name::<R::Transport>(),
        type_name::<C>(),
        type_name::<H>()
    );
    let make = move |world: &_, setting: &_| {
        machine(&reach, strategy(), |teller| wrap(teller), world, setting)
    };
    let kind = Kind { packet: R::IS_PACKET, has_opening: R::HAS_OPENING };
    run(Piece { make: Box::new(make), kind, conduct, name })
}
