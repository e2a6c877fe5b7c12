//! Sockets that come from another process, and go to one.

mod environment;
mod hand_over;
mod inherited;
mod message;
mod notify;
mod offered;

pub use hand_over::HandOver;
pub use inherited::Inherited;
pub use notify::notify;
pub use offered::Offered;
