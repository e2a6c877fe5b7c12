//! The answers that HTTP has.

/// A status, and what its page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) says: &'static str,
}

const fn status(code: u16, reason: &'static str, says: &'static str) -> Status {
    Status { code, reason, says }
}

impl Status {
    pub(crate) const OK: Self = status(200, "OK", "");
    pub(crate) const PARTIAL_CONTENT: Self = status(206, "Partial Content", "");
    pub(crate) const MOVED_PERMANENTLY: Self = status(301, "Moved Permanently", "");
    pub(crate) const NOT_MODIFIED: Self = status(304, "Not Modified", "");
    pub(crate) const BAD_REQUEST: Self =
        status(400, "Bad Request", "This is not a request of HTTP/1.1.");
    pub(crate) const FORBIDDEN: Self =
        status(403, "Forbidden", "The server may not read what has this name.");
    pub(crate) const NOT_FOUND: Self = status(404, "Not Found", "Nothing here has this name.");
    pub(crate) const METHOD_NOT_ALLOWED: Self =
        status(405, "Method Not Allowed", "Files can be read here, by GET and HEAD.");
    pub(crate) const REQUEST_TIMEOUT: Self =
        status(408, "Request Timeout", "The request did not come to its end in time.");
    pub(crate) const CONTENT_TOO_LARGE: Self = status(
        413,
        "Content Too Large",
        "The body of the request is longer than this server reads.",
    );
    pub(crate) const URI_TOO_LONG: Self =
        status(414, "URI Too Long", "The request line is longer than this server reads.");
    pub(crate) const RANGE_NOT_SATISFIABLE: Self =
        status(416, "Range Not Satisfiable", "The file has no such part.");
    pub(crate) const HEADERS_TOO_LARGE: Self = status(
        431,
        "Request Header Fields Too Large",
        "The head of the request is longer than this server reads.",
    );
    pub(crate) const SERVER_ERROR: Self =
        status(500, "Internal Server Error", "The file could not be read.");
    pub(crate) const NOT_IMPLEMENTED: Self =
        status(501, "Not Implemented", "This method, or this way to send a body, is unknown here.");
    pub(crate) const UNAVAILABLE: Self =
        status(503, "Service Unavailable", "The server is about to end.");
    pub(crate) const VERSION_NOT_SUPPORTED: Self =
        status(505, "HTTP Version Not Supported", "This server speaks HTTP/1.1 and HTTP/1.0.");
}
