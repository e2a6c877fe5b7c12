//! What the types promise beside their methods.

use std::fmt::Debug;

use socketserver::testing::{
    Broken, Clock, Kept, Law, Link, Memory, MemoryDatagramClient, MemoryDatagramSocket,
    MemoryDatagrams, MemoryPacket, MemoryRequest, MemoryStream, Mixin, Over, OverMemory,
    OverMemoryDatagrams, OverTcp, Rig, Stall, Strategy, Teller, Visit, Watched,
};
use socketserver::{Handler, Options, Running, Server, Sync as OneByOne, ThreadPool, Threading};

use crate::support::net::Echo;

fn assert_send_sync_debug<T: Send + Sync + Debug>() {}
fn assert_clone<T: Clone>() {}

#[test]
fn what_is_in_memory_goes_anywhere_and_can_be_printed() {
    assert_send_sync_debug::<(Memory, MemoryRequest, MemoryStream, Options<Memory>)>();
    assert_send_sync_debug::<(MemoryDatagrams, MemoryPacket, MemoryDatagramSocket)>();
    assert_send_sync_debug::<(Clock, Link, Stall, Options<MemoryDatagrams>)>();
    assert_send_sync_debug::<Server<Memory, OneByOne, Echo>>();
    assert_send_sync_debug::<Running<Memory, Threading, Echo>>();
    assert_send_sync_debug::<Running<MemoryDatagrams, ThreadPool, Echo>>();
    assert_clone::<(Clock, Link, Stall)>();
}

#[test]
fn what_the_laws_are_checked_with_goes_anywhere_and_can_be_printed() {
    assert_send_sync_debug::<(OverTcp, OverMemory, OverMemoryDatagrams, MemoryDatagramClient)>();
    assert_send_sync_debug::<(Watched<Memory>, Visit<MemoryRequest>, Teller)>();
    assert_send_sync_debug::<(Strategy<()>, Over<()>, Mixin<()>, Rig<(), ()>)>();
    assert_send_sync_debug::<(Law, Broken, Kept)>();
    assert_clone::<(Law, Kept, OverTcp, OverMemory, OverMemoryDatagrams)>();
}

#[test]
fn a_handler_of_connections_or_packets_takes_those_in_memory() {
    fn assert_handles<R, H: Handler<R>>() {}
    assert_handles::<MemoryRequest, Echo>();
    assert_handles::<MemoryPacket, Echo>();
    assert_handles::<MemoryRequest, socketserver::Guarded<Echo>>();
}
