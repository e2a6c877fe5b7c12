//! What the types promise beside their methods.

use std::fmt::Debug;

use socketserver::testing::{
    Clock, Link, Memory, MemoryDatagramSocket, MemoryDatagrams, MemoryPacket, MemoryRequest,
    MemoryStream, Stall,
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
fn a_handler_of_connections_or_packets_takes_those_in_memory() {
    fn assert_handles<R, H: Handler<R>>() {}
    assert_handles::<MemoryRequest, Echo>();
    assert_handles::<MemoryPacket, Echo>();
    assert_handles::<MemoryRequest, socketserver::Guarded<Echo>>();
}
