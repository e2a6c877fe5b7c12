//! A folder as a page.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::Path;

use super::status::Status;
use super::target::{Target, encoded};
use super::tree::Tree;

/// The page, with a link for everything that can be had.
pub(crate) fn page(tree: &Tree, folder: &Path, target: &Target<'_>) -> Result<String, Status> {
    let entries = fs::read_dir(folder).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Status::FORBIDDEN,
        ErrorKind::NotFound => Status::NOT_FOUND,
        _ => Status::SERVER_ERROR,
    })?;
    let mut names: Vec<_> = entries.flatten().filter_map(|entry| name_of(tree, &entry)).collect();
    names.sort_by_cached_key(|(name, _)| (name.to_string_lossy().to_lowercase(), name.clone()));

    let title = format!("Index of {}", escaped(&target.shown()));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         </head>\n<body>\n<h1>{title}</h1>\n<ul>\n"
    );
    if !target.names().is_empty() {
        page.push_str("<li><a href=\"../\">../</a></li>\n");
    }
    for (name, slash) in names {
        let (link, text) = (encoded(&name), name.to_string_lossy());
        // Writing to a string does not fail.
        let _ = writeln!(page, "<li><a href=\"{link}{slash}\">{}{slash}</a></li>", escaped(&text));
    }
    page.push_str("</ul>\n</body>\n</html>\n");
    Ok(page)
}

/// The name of what a request for it would give, and what its link ends in: nothing that lies
/// outside, or that is neither a file nor a folder.
fn name_of(tree: &Tree, entry: &DirEntry) -> Option<(OsString, &'static str)> {
    let mut kind = entry.file_type().ok()?;
    if kind.is_symlink() {
        kind = fs::symlink_metadata(tree.inside(&entry.path()).ok()?).ok()?.file_type();
    }
    let slash = if kind.is_dir() { "/" } else { "" };
    (kind.is_dir() || kind.is_file()).then(|| (entry.file_name(), slash))
}

/// Text as it stands in a page.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
