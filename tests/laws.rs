//! The laws under every strategy that needs no process, over every transport, for random clients,
//! failures and stops: by the kit that is there for everybody's pieces.
#![allow(clippy::expect_used, reason = "tests may, and clippy knows only the functions marked so")]

mod support;

use std::time::Duration;

use socketserver::testing::{
    OverMemory, OverMemoryDatagrams, OverTcp, Strategy, keeps_the_laws, mixin, strategy,
};
use socketserver::{
    Authenticated, Forking, Selecting, StopAfterPanics, Sync, ThreadPool, Threading, UnixStream,
    Users,
};
#[cfg(feature = "proxy")]
use socketserver::{Proxied, Tcp};
use support::reaches::{Files, OverSeveral, OverUdp, OverUnixDatagram, OverUnixStream, Piecemeal};
#[cfg(feature = "tls")]
use support::wrapped::OverTls;
use support::wrapped::{Knows, Wrapped};

fn files() -> Files {
    Files::new().expect("there is a place for socket files")
}

/// A client of each schedule has a thread to itself.
const CLIENTS: usize = 10;

macro_rules! under {
    ($($name:ident: $strategy:expr, over $($wire:ident)*;)*) => {$(
        mod $name {
            use super::*;

            $(keeps_the_laws!($wire, $strategy.over(over!($wire)));)*
        }
    )*};
}

/// Over what wraps a transport, and knows its clients.
macro_rules! wrapped {
    ($($name:ident: $strategy:expr;)*) => {$(
        mod $name {
            use super::*;

            keeps_the_laws!(users, $strategy.over(over!(users)).within(Knows));
            #[cfg(feature = "proxy")]
            keeps_the_laws!(proxied, $strategy.over(over!(proxied)).within(Knows));
            #[cfg(feature = "tls")]
            keeps_the_laws!(tls, $strategy.over(OverTls(OverTcp)).within(Knows));
            #[cfg(all(feature = "proxy", feature = "tls"))]
            keeps_the_laws!(tls_proxied, $strategy.over(OverTls(over!(proxied))).within(Knows));
        }
    )*};
}

macro_rules! over {
    (users) => {
        Wrapped::<Authenticated<UnixStream, Users>, false>::new(files())
    };
    (proxied) => {
        Wrapped::<Proxied<Tcp>, true>::new(files())
    };
    (tcp) => {
        OverTcp
    };
    (udp) => {
        OverUdp
    };
    (unix_stream) => {
        OverUnixStream(files())
    };
    (unix_datagram) => {
        OverUnixDatagram(files())
    };
    (several) => {
        OverSeveral(files())
    };
    (memory) => {
        OverMemory
    };
    (in_pieces) => {
        Piecemeal(1)
    };
    (with_errors) => {
        Piecemeal(0)
    };
    (packets_in_memory) => {
        OverMemoryDatagrams
    };
}

under! {
    sync: strategy(|| Sync).inline(true),
        over tcp udp unix_stream unix_datagram several memory in_pieces with_errors packets_in_memory;
    threading: strategy(Threading::new).at_once().inline(false),
        over tcp udp unix_stream unix_datagram several memory in_pieces with_errors packets_in_memory;
    thread_pool: pool(CLIENTS).at_once().inline(true),
        over tcp udp unix_stream unix_datagram several memory in_pieces with_errors packets_in_memory;
    one_thread: pool(1).inline(true),
        over tcp udp unix_stream unix_datagram several memory in_pieces with_errors packets_in_memory;
    selecting: strategy(|| Selecting::new(Sync)).inline(true),
        over tcp unix_stream several;
    selecting_in_threads: strategy(|| Selecting::new(Threading::new())).inline(true),
        over tcp unix_stream several;
    selecting_in_a_pool: strategy(|| Selecting::new(ThreadPool::new(2))).inline(true),
        over tcp unix_stream several;
    // In a process with several threads.
    refused_forking: strategy(Forking::new).refuses(),
        over tcp udp;
}

wrapped! {
    sync_wrapped: strategy(|| Sync).inline(true);
    threading_wrapped: strategy(Threading::new).at_once().inline(false);
    thread_pool_wrapped: pool(CLIENTS).at_once().inline(true);
    one_thread_wrapped: pool(1).inline(true);
    selecting_wrapped: strategy(|| Selecting::new(Sync)).inline(true);
    selecting_in_threads_wrapped: strategy(|| Selecting::new(Threading::new())).inline(true);
    selecting_in_a_pool_wrapped: strategy(|| Selecting::new(ThreadPool::new(2))).inline(true);
    refused_forking_wrapped: strategy(Forking::new).refuses();
}

fn pool(threads: usize) -> Strategy<impl Fn() -> ThreadPool> {
    strategy(move || ThreadPool::new(threads).idle_timeout(Duration::ZERO))
}

keeps_the_laws!(
    a_mixin_that_counts_panics,
    mixin(|inner| {
        StopAfterPanics::new(inner, 10_000, Duration::from_secs(1))
            .expect("it is a sensible number")
    })
);
