//! The paths of Unix sockets: who may take one over, and who may connect. Each case has a process
//! of its own, for its umask and its user, and some have more.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net as unix;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, seteuid};
use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::{Outcome, Server, Sync as OneByOne, UnixDatagram, UnixStream};
use support::net::Echo;
use support::{alone, role};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const NOBODY: Uid = Uid::from_raw(65534);

/// The two transports, where a case is the same for both.
#[derive(Clone, Copy)]
enum Kind {
    Stream,
    Datagram,
}

const KINDS: [Kind; 2] = [Kind::Stream, Kind::Datagram];

#[expect(dead_code, reason = "held to be dropped")]
enum Held {
    Stream(UnixStream),
    Datagram(UnixDatagram),
}

fn claim(kind: Kind, path: &Path) -> io::Result<Held> {
    Ok(match kind {
        Kind::Stream => Held::Stream(UnixStream::options().claim_stale(true).bind(path)?),
        Kind::Datagram => Held::Datagram(UnixDatagram::options().claim_stale(true).bind(path)?),
    })
}

/// Leaves what a killed server leaves.
fn leave_dead(kind: Kind, path: &Path) -> io::Result<()> {
    match kind {
        Kind::Stream => unix::UnixListener::bind(path).map(drop),
        Kind::Datagram => unix::UnixDatagram::bind(path).map(drop),
    }
}

/// Whether a server of this kind is there.
fn is_served(kind: Kind, path: &Path) -> io::Result<()> {
    match kind {
        Kind::Stream => unix::UnixStream::connect(path).map(drop),
        Kind::Datagram => unix::UnixDatagram::unbound()?.connect(path),
    }
}

/// The names in `dir`.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().unwrap());
    let mut names: Vec<_> = fs::read_dir(dir)?.map(name).collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// Asserts that `path` can't be claimed, for a reason that the error says.
#[track_caller]
fn assert_left(kind: Kind, path: &Path, why: &str) {
    let error = claim(kind, path).err().expect("not to be claimed");
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    assert!(error.to_string().contains(why), "{why:?} is missing in: {error}");
}

fn a_dead_servers_path_is_taken_over() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    for dead in KINDS {
        for kind in KINDS {
            leave_dead(dead, &path)?;
            let held = claim(kind, &path)?;
            is_served(kind, &path)?;
            assert_eq!(names(dir.path())?, ["socket"], "no lock remains");
            drop(held);
            assert_eq!(names(dir.path())?, [""; 0]);
        }
    }
    leave_dead(Kind::Stream, &path)?;
    let unasked = UnixStream::options().bind(&path).expect_err("not without being asked");
    assert!(unasked.to_string().contains("claim_stale"), "{unasked}");
    Ok(())
}

fn a_relative_path_is_taken_over() -> Result {
    let dir = tempfile::tempdir()?;
    std::env::set_current_dir(dir.path())?;
    leave_dead(Kind::Stream, Path::new("socket"))?;
    let held = claim(Kind::Stream, Path::new("socket"))?;
    std::env::set_current_dir("/")?;
    drop(held);
    assert_eq!(names(dir.path())?, [""; 0]);
    Ok(())
}

fn a_live_server_keeps_its_path_and_hears_nothing() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    let mut stream =
        Server::new(UnixStream::options().request_queue_size(1).bind(&path)?, OneByOne, Echo)?;
    for kind in KINDS {
        assert_left(kind, &path, "it has a server");
    }
    assert_eq!(stream.handle_request_timeout(Duration::ZERO)?, Outcome::TimedOut);
    // Nor one that is too busy to take connections.
    let busy = [unix::UnixStream::connect(&path)?, unix::UnixStream::connect(&path)?];
    assert_left(Kind::Stream, &path, "it has a server");
    drop(busy);
    stream.close()?;

    let mut packets = Server::new(UnixDatagram::options().bind(&path)?, OneByOne, Echo)?;
    for kind in KINDS {
        assert_left(kind, &path, "it has a server");
    }
    assert_eq!(packets.handle_request_timeout(Duration::ZERO)?, Outcome::TimedOut);
    packets.close()?;

    // Between bind(2) and listen(2) a connection would be refused as by a dead one.
    let bound = UnixStream::options().server_bind(&path)?;
    for kind in KINDS {
        assert_left(kind, &path, "it has a server");
    }
    drop(bound.server_activate()?);

    let other_kind = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    other_kind.bind(&SockAddr::unix(&path)?)?;
    assert_left(Kind::Stream, &path, "it has a server");
    assert_eq!(names(dir.path())?, ["socket"]);
    Ok(())
}

