//! A client of a schedule: what it says, and what it has to hear.

use std::io;
use std::time::Duration;

use super::law::{Fault, Law};
use super::reach::{Client, is_gone};
use super::script::{LENGTH, Script};

pub(super) struct Caller<L> {
    client: L,
    script: Script,
    /// Which client it is, from 1.
    number: usize,
    sent: usize,
    packet: bool,
    checked: bool,
}

impl<L: Client> Caller<L> {
    pub(super) fn new(client: L, script: Script, number: usize, packet: bool) -> Self {
        Self { client, script, number, sent: 0, packet, checked: false }
    }

    fn body(&self) -> String {
        format!("{:03}\n", self.number)
    }

    /// Sends the message up to its byte `end`.
    pub(super) fn send(&mut self, end: usize) -> io::Result<()> {
        let message = format!("{}\n{}", self.script.word(), self.body());
        debug_assert_eq!(message.len(), LENGTH);
        let part = message.as_bytes().get(self.sent..end).unwrap_or_default();
        self.sent = end;
        if part.is_empty() {
            return Ok(());
        }
        // Its request may be over before it has said all: the ledger tells whether it may.
        unless_gone(self.client.send(part))
    }

    pub(super) fn half_close(&mut self) -> io::Result<()> {
        unless_gone(self.client.half_close())
    }

    pub(super) fn abort(self) -> io::Result<()> {
        unless_gone(self.client.abort())
    }

    /// Reads what the server had to say, which it has said by now. A second time, there must be
    /// nothing more.
    pub(super) fn check_reply(&mut self, handled: bool, patience: Duration) -> Result<(), Fault> {
        let first = !self.checked;
        self.checked = true;
        let answered = first && handled && self.sent == LENGTH && self.script.answers(self.packet);
        let wanted = if answered { self.number_alone() } else { String::new() };
        let got = match self.client.receive(answered, patience) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if !answered && is_gone(&error) => Ok(String::new()),
            Err(error) => Err(error),
        };
        match got {
            Ok(got) if got == wanted => Ok(()),
            Ok(got) => Err(Fault::Broken(
                Law::OnceEach,
                format!("client {} had to be answered {wanted:?}, and was {got:?}", self.number),
            )),
            Err(error) => Err(Fault::Broken(
                Law::OnceEach,
                format!(
                    "client {} had to be answered {wanted:?} and see the end, and has: {error}",
                    self.number
                ),
            )),
        }
    }

    fn number_alone(&self) -> String {
        self.body().trim_end().to_owned()
    }
}

fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}
