//! The limits of the process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Enough for what one machine can be made to try.
const OPEN_FILES: u64 = 65_536;

/// Raises the limit of open descriptors as far as it may be: the usual 1024 is for those who call
/// `select(2)`.
pub(crate) fn raise_open_files() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = OPEN_FILES.min(hard);
    if soft < wanted {
        // It then serves with what it has; the library says so when descriptors run out.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
    }
}
