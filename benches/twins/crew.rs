//! Leader and followers by hand: whoever takes a request also handles it.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{Looks, Running, Stop, passes};

/// As many as the composed server keeps.
const MOST_WAITING: usize = 64;

const STOP: u64 = 0;
const SOCKET: u64 = 1;

/// What a service does beside waiting.
pub(super) trait Service: Send + Sync + 'static {
    type Socket: AsFd;
    type Request;

    fn socket(&self) -> &Self::Socket;
    fn take(&self) -> io::Result<Self::Request>;
    fn handle(&self, request: Self::Request);
}

struct Crew<S> {
    service: S,
    stop: Arc<Stop>,
    epoll: Epoll,
    waiting: AtomicUsize,
    running: Running,
    error: Mutex<Option<io::Error>>,
}

/// Serves until it is stopped, and waits for the threads.
pub(super) fn serve<S: Service>(service: S, stop: &Arc<Stop>) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let once = EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT;
    epoll.add(service.socket(), EpollEvent::new(once, SOCKET))?;
    epoll.add(&stop.wake, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
    let (waiting, running, stop) = (AtomicUsize::new(1), Running::default(), Arc::clone(stop));
    let crew = Arc::new(Crew { service, stop, epoll, waiting, running, error: Mutex::default() });
    start(&crew)?;
    crew.running.wait();
    let error = crew.error.lock().unwrap_or_else(PoisonError::into_inner).take();
    error.map_or(Ok(()), Err)
}

fn start<S: Service>(crew: &Arc<Crew<S>>) -> io::Result<()> {
    crew.running.begin();
    let own = Arc::clone(crew);
    thread::Builder::new().spawn(move || {
        if let Err(error) = follow(&own) {
            *own.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            own.stop.stop();
        }
        own.running.end();
    })?;
    Ok(())
}

fn follow<S: Service>(crew: &Arc<Crew<S>>) -> io::Result<()> {
    let (mut turn, mut looks) = (false, Looks::default());
    while !crew.stop.asked() {
        if looks.wait_first() {
            if turn {
                pass_on(crew)?;
            }
            let mut event = [EpollEvent::empty()];
            let woken = crew.epoll.wait(&mut event, EpollTimeout::NONE);
            turn = woken == Ok(1) && event[0].data() == SOCKET;
        }
        match crew.service.take() {
            Ok(request) => {
                looks.found();
                if turn {
                    pass_on(crew)?;
                    turn = false;
                }
                if crew.waiting.fetch_sub(1, Ordering::SeqCst) == 1
                    && crew
                        .waiting
                        .compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst)
                        .is_ok()
                {
                    start(crew)?;
                }
                crew.service.handle(request);
                let more = |waiting| (waiting < MOST_WAITING).then_some(waiting + 1);
                if crew.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => looks.in_vain(),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Lets the socket wake another one.
fn pass_on<S: Service>(crew: &Crew<S>) -> io::Result<()> {
    let once = EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT;
    Ok(crew.epoll.modify(crew.service.socket(), &mut EpollEvent::new(once, SOCKET))?)
}
