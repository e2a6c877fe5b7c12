//! What is seldom: descriptors and threads run out, a request's own code panics, bytes are urgent.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::libc::EMFILE;
use socket2::SockRef;
use socketserver::{
    Concurrency, Counters, FailureKind, LocalAddr, Progress, Request, Room, Running, Selectable,
    Selecting, Server, Sync as OneByOne, Tcp, TcpRequest, Threading, Transport, Waiter,
};

use crate::rig::{Ear, Lines, Result, Table, exchange, hear, hear_last, lines, say};
use crate::support::net::connect;

/// TCP without descriptors, when the test says so, and with requests that panic somewhere.
struct Odd {
    tcp: Tcp,
    short: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    panics: &'static str,
}

impl Transport for Odd {
    type Request = Fragile;

    fn get_request(&self) -> io::Result<Option<Fragile>> {
        self.asked.fetch_add(1, SeqCst);
        if self.short.load(SeqCst) {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let panics = self.panics;
        Ok(self.tcp.get_request()?.map(|inner| Fragile { inner, panics }))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.tcp.wait(waiter)
    }
}

impl LocalAddr for Odd {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl AsFd for Odd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

/// A connection that panics in the method of this name.
struct Fragile {
    inner: TcpRequest,
    panics: &'static str,
}

impl Fragile {
    fn at(&self, method: &str) {
        assert_ne!(self.panics, method, "as it was asked");
    }
}

impl Request for Fragile {
    fn establish(&mut self) -> io::Result<()> {
        self.inner.establish()
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.inner.deliver()
    }

    fn next_exchange(&mut self) -> io::Result<()> {
        self.inner.next_exchange()
    }

    fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.at("connection");
        self.inner.connection()
    }

    fn shutdown_request(&mut self) {
        self.inner.shutdown_request();
    }
}

impl Selectable for Fragile {
    fn advance(&mut self, room: &mut Room) -> io::Result<Progress> {
        self.at("advance");
        self.inner.advance(room)
    }

    fn input(&self) -> &[u8] {
        self.at("input");
        self.inner.input()
    }

    fn until(&mut self) -> Option<Instant> {
        self.at("until");
        self.inner.until()
    }
}

impl Read for Fragile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read(bytes)
    }
}

impl BufRead for Fragile {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

impl Write for Fragile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Served<C> {
    running: Running<Odd, C, Lines>,
    address: SocketAddr,
    ear: Ear,
    short: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    counters: Counters,
}

fn serve<C: Concurrency<Odd, Lines> + Send + 'static>(
    strategy: C,
    panics: &'static str,
) -> Result<Served<C>> {
    let (short, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let odd = Odd { tcp, short: Arc::clone(&short), asked: Arc::clone(&asked), panics };
    let (handler, ear) = lines();
    let counters = Counters::new()?;
    let running = Server::new(odd, strategy, handler)?.counters(&counters).spawn()?;
    let address = running.local_addr()?;
    Ok(Served { running, address, ear, short, asked, counters })
}

/// Those that are there go on, nobody asks all the time, and the others come in afterwards.
fn short<C: Concurrency<Odd, Lines> + Send + 'static>(strategy: C) -> Result {
    let served = serve(strategy, "")?;
    let mut inside = connect(served.address)?;
    exchange(&mut inside, "in\n")?;
    served.short.store(true, SeqCst);
    let mut outside = connect(served.address)?;
    say(&mut outside, "out\n")?;
    let (before, begun) = (served.asked.load(SeqCst), Instant::now());
    let mut exchanges = 0_u32;
    while begun.elapsed() < Duration::from_millis(300) {
        exchange(&mut inside, "still in\n")?;
        exchanges += 1;
    }
    // The pauses are of 5 ms, 10, 20 and so on: one for each attempt, and no exchange in all of them.
    let attempts = served.asked.load(SeqCst) - before;
    assert!((1..20).contains(&attempts), "{attempts} attempts in {:?}", begun.elapsed());
    assert!(exchanges > 20, "{exchanges}");
    served.short.store(false, SeqCst);
    hear(&mut outside, "out\n")?;
    served.running.stop();
    served.running.join()?.close()?;
    Ok(())
}