fn what_is_not_a_socket_is_left() -> Result {
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "precious")?;
    fs::create_dir(at("directory"))?;
    leave_dead(Kind::Stream, &at("dead"))?;
    symlink(at("dead"), at("link-to-dead"))?;
    symlink(at("file"), at("link-to-file"))?;
    symlink(at("nothing"), at("link-to-nothing"))?;
    let before = names(dir.path())?;
    for name in ["file", "directory", "link-to-dead", "link-to-file", "link-to-nothing"] {
        for kind in KINDS {
            assert_left(kind, &at(name), "not a socket");
        }
    }
    assert_eq!(names(dir.path())?, before);
    assert_eq!(fs::read_to_string(at("file"))?, "precious");
    Ok(())
}

/// Runs as somebody who has no privileges.
fn what_cannot_be_asked_is_left() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    leave_dead(Kind::Stream, &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000))?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
    if Uid::effective().is_root() {
        seteuid(NOBODY)?;
    }
    assert_left(Kind::Stream, &path, "can't be told");
    assert_eq!(names(dir.path())?, ["socket"]);
    if Uid::current().is_root() {
        seteuid(Uid::current())?;
    }

    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555))?;
    if Uid::effective().is_root() {
        seteuid(NOBODY)?;
    }
    let error = claim(Kind::Stream, &path).err().expect("nothing can be made here");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("socket.lock"), "{error}");
    if Uid::current().is_root() {
        seteuid(Uid::current())?;
    }
    Ok(fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?)
}

fn a_lock_is_no_file_of_somebody_elses() -> Result {
    let dir = tempfile::tempdir()?;
    let (path, lock) = (dir.path().join("socket"), dir.path().join("socket.lock"));
    leave_dead(Kind::Stream, &path)?;

    fs::write(&lock, "precious")?;
    let error = claim(Kind::Stream, &path).err().expect("something is in the way");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&lock)?, "precious");
    fs::remove_file(&lock)?;

    symlink(dir.path().join("elsewhere"), &lock)?;
    assert!(claim(Kind::Stream, &path).is_err());
    assert_eq!(names(dir.path())?, ["socket", "socket.lock"]);
    fs::remove_file(&lock)?;

    // Of a server that was killed while it had it.
    let other = Flock::lock(fs::File::create(&lock)?, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)?;
    assert_left(Kind::Stream, &path, "is claiming it");
    drop(other);
    let _held = claim(Kind::Stream, &path)?;
    assert_eq!(names(dir.path())?, ["socket"]);
    Ok(())
}

/// A role: claims the path that it is told whenever it is told "claim", says what came of it, and
/// lets go at "end".
fn claimer(arguments: &[String]) -> Result {
    let [kind, path] = arguments else { return Err("a kind and a path".into()) };
    let kind = if kind == "stream" { Kind::Stream } else { Kind::Datagram };
    let mut held = None;
    for line in io::stdin().lines() {
        if line? == "end" {
            held = None;
            println!("ended");
            continue;
        }
        match claim(kind, path.as_ref()) {
            Ok(claimed) => {
                held = Some(claimed);
                println!("won");
            }
            Err(error) => println!("{:?}", error.kind()),
        }
    }
    drop(held);
    Ok(())
}

fn of_many_claimers_one_wins() -> Result {
    const CLAIMERS: usize = 8;
    const ROUNDS: usize = 100;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    for (kind, name) in KINDS.into_iter().zip(["stream", "datagram"]) {
        let mut claimers: Vec<Claimer> =
            (0..CLAIMERS).map(|_| Claimer::start(name, &path)).collect::<Result<_>>()?;
        for round in 0..ROUNDS {
            if round % 4 != 0 {
                leave_dead(kind, &path)?;
            }
            let mut said = Claimer::all(&mut claimers, "claim")?;
            said.sort();
            let mut expected = vec!["AddrInUse"; CLAIMERS - 1];
            expected.push("won");
            assert_eq!(said, expected, "{name}, round {round}");
            is_served(kind, &path)?;
            assert_eq!(names(dir.path())?, ["socket"]);
            Claimer::all(&mut claimers, "end")?;
            assert_eq!(names(dir.path())?, [""; 0]);
        }
        for claimer in claimers {
            drop(claimer.input);
            role::finished(claimer.child)?;
        }
    }
    Ok(())
}

