//! Sockets that the process was started with, as systemd and its kin pass them: `sd_listen_fds(3)`.

use std::env::{self, VarError};
use std::io::{self, ErrorKind};
use std::os::fd::RawFd;
use std::process;

use super::Inherited;
use super::inherited::Passed;
use crate::sys;

/// The first of them: `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
/// More than any process may have open; what is beyond is no count.
const MOST: RawFd = 1 << 20;

impl Inherited {
    /// Takes over the sockets that this process was started with, by `LISTEN_FDS`, `LISTEN_PID` and
    /// `LISTEN_FDNAMES`, as `sd_listen_fds(3)` has it. There are none where nobody has passed any, where
    /// they are meant for another process, and when they have been taken already.
    ///
    /// Call it early, before anything else of the process looks for them. The environment is left as
    /// it is, because changing it is not safe where there are threads: `LISTEN_PID` keeps the programs
    /// that this process starts from taking it for theirs, and they don't get the sockets.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, where what the environment says is no number, does not fit together, or is not
    /// so.
    ///
    /// # Examples
    ///
    /// ```
    /// use socketserver::{Inherited, Tcp};
    ///
    /// let mut sockets = Inherited::from_environment()?;
    /// let tcp = match sockets.take_next(Tcp::from_socket)? {
    ///     Some(tcp) => tcp,
    ///     None => Tcp::options().bind("127.0.0.1:0")?,
    /// };
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("sd_listen_fds", "LISTEN_FDS", "systemd"))]
    pub fn from_environment() -> io::Result<Self> {
        let said = Said {
            pid: said("LISTEN_PID")?,
            count: said("LISTEN_FDS")?,
            names: said("LISTEN_FDNAMES")?,
        };
        let Some(names) = said.names_for(process::id())? else { return Ok(Self::default()) };
        // `names_for` has seen that there are not too many.
        let last = RawFd::try_from(names.len()).map_or(FIRST, |count| FIRST + count);
        let sockets = sys::take_passed(FIRST..last)?;
        let passed = |(socket, name)| Passed { name, socket, file: None };
        Ok(sockets.into_iter().zip(names).map(passed).collect())
    }
}

fn said(variable: &str) -> io::Result<Option<String>> {
    match env::var(variable) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(value)) => invalid(format!("{variable} is {value:?}, no text")),
    }
}

fn invalid<V>(what: String) -> io::Result<V> {
    Err(io::Error::new(ErrorKind::InvalidInput, what))
}

/// What the environment says.
struct Said {
    pid: Option<String>,
    count: Option<String>,
    names: Option<String>,
}

impl Said {
    /// The names of those that are for this process; `None`, where none are.
    fn names_for(self, process: u32) -> io::Result<Option<Vec<String>>> {
        let (Some(pid), Some(count)) = (self.pid, self.count) else { return Ok(None) };
        let Ok(pid) = pid.parse::<u32>() else {
            return invalid(format!("LISTEN_PID is {pid:?}, and has to be a process id"));
        };
        if pid != process {
            return Ok(None);
        }
        let number = count.parse::<RawFd>().ok().filter(|count| (0..MOST).contains(count));
        let Some(number) = number.and_then(|count| usize::try_from(count).ok()) else {
            return invalid(format!("LISTEN_FDS is {count:?}, and has to be a number of sockets"));
        };
        let names = match self.names {
            // Which is what `sd_listen_fds_with_names(3)` says then.
            None => vec!["unknown".to_owned(); number],
            Some(names) if names.is_empty() && number == 0 => Vec::new(),
            Some(names) => names.split(':').map(str::to_owned).collect(),
        };
        if names.len() != number {
            return invalid(format!(
                "LISTEN_FDNAMES has {} names for the {number} sockets of LISTEN_FDS",
                names.len()
            ));
        }
        Ok(Some(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pid: &str, count: &str, names: Option<&str>) -> Result<Option<Vec<String>>, String> {
        let owned = |text: &str| Some(text.to_owned());
        let said = Said { pid: owned(pid), count: owned(count), names: names.and_then(owned) };
        said.names_for(7).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            error.to_string()
        })
    }

    #[test]
    fn each_has_a_name() {
        let two = Ok(Some(vec!["http".to_owned(), "admin".to_owned()]));
        assert_eq!(names("7", "2", Some("http:admin")), two);
        assert_eq!(names("7", "1", None), Ok(Some(vec!["unknown".to_owned()])));
        assert_eq!(names("7", "1", Some("")), Ok(Some(vec![String::new()])));
        assert_eq!(names("7", "0", Some("")), Ok(Some(Vec::new())));
    }

    #[test]
    fn what_is_for_another_process_is_left() {
        assert_eq!(names("8", "2", None), Ok(None));
        let nothing = Said { pid: None, count: Some("2".into()), names: None };
        assert!(matches!(nothing.names_for(7), Ok(None)));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let wrong = |pid, count, all: Option<&str>| names(pid, count, all).unwrap_err();
        assert!(wrong("me", "1", None).contains("LISTEN_PID is \"me\""));
        assert!(wrong("-7", "1", None).contains("LISTEN_PID"));
        for count in ["", "one", "-1", "99999999999", "2147483647"] {
            assert!(wrong("7", count, None).contains("LISTEN_FDS is"), "{count}");
        }
        assert!(wrong("7", "2", Some("http")).contains("1 names for the 2 sockets"));
    }
}
