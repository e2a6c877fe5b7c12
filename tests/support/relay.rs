//! A client's end of TLS as a thread of its own: whoever speaks to it in the clear need not wait for
//! the server to have the handshake behind it.
#![allow(clippy::unwrap_used, reason = "tests may, and clippy knows only the functions marked so")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::{ClientConfig, ClientConnection, ServerConfig};
use socket2::SockRef;

use super::authority::{Authority, BOTH};

const NAME: &str = "server.example";
/// So much is taken at a time of what is said in the clear.
const PIECE: usize = 8 * 1024;

type Configs = (Arc<ServerConfig>, Arc<ClientConfig>);

/// Those of a server and its clients, made once: nothing of them remains of a single server.
fn configs() -> &'static Configs {
    static CONFIGS: OnceLock<Configs> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        let authority = Authority::new("an authority").unwrap();
        let client = authority.client(&BOTH, None).unwrap();
        (Arc::new(authority.server(NAME).unwrap()), Arc::new(client))
    })
}

/// The configuration of the server that a relay speaks to.
pub fn server_config() -> Arc<ServerConfig> {
    Arc::clone(&configs().0)
}

pub struct Relay {
    clean: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Relay {
    /// Speaks TLS over `wire` for whoever has the socket that this returns. The end of what is said
    /// there is a `close_notify`; where it is closed before the server's end, `wire` is reset.
    pub fn start(wire: TcpStream) -> io::Result<(UnixStream, Self)> {
        let (near, clear) = UnixStream::pair()?;
        clear.set_nonblocking(true)?;
        wire.set_nonblocking(true)?;
        wire.set_nodelay(true)?;
        let name = NAME.try_into().map_err(io::Error::other)?;
        let conn = ClientConnection::new(configs().1.clone(), name).map_err(io::Error::other)?;
        let clean = Arc::new(AtomicBool::new(false));
        let mut ends = Ends {
            clear,
            wire,
            conn,
            heard: Vec::new(),
            said_all: false,
            mute: false,
            over: false,
            clean: Arc::clone(&clean),
        };
        let thread = thread::spawn(move || ends.run());
        Ok((near, Self { clean, thread }))
    }

    /// Whether the server has ended with a `close_notify`; to be asked when it has ended.
    pub fn was_clean(&self) -> bool {
        self.clean.load(SeqCst)
    }

    /// Waits until it has ended, which it does when its socket is closed.
    pub fn join(self) {
        self.thread.join().unwrap();
    }
}

struct Ends {
    clear: UnixStream,
    wire: TcpStream,
    conn: ClientConnection,
    /// What the server has said and nobody has taken yet.
    heard: Vec<u8>,
    said_all: bool,
    /// Nothing more can be sent to the server.
    mute: bool,
    /// Nothing more comes from it.
    over: bool,
    clean: Arc<AtomicBool>,
}

impl Ends {
    fn run(&mut self) {
        while !self.over || !self.heard.is_empty() {
            if self.wait().unwrap() {
                let reset = SockRef::from(&self.wire).set_linger(Some(Duration::ZERO));
                return reset.unwrap();
            }
            self.say();
            self.send();
            if self.heard.is_empty() && !self.over {
                self.receive();
            }
            self.tell();
        }
    }

    fn wants_write(&self) -> bool {
        self.conn.wants_write() && !self.mute && !self.over
    }

    /// Whether there is something to be taken in from who speaks in the clear.
    fn listens(&self) -> bool {
        !self.said_all && !self.over && !self.wants_write() && !self.conn.is_handshaking()
    }

    /// Waits for what can be gone on with; whether the socket in the clear has been closed.
    fn wait(&self) -> io::Result<bool> {
        let (mut clear, mut wire) = (PollFlags::empty(), PollFlags::empty());
        clear.set(PollFlags::POLLIN, self.listens());
        clear.set(PollFlags::POLLOUT, !self.heard.is_empty());
        wire.set(PollFlags::POLLIN, self.heard.is_empty() && !self.over);
        wire.set(PollFlags::POLLOUT, self.wants_write());
        let clear = PollFd::new(self.clear.as_fd(), clear);
        let mut both = [clear, PollFd::new(self.wire.as_fd(), wire)];
        // An error there is told even where nothing is waited for.
        let count = if wire.is_empty() { 1 } else { 2 };
        poll(&mut both[..count], PollTimeout::NONE)?;
        Ok(both[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)))
    }

    fn say(&mut self) {
        if !self.listens() {
            return;
        }
        let mut piece = [0; PIECE];
        match self.clear.read(&mut piece) {
            Ok(0) => {
                self.said_all = true;
                self.conn.send_close_notify();
            }
            Ok(count) => self.conn.writer().write_all(&piece[..count]).unwrap(),
            // Nothing yet; or it has been closed, which the next look at it says.
            Err(_) => {}
        }
    }

    /// Where the server does not listen any more, it may still have said something.
    fn send(&mut self) {
        while self.wants_write() {
            match self.conn.write_tls(&mut self.wire) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.mute = true,
            }
        }
        if self.said_all && !self.mute {
            self.mute = true;
            // It may have gone.
            let _ = self.wire.shutdown(std::net::Shutdown::Write);
        }
    }

    fn receive(&mut self) {
        match self.conn.read_tls(&mut self.wire) {
            Ok(count) => self.over = count == 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => self.over = true,
        }
        match self.conn.process_new_packets() {
            Ok(state) => {
                let mut bytes = vec![0; state.plaintext_bytes_to_read()];
                self.conn.reader().read_exact(&mut bytes).unwrap();
                self.heard = bytes;
                self.over |= state.peer_has_closed();
                self.clean.store(state.peer_has_closed(), SeqCst);
            }
            Err(_) => self.over = true,
        }
    }

    fn tell(&mut self) {
        if self.heard.is_empty() {
            return;
        }
        match self.clear.write(&self.heard) {
            Ok(count) => drop(self.heard.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.heard.clear(),
        }
    }
}
