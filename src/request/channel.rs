//! A request that is a value.

use std::ops::{Deref, DerefMut};

use super::Request;

/// A job that came over a [`Channel`](crate::Channel): the value that was sent, which it looks like
/// through `Deref`.
///
/// It is dropped when the request has ended, whichever way that was. A handler that wants the value
/// itself takes it out of its place: with [`mem::take`](std::mem::take), or as an `Option` that was
/// sent as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRequest<T>(T);

impl<T> ChannelRequest<T> {
    pub(crate) fn new(job: T) -> Self {
        Self(job)
    }

    /// The value that was sent: for whoever takes jobs from the channel by
    /// [`get_request`](crate::Transport::get_request), without a server.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Request for ChannelRequest<T> {}

impl<T> Deref for ChannelRequest<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for ChannelRequest<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
