//! What handshakes are made with.

use std::fmt;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ClientHello;

/// The configuration of a server's handshakes, which can be replaced while it serves: a handle, of
/// which all clones are the same.
///
/// # Examples
///
/// ```no_run
/// use socketserver::rustls::ServerConfig;
/// use socketserver::{Server, Tcp, Threading, Tls, TlsConfig};
///
/// # fn serve(first: ServerConfig, renewed: ServerConfig) -> std::io::Result<()> {
/// let config = TlsConfig::from(first);
/// let tls = Tls::new(Tcp::options().bind("127.0.0.1:8443")?, config.clone());
/// let server = Server::new_fn(tls, Threading::new(), |_conn| Ok(()))?.spawn()?;
///
/// // When the certificate has been renewed:
/// config.replace(renewed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsConfig(Arc<RwLock<Arc<ServerConfig>>>);

impl TlsConfig {
    /// Has connections that are taken from now on use another configuration; returns the one that
    /// they used before. Those that are there go on with theirs.
    ///
    /// Children of [`Forking`](crate::Forking) get the configuration with their connection. Those of
    /// [`ForkServer`](crate::ForkServer) come from a process that was forked when the server was
    /// made, and never hear of another; nor do the workers of [`PreForking`](crate::PreForking) that
    /// are there already.
    pub fn replace(&self, config: impl Into<Arc<ServerConfig>>) -> Arc<ServerConfig> {
        let config = config.into();
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut *place, config)
    }

    /// The configuration that is used at present.
    #[must_use]
    pub fn get(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<Arc<ServerConfig>> for TlsConfig {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }
}

impl From<ServerConfig> for TlsConfig {
    fn from(config: ServerConfig) -> Self {
        Arc::new(config).into()
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}

/// What chooses a configuration for a client.
type Chooser = dyn Fn(&ClientHello<'_>) -> io::Result<Arc<ServerConfig>> + Send + Sync;

/// Where the configuration of a handshake comes from.
pub(crate) enum Choice {
    One(TlsConfig),
    ByHello(Box<Chooser>),
}

/// What the connections of one transport have in common.
pub(crate) struct Terms {
    pub(crate) choice: Choice,
    /// How long a handshake may take, and the farewell.
    pub(crate) time: Duration,
    /// How many handshakes may be under way at a time.
    pub(crate) most: usize,
    under_way: AtomicUsize,
    /// Whether connections begin in the clear.
    pub(crate) clear: bool,
}

impl Terms {
    pub(crate) fn new(choice: Choice) -> Self {
        let time = Duration::from_secs(10);
        Self { choice, time, most: usize::MAX, under_way: AtomicUsize::new(0), clear: false }
    }

    /// One more handshake, until what this returns is dropped; none where there may be no more.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<UnderWay> {
        let less = |count| (count < self.most).then_some(count + 1);
        self.under_way.fetch_update(SeqCst, SeqCst, less).ok()?;
        Some(UnderWay(Arc::clone(self)))
    }
}

/// A handshake under way, for as long as this is there.
pub(crate) struct UnderWay(Arc<Terms>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
    }
}
