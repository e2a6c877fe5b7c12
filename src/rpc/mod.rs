//! Remote procedure calls: ONC RPC version 2 (RFC 5531), also known as Sun RPC, over connections and
//! in packets, with one handler for both.
//!
//! A [`Program`] has procedures, [`Rpc`] makes a handler of it, and that goes with every transport and
//! every strategy. Python's documentation wishes for it: "standard classes for Sun RPC (which uses
//! either UDP or TCP)".
//!
//! # Examples
//!
//! ```
//! use std::ops::RangeInclusive;
//! use std::time::UNIX_EPOCH;
//!
//! use socketserver::rpc::{Bounded, Call, Fault, Program, Rpc};
//! use socketserver::{Beside, Server, Tcp, Threading, Udp};
//!
//! struct Clock;
//!
//! impl Program for Clock {
//!     fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
//!         (program == 0x2000_0539).then_some(1..=1)
//!     }
//!
//!     fn call(&self, call: &mut Call<'_>) -> Result<(), Fault> {
//!         match call.procedure() {
//!             1 => {
//!                 let text: Bounded<String, 1024> = call.arguments()?;
//!                 call.reply(&text)
//!             }
//!             2 => {
//!                 let () = call.arguments()?;
//!                 let since = UNIX_EPOCH.elapsed().map_err(|_| Fault::SystemErr)?;
//!                 call.reply(&since.as_secs())
//!             }
//!             _ => Err(Fault::ProcUnavail),
//!         }
//!     }
//! }
//!
//! let tcp = Tcp::options().bind("127.0.0.1:0")?;
//! let udp = Udp::options().bind("127.0.0.1:0")?;
//! let server = Server::new(Beside::new(tcp, udp)?, Threading::new(), Rpc::new(Clock))?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What a caller is told
//!
//! | | by whom |
//! | --- | --- |
//! | `SUCCESS` | the program, and [`Rpc`] for procedure 0 of every program |
//! | `PROG_UNAVAIL`, `PROG_MISMATCH` | [`Rpc`], which asks for the program's [versions](Program::versions) |
//! | `PROC_UNAVAIL`, `SYSTEM_ERR` | the program, by a [`Fault`] |
//! | `GARBAGE_ARGS` | the program, by [`Call::arguments`] |
//! | `RPC_MISMATCH` | [`Rpc`]: another version of the protocol than 2 |
//! | `AUTH_ERROR` | [`Rpc`] for credentials that can't be understood, and the program |
//!
//! # Bounds
//!
//! Of a record: [`Rpc::max_record`], and 1024 fragments. Of credentials: 400 bytes, 255 of them the
//! machine's name, and 16 groups. Of strings and lists: their types' ([`Bounded`]). Memory is got for
//! what has come, never for what a length says is going to.
//!
//! There is no record of calls that have been answered: whoever calls again over UDP has the procedure
//! run again.

mod auth;
mod call;
mod endpoint;
mod message;
mod record;
mod registered;
mod request;
mod rpcbind;
mod service;
mod status;
mod xdr;

pub use auth::{AuthSys, Credentials};
pub use call::Call;
pub use endpoint::{Endpoint, Endpoints, Protocol};
pub use message::NotACall;
pub use record::BadRecord;
pub use registered::Registered;
pub use request::{Framing, RpcRequest};
pub use rpcbind::RPCBIND;
pub use service::{Program, Rpc};
pub use status::{AuthStat, Fault};
pub use xdr::{Bounded, Garbage, Xdr};
