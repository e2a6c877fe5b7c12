//! The directory that is served, and nothing outside it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::OFlag;
#[cfg(target_os = "linux")]
use nix::fcntl::{AT_FDCWD, OpenHow, ResolveFlag, openat2};

use super::status::Status;
use super::target::Target;

/// What is sent for a folder that has it, in place of a listing.
const INDEX_PAGES: [&str; 2] = ["index.html", "index.htm"];

/// A directory by its real path: one without symbolic links.
pub(crate) struct Tree {
    root: PathBuf,
}

/// What a target names.
pub(crate) enum Found {
    File(Served),
    Folder(PathBuf),
}

/// A file, open.
pub(crate) struct Served {
    pub(crate) file: File,
    pub(crate) length: u64,
    pub(crate) modified: Option<SystemTime>,
    pub(crate) content_type: String,
}

impl Tree {
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self { root: folder.canonicalize()? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What is there; for a folder with an index page, named as a folder, that page.
    pub(crate) fn find(&self, target: &Target<'_>) -> Result<Found, Status> {
        let mut path = self.root.clone();
        path.extend(target.names());
        let name = target.names().last().filter(|_| !target.is_folder());
        // Most are files without links on the way to them, and need not be looked for name by name.
        if let Some(Ok(file)) = name.map(|name| open(&path, name, open_without_links)) {
            return Ok(Found::File(file));
        }
        let path = self.inside(&path).map_err(|error| status_of(&error))?;
        if path.is_dir() {
            let page = target.is_folder().then(|| self.index_page(&path)).flatten();
            return Ok(page.map_or(Found::Folder(path), Found::File));
        }
        let name = name.ok_or(Status::NOT_FOUND)?;
        open(&path, name, open_real).map(Found::File).map_err(|error| status_of(&error))
    }

    /// The real path of what is inside the tree, links that stay inside included.
    pub(crate) fn inside(&self, path: &Path) -> io::Result<PathBuf> {
        let real = path.canonicalize()?;
        if real.starts_with(&self.root) { Ok(real) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn index_page(&self, folder: &Path) -> Option<Served> {
        let page = |name| {
            let path = self.inside(&folder.join(name)).ok()?;
            open(&path, OsStr::new(name), open_real).ok()
        };
        INDEX_PAGES.into_iter().find_map(page)
    }
}

/// Opens a file, by `how`; `name` is what it was asked for as.
fn open(path: &Path, name: &OsStr, how: fn(&Path) -> io::Result<File>) -> io::Result<Served> {
    // A device may act when it is opened, and a FIFO waits for a writer.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(ErrorKind::NotFound.into());
    }
    let file = how(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(ErrorKind::NotFound.into());
    }
    let content_type = content_type(name);
    Ok(Served { file, length: found.len(), modified: found.modified().ok(), content_type })
}

/// The real path has no links: one that has come since, at the end or on the way, is not followed.
/// A FIFO that has come since is not awaited.
fn open_real(real: &Path) -> io::Result<File> {
    match open_without_links(real) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
            OpenOptions::new().read(true).custom_flags(flags.bits()).open(real)
        }
        opened => opened,
    }
}

/// Follows no link, at the end or on the way; where the system can't say so, it opens nothing.
#[cfg(target_os = "linux")]
fn open_without_links(path: &Path) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, path, how) {
        // Linux before 5.6, or a sandbox that does not know the call.
        Err(Errno::ENOSYS | Errno::EPERM) => Err(ErrorKind::Unsupported.into()),
        opened => Ok(opened?.into()),
    }
}

/// See the Linux twin.
#[cfg(not(target_os = "linux"))]
fn open_without_links(_path: &Path) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

fn content_type(name: &OsStr) -> String {
    let guess = mime_guess::from_path(name).first_or_octet_stream();
    let (kind, subtype) = (guess.type_(), guess.subtype());
    // A page can say what its text is written in; without a word, other text would be taken for
    // Latin-1.
    if kind == mime_guess::mime::TEXT && subtype != mime_guess::mime::HTML {
        format!("{}; charset=utf-8", guess.essence_str())
    } else {
        guess.essence_str().to_owned()
    }
}

fn status_of(error: &io::Error) -> Status {
    let no_such_name = [Errno::ENAMETOOLONG, Errno::ELOOP, Errno::ENOTDIR];
    match error.kind() {
        ErrorKind::NotFound => Status::NOT_FOUND,
        ErrorKind::PermissionDenied => Status::FORBIDDEN,
        _ if no_such_name
            .map(|errno| errno as i32)
            .contains(&error.raw_os_error().unwrap_or(0)) =>
        {
            Status::NOT_FOUND
        }
        _ => Status::SERVER_ERROR,
    }
}