#[test]
fn want_of_descriptors_stalls_nobody_who_is_there() -> Result {
    short(Selecting::new(OneByOne))?;
    short(Selecting::new(Threading::new()))
}

/// The pause ends with the stop, be it a second long.
fn stopped_while_short<C: Concurrency<Odd, Lines> + Send + 'static>(
    strategy: C,
) -> Result<Duration> {
    let served = serve(strategy, "")?;
    served.short.store(true, SeqCst);
    let _outside = connect(served.address)?;
    // From the eighth attempt on.
    while served.asked.load(SeqCst) < 9 {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    served.running.stop();
    served.running.join()?.close()?;
    Ok(begun.elapsed())
}

#[test]
fn a_stop_does_not_wait_for_descriptors() -> Result {
    // One of them in time will do, on a busy machine.
    let soon = |took: Duration| took < Duration::from_millis(400);
    let mut took = Vec::new();
    while took.len() < 3 {
        took.push(stopped_while_short(Selecting::new(OneByOne))?);
        if took.iter().copied().any(soon) {
            return Ok(());
        }
    }
    panic!("{took:?}")
}

/// The strategy inside can't have a thread for any visit.
#[test]
fn want_of_threads_is_told_to_the_handler() -> Result {
    let (handler, ear) = lines();
    let strategy = Selecting::new(Threading::new().stack_size(usize::MAX / 4));
    let table = Table::<Tcp, _, _>::new(strategy, handler)?;
    for _ in 0..3 {
        hear_last(&mut table.client("")?, "sorry\n")?;
        ear.hears("failed: Start NotStarted")?;
    }
    let counters = table.counters.clone();
    table.close()?;
    let lost = counters.failed_by(FailureKind::Lost);
    assert_eq!([counters.failed_by(FailureKind::NotStarted), lost, counters.active()], [3, 0, 0]);
    assert!(ear.said.is_empty());
    Ok(())
}

/// Each connection ends, with its failure told, and the table goes on.
#[test]
fn panics_of_a_request_are_contained() -> Result {
    let told = [
        ("advance", Some("failed: Establish Panic")),
        ("input", Some("failed: Handle Panic")),
        ("connection", Some("failed: Handle Error")),
        ("until", None),
    ];
    for (method, failed) in told {
        let served = serve(Selecting::new(OneByOne), method)?;
        for _ in 0..3 {
            let mut client = connect(served.address)?;
            match failed {
                Some(failed) => {
                    served.ear.hears(failed)?;
                    client.read_to_end(&mut Vec::new())?;
                }
                // It waits, and for ever.
                None => exchange(&mut client, "all is well\n")?,
            }
        }
        served.running.stop();
        served.running.join()?.close()?;
        let lost = served.counters.failed_by(FailureKind::Lost);
        assert_eq!([served.counters.accepted(), lost, served.counters.active()], [3, 0, 0]);
    }
    Ok(())
}

/// A read ends before an urgent byte, and there is more behind it.
#[test]
fn urgent_bytes_hide_nothing() -> Result {
    let (handler, ear) = lines();
    let table = Table::<Tcp, _, _>::new(Selecting::new(OneByOne), handler)?;
    let mut client: TcpStream = table.client("")?;
    exchange(&mut client, "one\n")?;
    let mut other = table.client("wait\n")?;
    ear.hears("one")?;
    ear.hears("wait")?;
    say(&mut client, "two")?;
    SockRef::from(&client).send_out_of_band(b"!")?;
    say(&mut client, "three\n")?;
    ear.go.send(())?;
    hear(&mut other, "wait\n")?;
    hear(&mut client, "twothree\n")?;
    exchange(&mut client, "four\n")?;
    table.close()?;
    Ok(())
}
