//! The target of a request as names below the root.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, percent_encode,
};

use super::status::Status;

/// What RFC 3986, 2.3 leaves as it is; everything else in a name is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path without `.`, `..` and empty names.
pub(crate) struct Target<'a> {
    names: Vec<OsString>,
    folder: bool,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Reads the target of a request line: a path, or a whole URL as proxies are sent.
    ///
    /// `..` goes up to the root and no further, whether or not its dots are encoded.
    pub(crate) fn parse(target: &'a str) -> Result<Self, Status> {
        let path = without_authority(target).ok_or(Status::BAD_REQUEST)?;
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let mut names = Vec::new();
        let mut folder = true;
        for part in path.split('/') {
            let name = Cow::from(percent_decode_str(part));
            folder = matches!(&*name, b"" | b"." | b"..");
            match &*name {
                b"" | b"." => {}
                b".." => drop(names.pop()),
                // No file has such a name; an encoded slash is not one between names.
                name if name.contains(&b'/') || name.contains(&0) => return Err(Status::NOT_FOUND),
                name => names.push(OsString::from_vec(name.to_vec())),
            }
        }
        Ok(Self { names, folder, query })
    }

    /// The decoded names, from the root on.
    pub(crate) fn names(&self) -> &[OsString] {
        &self.names
    }

    /// Whether it ends as the name of a folder does.
    pub(crate) fn is_folder(&self) -> bool {
        self.folder
    }

    /// The same with a slash at its end, and the query kept. It begins with one slash only: with
    /// two, a browser would take the first name for a host.
    pub(crate) fn as_folder(&self) -> String {
        let mut target = "/".to_owned();
        for name in &self.names {
            target.extend(encoded(name));
            target.push('/');
        }
        if let Some(query) = self.query {
            target.push('?');
            target.push_str(query);
        }
        target
    }

    /// The path for people to read.
    pub(crate) fn shown(&self) -> String {
        let names = self.names.iter().map(|name| name.to_string_lossy() + "/");
        "/".to_owned() + &names.collect::<String>()
    }
}

fn without_authority(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    Some(rest.find(['/', '?']).map_or("/", |at| &rest[at..]))
}

/// A name as it stands in a URL.
pub(crate) fn encoded(name: &OsStr) -> PercentEncode<'_> {
    percent_encode(name.as_bytes(), RESERVED)
}
