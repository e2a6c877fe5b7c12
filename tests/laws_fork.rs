//! The laws under every strategy that makes processes, over every transport of sockets: each in a
//! process with one thread.
#![allow(clippy::expect_used, reason = "tests may, and clippy knows only the functions marked so")]

mod support;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use socketserver::testing::{Check, OverTcp, strategy};
use socketserver::{
    Authenticated, FinishInChild, ForkServer, Forking, InWorker, PreForking, Selecting, Sync,
    ThreadPool, UnixStream, Users,
};
#[cfg(feature = "proxy")]
use socketserver::{Proxied, Tcp};
use support::alone;
use support::forked::{LetsGo, Listed};
use support::reaches::{Files, OverSeveral, OverUdp, OverUnixDatagram, OverUnixStream};
use support::wrapped::{Knows, Wrapped};

/// A client of each schedule has a thread to itself.
const CLIENTS: usize = 10;

fn kept(piece: impl Check) -> Result<(), Box<dyn Error>> {
    let kept = piece.check()?;
    eprintln!("{kept}");
    Ok(())
}

/// Over these, and over what wraps a transport, whose clients the server has to know. Those of TLS have
/// a thread each.
macro_rules! under {
    ($($name:ident: $strategy:expr, over $($wire:ident)* $(, and $wrapped:ident)?;)*) => {
        $(mod $name {
            use super::*;

            $(pub(crate) fn $wire() -> Result<(), Box<dyn Error>> {
                kept($strategy.over(Listed(over!($wire))).within(LetsGo))
            })*

            $(pub(crate) mod $wrapped {
                use super::*;

                pub(crate) fn users() -> Result<(), Box<dyn Error>> {
                    kept($strategy.over(Listed(over!(users))).within(|inner| Knows(LetsGo(inner))))
                }

                #[cfg(feature = "proxy")]
                pub(crate) fn proxied() -> Result<(), Box<dyn Error>> {
                    kept($strategy.over(Listed(over!(proxied))).within(|inner| Knows(LetsGo(inner))))
                }
            })?
        })*

        fn main() -> ExitCode {
            alone::run(&[
                $($((concat!(stringify!($name), "::", stringify!($wire)), $name::$wire),)*)*
                $($(
                    (concat!(stringify!($name), "::users"), $name::$wrapped::users),
                    #[cfg(feature = "proxy")]
                    (concat!(stringify!($name), "::proxied"), $name::$wrapped::proxied),
                )?)*
            ])
        }
    };
}

macro_rules! over {
    (users) => {
        Wrapped::<Authenticated<UnixStream, Users>, false>::new(Files::new()?)
    };
    (proxied) => {
        Wrapped::<Proxied<Tcp>, true>::new(Files::new()?)
    };
    (tcp) => {
        OverTcp
    };
    (udp) => {
        OverUdp
    };
    (unix_stream) => {
        OverUnixStream(Files::new()?)
    };
    (unix_datagram) => {
        OverUnixDatagram(Files::new()?)
    };
    (several) => {
        OverSeveral(Files::new()?)
    };
}

under! {
    forking: strategy(Forking::new).at_once().inline(false).in_children(),
        over tcp udp unix_stream unix_datagram several, and wrapped;
    one_child_at_a_time: strategy(limited).in_children(),
        over tcp udp unix_stream unix_datagram several, and wrapped;
    fork_server: strategy(ForkServer::new).at_once().inline(false).in_children(),
        over tcp udp unix_stream unix_datagram several, and wrapped;
    finish_in_child: strategy(|| FinishInChild::new(Forking::new())).half_in_children(),
        over tcp udp unix_stream unix_datagram several, and wrapped;
    // What wraps a transport can't send on a request that has been begun.
    finish_in_child_of_helper: strategy(|| FinishInChild::new(ForkServer::new())).half_in_children(),
        over tcp udp unix_stream unix_datagram several;
    pre_forking: strategy(|| one_worker(Sync)).inline(true).in_workers(),
        over tcp udp unix_stream unix_datagram several, and wrapped;
    pre_forking_pool: strategy(|| one_worker(pool())).at_once().inline(true).in_workers(),
        over tcp udp unix_stream unix_datagram several, and wrapped;
    pre_forking_selecting: strategy(|| one_worker(Selecting::new(Sync))).inline(true).in_workers(),
        over tcp unix_stream several, and wrapped;
}

fn limited() -> Forking {
    Forking::new().max_children(1).expect("one is enough")
}

fn pool() -> ThreadPool {
    ThreadPool::new(CLIENTS).idle_timeout(Duration::ZERO)
}

/// Of several it would not be known which has taken the first.
fn one_worker<C: InWorker>(inside: C) -> PreForking<C> {
    PreForking::new(1, inside).expect("there is memory for a worker")
}
