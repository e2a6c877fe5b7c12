//! Instructions per request, as valgrind(1) counts them: those of the program alone, none of the
//! kernel's, and the same ones in every run.

use std::process::{Command, Stdio};

use super::Fallible;
use super::role::{Load, Role, Transport, Who};

/// Two runs that differ in this many requests differ by them alone. All of them wait before the
/// server begins, so they have to fit into a backlog or a receive buffer; into the queue of a Unix
/// datagram socket, few do (`net.unix.max_dgram_qlen`).
fn counts(transport: Transport) -> [u32; 2] {
    if transport == Transport::UnixDatagram { [2, 10] } else { [16, 112] }
}

/// Whether there is a valgrind.
pub fn is_there() -> bool {
    let mut probe = Command::new("valgrind");
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// The instructions of one request, without those of its client.
pub fn per_request(role: Role) -> Fallible<f64> {
    let server = difference(Role { load: Load::Waiting, ..role })?;
    let clients = difference(Role { load: Load::Waiting, who: Who::Nobody, ..role })?;
    Ok(server - clients)
}

fn difference(role: Role) -> Fallible<f64> {
    let [few, many] = counts(role.transport);
    let more = collected(Role { count: many, ..role })?;
    Ok((more - collected(Role { count: few, ..role })?) / f64::from(many - few))
}

fn collected(role: Role) -> Fallible<f64> {
    let valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let output = role.command(&valgrind)?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected : "));
    match count {
        Some((_, count)) if output.status.success() => Ok(count.trim().parse()?),
        _ => Err(format!("{role}: {}\n{said}", output.status).into()),
    }
}
