//! Where a server listens: at one address or at several, or at the sockets that it was started with.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

use socketserver::Many;
#[cfg(feature = "activation")]
use socketserver::{Inheritable, Inherited};

use crate::cli::Cli;
#[cfg(feature = "activation")]
pub(crate) use crate::several::Several;

/// One transport, which costs nothing more, or several.
pub(crate) enum Listeners<T> {
    One(T),
    Several(Several<T>),
}

#[cfg(not(feature = "activation"))]
pub(crate) use socketserver::{Many as Several, Transport as Inheritable};

/// The transports of the sockets of the process that this one follows, or of those that were passed
/// in, or at these addresses; `bind` and `take` have the options.
pub(crate) fn listeners<T, A>(
    cli: &Cli,
    addresses: &[A],
    bind: impl Fn(&A) -> io::Result<T>,
    take: impl Fn(OwnedFd) -> io::Result<T>,
) -> io::Result<Listeners<T>>
where
    T: Inheritable + AsFd,
{
    let mut all = from_others(cli, take)?;
    if all.is_empty() {
        all = addresses.iter().map(bind).collect::<io::Result<_>>()?;
    }
    #[cfg(feature = "activation")]
    if let Some(meeting) = &cli.meeting {
        let offered = meeting.offer(Many::new(all)?)?;
        return Ok(Listeners::Several(Several::Offered(offered)));
    }
    match all.pop() {
        Some(one) if all.is_empty() => Ok(Listeners::One(one)),
        last => several(all.into_iter().chain(last)).map(Listeners::Several),
    }
}

fn several<T: Inheritable + AsFd>(all: impl IntoIterator<Item = T>) -> io::Result<Several<T>> {
    let many = Many::new(all)?;
    #[cfg(feature = "activation")]
    let many = Several::Kept(many);
    Ok(many)
}

/// As many as there are, even if it is one: for transports around them.
#[cfg(any(feature = "proxy", feature = "tls"))]
pub(crate) fn many<T: Inheritable + AsFd>(listeners: Listeners<T>) -> io::Result<Several<T>> {
    match listeners {
        Listeners::One(one) => several([one]),
        Listeners::Several(several) => Ok(several),
    }
}

/// Refuses addresses beside sockets that were passed in: which would be meant?
pub(crate) fn check(addressed: bool) -> io::Result<()> {
    if addressed && are_passed_in() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "sockets were passed in (LISTEN_FDS), and they have their addresses: leave --addr out",
        ));
    }
    Ok(())
}

/// Whether it was started with some.
pub(crate) fn are_passed_in() -> bool {
    let own = std::process::id().to_string();
    std::env::var("LISTEN_PID").is_ok_and(|pid| pid == own)
        && std::env::var("LISTEN_FDS").is_ok_and(|count| count != "0")
}

#[cfg(feature = "activation")]
fn from_others<T: Inheritable>(
    cli: &Cli,
    take: impl Fn(OwnedFd) -> io::Result<T>,
) -> io::Result<Vec<T>> {
    let mut sockets = match &cli.meeting {
        Some(meeting) => meeting.follow()?,
        None => Inherited::default(),
    };
    if sockets.is_empty() {
        sockets = Inherited::from_environment()?;
    }
    let mut all = Vec::new();
    while let Some(transport) = sockets.take_next(&take)? {
        all.push(transport);
    }
    Ok(all)
}

#[cfg(not(feature = "activation"))]
fn from_others<T>(_cli: &Cli, _take: impl Fn(OwnedFd) -> io::Result<T>) -> io::Result<Vec<T>> {
    if are_passed_in() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "sockets were passed in (LISTEN_FDS), which this serve can't take: build it with \
             --features activation",
        ));
    }
    Ok(Vec::new())
}
