//! What is called: a program in three versions, and a server of it.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use socketserver::rpc::{AuthStat, Bounded, Call, Credentials, Fault, Program, Rpc};
use socketserver::{Beside, Concurrency, Running, Server, Tcp, Udp};

use crate::Result;

pub(crate) const PROGRAM: u32 = 0x2000_0539;

/// The longest record in these tests.
pub(crate) const MOST: usize = 512;

#[derive(Clone)]
pub(crate) struct Example;

impl Program for Example {
    fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
        (program == PROGRAM).then_some(2..=4)
    }

    fn call(&self, call: &mut Call<'_>) -> std::result::Result<(), Fault> {
        match call.procedure() {
            1 => {
                let text: Bounded<String, 16> = call.arguments()?;
                call.reply(&text)
            }
            2 => Err(Fault::SystemErr),
            3 => match call.credentials() {
                Credentials::Sys(user) => {
                    let seen = (user.stamp, user.machine_name.clone(), user.uid, user.gid);
                    let gids = user.gids.clone();
                    call.reply(&(seen, gids))
                }
                _ => Err(Fault::Auth(AuthStat::TooWeak)),
            },
            4 => {
                // Answered, and then failed.
                call.reply(&7_u32)?;
                Err(Fault::ProcUnavail)
            }
            5 => {
                let port = call.caller().map_or(0, |caller| caller.port());
                call.reply(&(u32::from(port), call.version()))
            }
            _ => Err(Fault::ProcUnavail),
        }
    }
}

pub(crate) type Both = Beside<Tcp, Udp>;

pub(crate) fn handler() -> Rpc<Example> {
    Rpc::new(Example).max_record(MOST)
}

pub(crate) fn both() -> Result<Both> {
    let tcp = Tcp::options().disable_nagle_algorithm(true).bind("127.0.0.1:0")?;
    Ok(Beside::new(tcp, Udp::options().bind("127.0.0.1:0")?)?)
}

/// A server that runs.
pub(crate) type Runs<C> = Running<Both, C, Rpc<Example>>;

/// A server that runs, and where it listens over TCP and UDP.
pub(crate) fn serve<C>(strategy: C) -> Result<(Runs<C>, SocketAddr, SocketAddr)>
where
    C: Concurrency<Both, Rpc<Example>> + Send + 'static,
{
    let running = Server::new(both()?, strategy, handler())?.spawn()?;
    let (tcp, udp) = running.local_addr()?;
    Ok((running, tcp, udp))
}
