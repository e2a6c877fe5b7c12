//! One call, as its procedure sees it.

use std::fmt;
use std::net::SocketAddr;

use super::auth::Credentials;
use super::message::Header;
use super::status::Fault;
use super::xdr::Xdr;

/// One call: what is called, by whom, with which arguments; and where the results go.
pub struct Call<'c> {
    header: Header,
    arguments: &'c [u8],
    results: &'c mut Vec<u8>,
    caller: Option<SocketAddr>,
}

impl<'c> Call<'c> {
    pub(super) fn new(
        header: Header,
        arguments: &'c [u8],
        results: &'c mut Vec<u8>,
        caller: Option<SocketAddr>,
    ) -> Self {
        Self { header, arguments, results, caller }
    }

    /// The number of the program.
    #[must_use]
    pub fn program(&self) -> u32 {
        self.header.program
    }

    /// Its version: one of those that [`Program::versions`](super::Program::versions) has said there
    /// are.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// The number of the procedure. It is never 0: that one takes nothing and does nothing in every
    /// program, and is answered before.
    #[must_use]
    pub fn procedure(&self) -> u32 {
        self.header.procedure
    }

    /// Who calls, as far as the call says.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.header.credentials
    }

    /// Where the call has come from; `None` over Unix sockets, where it is this machine. Over UDP it
    /// is what the packet says, and may be forged.
    #[must_use]
    pub fn caller(&self) -> Option<SocketAddr> {
        self.caller
    }

    /// The arguments, of which there are no others.
    ///
    /// # Errors
    ///
    /// [`Fault::GarbageArgs`] where they are no `A`, or more than that.
    pub fn arguments<A: Xdr>(&self) -> Result<A, Fault> {
        let mut input = self.arguments;
        let arguments = A::decode(&mut input)?;
        if input.is_empty() { Ok(arguments) } else { Err(Fault::GarbageArgs) }
    }

    /// Answers with these results. A call that has been answered and then has a [`Fault`] is told of
    /// that alone; one that is not answered has no results, as `reply(&())` has none.
    ///
    /// # Errors
    ///
    /// None: it may be the last word of a procedure.
    pub fn reply<R: Xdr>(&mut self, results: &R) -> Result<(), Fault> {
        results.encode(self.results);
        Ok(())
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the arguments, which may hold what is in no log.
        f.debug_struct("Call")
            .field("program", &self.program())
            .field("version", &self.version())
            .field("procedure", &self.procedure())
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}
