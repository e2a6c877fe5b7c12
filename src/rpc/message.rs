//! Calls and replies: the bodies of messages (RFC 5531, section 9).

use std::{error, fmt, io};

use super::auth::{self, Credentials};
use super::status::{AuthStat, Fault};
use super::xdr::{Garbage, Xdr};

/// The version of the protocol.
const RPC_VERSION: u32 = 2;

pub(super) const CALL: u32 = 0;
pub(super) const REPLY: u32 = 1;

const ACCEPTED: u32 = 0;
const DENIED: u32 = 1;

/// A message that is not a call, or so little of one that nobody can be answered: inside an
/// `io::Error` of the kind `InvalidData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotACall;

impl fmt::Display for NotACall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message that is not a call of ONC RPC")
    }
}

impl error::Error for NotACall {}

impl From<NotACall> for io::Error {
    fn from(not: NotACall) -> Self {
        Self::new(io::ErrorKind::InvalidData, not)
    }
}

/// Why a message is refused before anybody looks for its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    /// `RPC_MISMATCH`.
    RpcMismatch,
    /// `AUTH_ERROR`.
    Auth(AuthStat),
}

/// What is called, and by whom.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) program: u32,
    pub(super) version: u32,
    pub(super) procedure: u32,
    pub(super) credentials: Credentials,
}

/// Takes what stands before the arguments from `message`: the number that its reply has to have, and
/// what is called, or why it is denied.
pub(super) fn take_header(message: &mut &[u8]) -> Result<(u32, Result<Header, Denial>), NotACall> {
    header(message).map_err(|Garbage| NotACall)
}

fn header(message: &mut &[u8]) -> Result<(u32, Result<Header, Denial>), Garbage> {
    let (xid, kind, rpc_version): (u32, u32, u32) = Xdr::decode(message)?;
    if kind != CALL {
        return Err(Garbage);
    }
    // What comes behind another version is that version's.
    if rpc_version != RPC_VERSION {
        return Ok((xid, Err(Denial::RpcMismatch)));
    }
    let (program, version, procedure) = Xdr::decode(message)?;
    let credentials = auth::take(message)?;
    Ok((xid, credentials.map(|credentials| Header { program, version, procedure, credentials })))
}

/// Puts the beginning of a call without credentials; its arguments come behind.
pub(super) fn put_call(xid: u32, program: u32, version: u32, procedure: u32, bytes: &mut Vec<u8>) {
    (xid, CALL, RPC_VERSION).encode(bytes);
    (program, version, procedure).encode(bytes);
    put_no_auth(bytes);
    put_no_auth(bytes);
}

/// Puts the beginning of the reply to a call that has succeeded; its results come behind.
pub(super) fn put_success(xid: u32, reply: &mut Vec<u8>) {
    put_accepted(xid, 0, reply);
}

/// Puts the whole reply to one that has not.
pub(super) fn put_fault(xid: u32, fault: Fault, reply: &mut Vec<u8>) {
    match fault {
        Fault::ProgUnavail => put_accepted(xid, 1, reply),
        Fault::ProgMismatch { low, high } => {
            put_accepted(xid, 2, reply);
            (low, high).encode(reply);
        }
        Fault::ProcUnavail => put_accepted(xid, 3, reply),
        Fault::GarbageArgs => put_accepted(xid, 4, reply),
        Fault::SystemErr => put_accepted(xid, 5, reply),
        Fault::Auth(why) => put_denial(xid, Denial::Auth(why), reply),
    }
}

fn put_accepted(xid: u32, status: u32, reply: &mut Vec<u8>) {
    (xid, REPLY, ACCEPTED).encode(reply);
    put_no_auth(reply);
    status.encode(reply);
}

pub(super) fn put_denial(xid: u32, denial: Denial, reply: &mut Vec<u8>) {
    (xid, REPLY, DENIED).encode(reply);
    match denial {
        Denial::RpcMismatch => (0_u32, RPC_VERSION, RPC_VERSION).encode(reply),
        Denial::Auth(why) => (1_u32, why as u32).encode(reply),
    }
}

/// `AUTH_NONE`, and nothing of it.
fn put_no_auth(bytes: &mut Vec<u8>) {
    (0_u32, 0_u32).encode(bytes);
}
