//! Events, written down.

use super::Handler;
use crate::event::Event;

/// A handler whose server's events are written to the `log` crate, target `socketserver`: failures
/// and refusals at the level `debug`, the rest at `trace`. With the feature `log`.
///
/// The feature alone has what the library says by itself (the default of
/// [`handle_error`](Handler::handle_error), of
/// [`get_request_failed`](Handler::get_request_failed)) go there as warnings, where a logger
/// listens to them, and not to stderr.
///
/// # Examples
///
/// ```
/// use socketserver::{Logged, TcpRequest, TcpServer, handler_fn};
///
/// let handler = Logged(handler_fn(|_conn: &mut TcpRequest| Ok(())));
/// let server = TcpServer::bind("127.0.0.1:0", handler)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Logged<H>(pub H);

impl<R, H: Handler<R>> Handler<R> for Logged<H> {
    crate::forward_hooks!(R, self => self.0;
        handle missing setup finish verify_request handle_error handle_timeout
        service_actions get_request_failed panicked child_init);

    fn event(&self, event: Event) {
        match event {
            Event::Accepted => log::trace!(target: "socketserver", "a request was accepted"),
            Event::Finished => log::trace!(target: "socketserver", "a request was handled"),
            Event::Failed(kind) => {
                log::debug!(target: "socketserver", "a request failed: {kind}");
            }
            Event::Refused(why) => {
                log::debug!(target: "socketserver", "a request was turned away: {why}");
            }
            Event::AcceptFailed => {
                log::debug!(target: "socketserver", "a request could not be accepted");
            }
        }
        self.0.event(event);
    }
}

super::forward_halves!(Logged<H>, self => self.0;);
