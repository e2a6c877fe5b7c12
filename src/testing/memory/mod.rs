//! Transports without descriptors, with faults that a test asks for and a clock that it moves.

mod clock;
mod datagram;
mod datagrams;
mod link;
mod network;
mod pipe;
mod queue;
mod stream;
mod transport;

pub use clock::Clock;
pub use datagram::MemoryDatagramSocket;
pub use datagrams::{MemoryDatagrams, MemoryPacket};
pub use link::{Link, Stall};
pub use stream::MemoryStream;
pub(crate) use transport::Script;
pub use transport::{InMemory, Memory, MemoryRequest};
