//! The laws under every strategy that needs no process, over every transport, for random clients,
//! failures and stops: by the kit that is there for everybody's pieces.
#![allow(clippy::expect_used, reason = "tests may, and clippy knows only the functions marked so")]

mod support;

use std::time::Duration;

use socketserver::testing::{
    OverMemory, OverMemoryDatagrams, OverTcp, Strategy, keeps_the_laws, mixin, strategy,
};
use socketserver::{Forking, Selecting, StopAfterPanics, Sync, ThreadPool, Threading};
use support::reaches::{Files, OverSeveral, OverUdp, OverUnixDatagram, OverUnixStream, Piecemeal};

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

macro_rules! over {
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
