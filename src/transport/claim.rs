//! Taking over the path of a server that is no more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use socket2::{Domain, SockAddr, Socket, Type};

use super::socket_file::inode_of;

/// How often another has the lock and lets go of it while we are about to take it.
const TRIES: u32 = 16;

/// Binds `socket` to `path`, after having removed the socket file of a dead server if there is one.
pub(super) fn bind(socket: &Socket, path: &Path) -> io::Result<()> {
    let address = SockAddr::unix(path)?;
    let _lock = Lock::take(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            remove_if(path, || probe(&address))?;
            socket.bind(&address)
        }
        bound => bound,
    }
}

/// Removes `path` if it is a socket file that is `dead`, and nothing else; that nobody does the same
/// at once, and binds in between, is the lock's affair.
fn remove_if(path: &Path, dead: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let inode = match inode_of(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if inode == (0, 0) {
        return in_use("what is there is not a socket, and has been left alone");
    }
    dead()?;
    if inode_of(path)? != inode {
        return in_use("somebody else has just made it");
    }
    fs::remove_file(path)
}

/// Says whether no process has a socket any more that is bound to `address`.
///
/// Whatever kind the server's socket is of, it is looked for by its inode before its kind is
/// looked at (`unix_find_bsd` in `net/unix/af_unix.c`; `unp_connectat` of the BSDs): one that is
/// there is `EPROTOTYPE` or a success, before listen(2) too, and hears nothing of this.
fn probe(address: &SockAddr) -> io::Result<()> {
    match Socket::new(Domain::UNIX, Type::DGRAM, None)?.connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.raw_os_error() != Some(libc::EPROTOTYPE) => {
            in_use(&format!("whether it has a server can't be told: {error}"))
        }
        _ => in_use("it has a server"),
    }
}

fn in_use<T>(why: &str) -> io::Result<T> {
    Err(io::Error::new(ErrorKind::AddrInUse, why))
}

/// A locked file beside the socket's; held while a path is claimed, and removed afterwards.
struct Lock {
    path: PathBuf,
    _file: Flock<File>,
}

impl Lock {
    fn take(socket: &Path) -> io::Result<Self> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        for _ in 0..TRIES {
            let file = open(&path).map_err(|error| named(&path, &error))?;
            if let Some(lock) = Self::of(file, &path)? {
                return Ok(lock);
            }
        }
        in_use("another server is claiming it")
    }

    /// Locks the file that was opened at `path`. Whoever had the lock may have removed the file
    /// meanwhile; then it keeps nobody out, and is no lock.
    fn of(file: File, path: &Path) -> io::Result<Option<Self>> {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) if is_at(&file, path) => Ok(Some(Self { path: path.into(), _file: file })),
            Ok(_) => Ok(None),
            Err((_, Errno::EWOULDBLOCK)) => in_use("another server is claiming it"),
            Err((_, errno)) => Err(named(path, &errno.into())),
        }
    }
}

impl Drop for Lock {
    /// Still locked, the file is nobody else's.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens what can only be a lock: an empty file. Nothing that is somebody's must be removed.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if found.is_file() && found.len() == 0 {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "there is something else"))
}

fn is_at(file: &File, path: &Path) -> bool {
    let number = |found: fs::Metadata| (found.dev(), found.ino());
    let (ours, there) = (file.metadata().map(number), fs::symlink_metadata(path).map(number));
    matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("its lock {} can't be had: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_file_that_changes_under_the_probe_is_left() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (path, other) = (dir.path().join("socket"), dir.path().join("other"));
        drop(UnixListener::bind(&path)?);
        let other_server = UnixListener::bind(&other)?;
        let error = remove_if(&path, || fs::rename(&other, &path)).err();
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::AddrInUse));
        assert!(path.exists());
        drop(other_server);
        remove_if(&path, || probe(&SockAddr::unix(&path)?))?;
        assert!(!path.exists());
        remove_if(&path, || Err(ErrorKind::Other.into()))
    }

    #[test]
    fn a_file_that_was_removed_while_it_was_opened_is_no_lock() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("lock");
        let late = open(&path)?;
        drop(Lock::of(open(&path)?, &path)?);
        assert!(Lock::of(late, &path)?.is_none());
        let late = open(&path)?;
        fs::remove_file(&path)?;
        let _other = Lock::of(open(&path)?, &path)?;
        assert!(Lock::of(late, &path)?.is_none());
        assert!(path.exists(), "the other's");
        Ok(())
    }
}
