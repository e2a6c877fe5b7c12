//! What the server says of itself, at paths that are no files: `--ready` and `--whoami`.

use super::reply::Reply;
use super::status::Status;
use crate::peer::Client;

/// The paths; none where the user has not given any.
#[derive(Clone, Default)]
pub(crate) struct About {
    /// Whether it is to be sent requests.
    pub(crate) ready: Option<String>,
    /// Whose request this is.
    pub(crate) whoami: Option<String>,
}

impl About {
    /// The reply to a request for one of the paths.
    pub(super) fn reply(&self, target: &str, client: &impl Client, stops: bool) -> Option<Reply> {
        let path = target.split('?').next();
        if self.ready.is_some() && self.ready.as_deref() == path {
            let (status, word) =
                if stops { (Status::UNAVAILABLE, "draining") } else { (Status::OK, "ready") };
            return Some(text(status, word.to_owned() + "\n"));
        }
        if self.whoami.is_some() && self.whoami.as_deref() == path {
            let who = client.address().map_or_else(|| "-".into(), |address| address.to_string());
            return Some(text(Status::OK, who + "\n"));
        }
        None
    }
}

/// It is true of now, and of nobody else.
fn text(status: Status, text: String) -> Reply {
    Reply::text(status, "text/plain; charset=utf-8", text).with("Cache-Control", "no-store")
}
