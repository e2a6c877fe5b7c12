//! One line of the list of what is being served.

use std::time::Instant;

/// A request that is being served, as it was when [`Live::list`](crate::Live::list) looked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// What [`Live::cut`](crate::Live::cut) knows it by: no other request has had this number.
    pub id: u64,
    /// Who is at the other end: an address and a port; a path, or else user and process, over a Unix
    /// socket; what the proxy said, behind one; what the request [said](crate::Activity::name) of
    /// itself. `None` where nobody knows, as of a connection that its peer has reset.
    pub peer: Option<String>,
    /// When it was taken.
    pub since: Instant,
    /// How many bytes have been read from its peer, as they went over the wire. `None` of a packet,
    /// and of a request that a process of its own handles. What a handler does with the socket
    /// [itself](crate::StreamRequest::get_ref) is not seen.
    pub received: Option<u64>,
    /// How many bytes have been sent; as above.
    pub sent: Option<u64>,
    /// All that has come from its peer has been answered: it is between two exchanges
    /// ([`Next::Again`](crate::Next::Again)).
    pub idle: bool,
    /// The process that handles it, where that is a child.
    pub process: Option<u32>,
}
