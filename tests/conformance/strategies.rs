//! Strategies that break laws.

use std::any::Any;
use std::io;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::thread;

use socketserver::testing::{Law, strategy};
use socketserver::{Closing, Concurrency, Ending, Handler, Session, Sync, Transport};

use crate::{Outcome, breaks, keeps};

/// One request after the other, and one thing wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    DropsEveryThird,
    ForgetsEveryThird,
    EndsAfterAFailure,
    PanicsAfterAFailure,
    IgnoresTheStop,
    LeaksAThread,
    KeepsTheHandler,
}

static KEPT: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());

impl<T, H> Concurrency<T, H> for Wrong
where
    T: Transport,
    H: Handler<T::Request> + Send + std::marker::Sync + 'static,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        let mut number = 0;
        while let Some(job) = session.next_request()? {
            number += 1;
            match self {
                Self::DropsEveryThird if number % 3 == 0 => drop(job),
                Self::ForgetsEveryThird if number % 3 == 0 => mem::forget(job),
                Self::EndsAfterAFailure => {
                    if session.finish_request(job) != Ending::Finished {
                        return Ok(());
                    }
                }
                Self::PanicsAfterAFailure => {
                    assert_eq!(session.finish_request(job), Ending::Finished);
                }
                Self::KeepsTheHandler => {
                    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.push(Box::new(session.worker()));
                    session.finish_request(job);
                }
                _ => {
                    session.finish_request(job);
                }
            }
        }
        if *self == Self::IgnoresTheStop && session.is_stopping() {
            thread::park();
        }
        Ok(())
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        if *self == Self::LeaksAThread {
            thread::Builder::new().spawn(thread::park)?;
        }
        closing.drain().map(drop)
    }
}

pub(crate) fn nothing_wrong() -> Outcome {
    keeps(strategy(|| Wrong::Nothing))
}

pub(crate) fn drops() -> Outcome {
    breaks(&[Law::Conservation], strategy(|| Wrong::DropsEveryThird))
}

pub(crate) fn forgets() -> Outcome {
    breaks(&[Law::OnceEach], strategy(|| Wrong::ForgetsEveryThird))
}

pub(crate) fn ends_after_a_failure() -> Outcome {
    breaks(&[Law::LoopLives], strategy(|| Wrong::EndsAfterAFailure))
}

pub(crate) fn panics_after_a_failure() -> Outcome {
    breaks(&[Law::LoopLives], strategy(|| Wrong::PanicsAfterAFailure))
}

pub(crate) fn ignores_the_stop() -> Outcome {
    breaks(&[Law::StopIsSeen], strategy(|| Wrong::IgnoresTheStop))
}

pub(crate) fn leaks_a_thread() -> Outcome {
    breaks(&[Law::NothingRemains], strategy(|| Wrong::LeaksAThread))
}

pub(crate) fn keeps_the_handler() -> Outcome {
    breaks(&[Law::NothingRemains], strategy(|| Wrong::KeepsTheHandler))
}

/// Under it a client that is slow holds up all others, and the stop: a loop that stands still, where
/// something else has been said.
pub(crate) fn is_no_threading() -> Outcome {
    breaks(&[Law::LoopLives, Law::StopIsSeen], strategy(|| Sync).at_once())
}
