//! Where a server listens: at one address or at several, or at the sockets that it was started with.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

use socketserver::Many;
#[cfg(any(not(feature = "activation"), feature = "proxy", feature = "tls"))]
use socketserver::Transport;
#[cfg(feature = "activation")]
use socketserver::{Inheritable, Inherited};

/// One transport, which costs nothing more, or several.
pub(crate) enum Listeners<T> {
    One(T),
    Several(Many<T>),
}

#[cfg(not(feature = "activation"))]
pub(crate) trait Inheritable: Transport {}

#[cfg(not(feature = "activation"))]
impl<T: Transport> Inheritable for T {}

/// The transports at these addresses, or of the sockets that were passed in; `make` has the options.
pub(crate) fn listeners<T, A>(
    addresses: &[A],
    bind: impl Fn(&A) -> io::Result<T>,
    take: impl Fn(OwnedFd) -> io::Result<T>,
) -> io::Result<Listeners<T>>
where
    T: Inheritable + AsFd,
{
    let mut all = passed_in(take)?;
    if all.is_empty() {
        all = addresses.iter().map(bind).collect::<io::Result<_>>()?;
    }
    match all.pop() {
        Some(one) if all.is_empty() => Ok(Listeners::One(one)),
        last => Many::new(all.into_iter().chain(last)).map(Listeners::Several),
    }
}

/// As many as there are, even if it is one: for transports around them.
#[cfg(any(feature = "proxy", feature = "tls"))]
pub(crate) fn many<T: Transport + AsFd>(listeners: Listeners<T>) -> io::Result<Many<T>> {
    match listeners {
        Listeners::One(one) => Many::new([one]),
        Listeners::Several(many) => Ok(many),
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
fn passed_in<T: Inheritable>(take: impl Fn(OwnedFd) -> io::Result<T>) -> io::Result<Vec<T>> {
    let mut sockets = Inherited::from_environment()?;
    let mut all = Vec::new();
    while let Some(transport) = sockets.take_next(&take)? {
        all.push(transport);
    }
    Ok(all)
}

#[cfg(not(feature = "activation"))]
fn passed_in<T>(_take: impl Fn(OwnedFd) -> io::Result<T>) -> io::Result<Vec<T>> {
    if are_passed_in() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "sockets were passed in (LISTEN_FDS), which this serve can't take: build it with \
             --features activation",
        ));
    }
    Ok(Vec::new())
}