struct Claimer {
    child: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Claimer {
    fn start(kind: &str, path: &Path) -> Result<Self> {
        let mut command = role::command("claimer")?;
        let mut child = command.arg(kind).arg(path).stdin(Stdio::piped()).spawn()?;
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Ok(Self { child, input, output })
    }

    /// Tells all the same at about the same time, and returns what they say.
    fn all(claimers: &mut [Self], what: &str) -> Result<Vec<String>> {
        for claimer in &mut *claimers {
            writeln!(claimer.input, "{what}")?;
        }
        let answer = |claimer: &mut Self| -> Result<String> {
            let mut line = String::new();
            claimer.output.read_line(&mut line)?;
            Ok(line.trim().to_owned())
        };
        claimers.iter_mut().map(answer).collect()
    }
}

/// A role: has the path again and again, and finds it to be its own for as long as it has it.
fn churner(arguments: &[String]) -> Result {
    let [path] = arguments else { return Err("a path".into()) };
    let path = Path::new(path);
    let mut won = 0;
    for _ in 0..20_000 {
        match claim(Kind::Stream, path) {
            Ok(_held) => {
                let inode = fs::symlink_metadata(path)?.ino();
                is_served(Kind::Stream, path)?;
                assert_eq!(fs::symlink_metadata(path)?.ino(), inode);
                won += 1;
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
        if won == 300 {
            break;
        }
    }
    if won == 0 { Err("never had it".into()) } else { Ok(()) }
}

fn a_server_that_closes_takes_nobodys_path() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    let start = |_| Ok(role::command("churner")?.arg(&path).stdout(Stdio::null()).spawn()?);
    let churners: Vec<_> = (0..4).map(start).collect::<Result<_>>()?;
    for churner in churners {
        role::finished(churner)?;
    }
    assert_eq!(names(dir.path())?, [""; 0]);
    Ok(())
}

fn mode_of(path: &Path) -> io::Result<u32> {
    Ok(fs::symlink_metadata(path)?.mode() & 0o7777)
}

fn the_mode_is_the_one_asked_for() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    for mask in [0, 0o022, 0o077, 0o777] {
        umask(Mode::from_bits_truncate(mask));
        for mode in [0o600, 0o660, 0o666, 0o777, 0] {
            let bound = UnixStream::options().mode(mode).server_bind(&path)?;
            assert_eq!(mode_of(&path)?, mode, "before it listens, umask {mask:o}");
            drop(bound);
            leave_dead(Kind::Datagram, &path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o200))?;
            let _held = UnixDatagram::options().claim_stale(true).mode(mode).bind(&path)?;
            assert_eq!(mode_of(&path)?, mode, "umask {mask:o}");
        }
        assert!(umask(Mode::from_bits_truncate(mask)).bits() == mask, "the umask is let be");
    }
    Ok(())
}

/// Looks at the file all the time while it is made.
fn the_mode_is_never_wider_than_asked_for() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    umask(Mode::empty());
    let (seen, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| -> Result {
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                seen.fetch_or(mode_of(&path).unwrap_or_default(), Ordering::Relaxed);
            }
        });
        let bind = || UnixDatagram::options().mode(0o600).bind(&path);
        let bound: io::Result<()> = (0..5000).try_for_each(|_| bind().map(drop));
        over.store(true, Ordering::Relaxed);
        assert!(watcher.join().is_ok());
        Ok(bound?)
    })?;
    assert_eq!(seen.into_inner(), 0o600, "both seen, and not more");
    Ok(())
}

fn the_mode_decides_who_connects() -> Result {
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    let (all, own) = (dir.path().join("all"), dir.path().join("own"));
    let _all = UnixStream::options().mode(0o666).bind(&all)?;
    let _own = UnixStream::options().mode(0o600).bind(&own)?;
    if !Uid::effective().is_root() {
        eprintln!("SKIPPED: only root can be somebody else");
        return Ok(());
    }
    seteuid(NOBODY)?;
    is_served(Kind::Stream, &all)?;
    let error = is_served(Kind::Stream, &own).expect_err("not for others");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    // The file is in root's folder.
    Ok(seteuid(Uid::from_raw(0))?)
}

fn a_mode_that_is_none_is_refused_with_words() -> Result {
    let dir = tempfile::tempdir()?;
    let cases = [
        // 600 without its `0o`.
        (dir.path().join("socket"), 0o1130, "octal"),
        (dir.path().join("socket"), 0o1777, "octal"),
        (Path::new("\0socketserver-mode").to_path_buf(), 0o600, "not a path"),
    ];
    for (path, mode, hint) in cases {
        let stream = UnixStream::options().mode(mode).bind(&path).expect_err("refused");
        let packets = UnixDatagram::options().mode(mode).bind(&path).expect_err("refused");
        for error in [stream, packets] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
    assert_eq!(names(dir.path())?, [""; 0]);
    Ok(())
}

fn main() -> ExitCode {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => { &[$((stringify!($case), $case),)*] };
    }
    role::play(&[("claimer", claimer), ("churner", churner)]).unwrap_or_else(|| {
        alone::run(cases![
            a_dead_servers_path_is_taken_over,
            a_relative_path_is_taken_over,
            a_live_server_keeps_its_path_and_hears_nothing,
            what_is_not_a_socket_is_left,
            what_cannot_be_asked_is_left,
            a_lock_is_no_file_of_somebody_elses,
            of_many_claimers_one_wins,
            a_server_that_closes_takes_nobodys_path,
            the_mode_is_the_one_asked_for,
            the_mode_is_never_wider_than_asked_for,
            the_mode_decides_who_connects,
            a_mode_that_is_none_is_refused_with_words,
        ])
    })
}
