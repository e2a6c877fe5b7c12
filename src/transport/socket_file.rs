//! The file of a Unix socket: whose it is, when it goes, and who may connect by it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{self, FchmodatFlags, Mode};
use socket2::{Socket, Type};

/// The file of a bound socket, removed when its server closes: by the process that answers for it,
/// which is the one that made it until another takes over, and only if it is still the same file.
///
/// It goes before the socket does. The socket keeps the inode; once it is closed, the number can
/// be that of a file that another server has made in the same place.
///
/// A transport that takes part in a hand-over (`Inheritable`) shows it, or is given it to keep.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
    /// The process that removes it: 0 for none.
    owner: Arc<AtomicU32>,
}

impl SocketFile {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let file = Self::of_nobody(path, Arc::default())?;
        file.owner.store(process::id(), SeqCst);
        Ok(file)
    }

    /// The file of a socket that is there, for which `owner` will say who answers.
    pub(crate) fn of_nobody(path: &Path, owner: Arc<AtomicU32>) -> io::Result<Self> {
        // A relative path means another file after a chdir(2).
        let path = std::path::absolute(path)?;
        let inode = inode_of(&path)?;
        Ok(Self { path, inode, owner })
    }

    /// Removes the file, once.
    pub(super) fn remove(mut self) -> io::Result<()> {
        let removed = self.unlink();
        // Nothing is left for `drop`.
        self.owner = Arc::default();
        removed
    }

    /// Whether anybody removes it: this process, or the one that it serves for.
    #[cfg(feature = "activation")]
    pub(crate) fn is_owned(&self) -> bool {
        self.owner.load(SeqCst) != 0
    }

    /// Another process removes it.
    #[cfg(feature = "activation")]
    pub(crate) fn disown(&self) {
        self.owner.store(0, SeqCst);
    }

    /// The same file in another place.
    #[cfg(feature = "activation")]
    pub(crate) fn moved_to(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    #[cfg(feature = "activation")]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn unlink(&self) -> io::Result<()> {
        if self.owner.load(SeqCst) != process::id() {
            return Ok(());
        }
        match inode_of(&self.path) {
            Ok(inode) if inode == self.inode => fs::remove_file(&self.path),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = self.unlink() {
            // There is nobody to return it to.
            crate::failure::complain(format_args!(
                "the socket file {} could not be removed: {error}",
                self.path.display()
            ));
        }
    }
}

/// Device and inode of the socket at `path`; of what is not a socket, zeros, which no socket has.
pub(super) fn inode_of(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok(if file.file_type().is_socket() { (file.dev(), file.ino()) } else { (0, 0) })
}

/// Sets the mode of a socket file that is not there yet: Linux gives it that of the socket's own
/// inode, less the umask, as it makes it (`unix_bind_bsd` in `net/unix/af_unix.c`).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn narrow(socket: &Socket, _kind: Type, mode: u32) -> io::Result<()> {
    Ok(stat::fchmod(socket, Mode::from_bits_truncate(mode as _))?)
}

/// Elsewhere a socket has no mode of its own. To one that does not listen yet nobody can connect,
/// whatever the mode; a datagram socket can be sent to at once.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn narrow(_socket: &Socket, kind: Type, _mode: u32) -> io::Result<()> {
    if kind == Type::STREAM {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::Unsupported,
        "the mode of a datagram socket can't be set here before it is reachable; bind it in a \
         directory that only its clients may enter",
    ))
}

/// Allows what the umask has forbidden.
pub(super) fn widen(path: &Path, mode: u32) -> io::Result<()> {
    if fs::symlink_metadata(path)?.mode() & 0o777 == mode {
        return Ok(());
    }
    let mode = Mode::from_bits_truncate(mode as _);
    Ok(stat::fchmodat(AT_FDCWD, path, mode, FchmodatFlags::NoFollowSymlink)?)
}
