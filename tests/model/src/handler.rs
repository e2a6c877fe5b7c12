//! What of the library's `handler` the end of a server names.

pub(crate) trait Handler<R> {}
