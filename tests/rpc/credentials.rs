//! Credentials: what is understood, what is refused and why, and what of it the procedure sees.

use socketserver::Threading;

use crate::Result;
use crate::caller::{over_tcp, over_udp, words};
use crate::program::{PROGRAM, serve};

/// A call of procedure 3, with this credential and verifier.
fn call(credential: &[u8], verifier: &[u8]) -> Vec<u8> {
    [&words([7, 0, 2, PROGRAM, 2, 3]), credential, verifier].concat()
}

fn flavored(flavor: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("it is short");
    let padding = &[0; 3][..(4 - body.len() % 4) % 4];
    [&words([flavor, length]), body, padding].concat()
}

/// Stamp 9, user 1000, group 100.
fn user(name: &[u8], gids: &[u32]) -> Vec<u8> {
    let name = &flavored(9, name);
    let count = u32::try_from(gids.len()).expect("few");
    let gids = gids.iter().flat_map(|gid| gid.to_be_bytes()).collect::<Vec<_>>();
    [name, &words([1000, 100, count])[..], &gids].concat()
}

fn none() -> Vec<u8> {
    words([0, 0])
}

fn answered(message: &[u8], wanted: &[u8]) -> Result {
    let (running, tcp, udp) = serve(Threading::new())?;
    assert_eq!(over_tcp(tcp, message)?, wanted, "over a connection: {message:?}");
    assert_eq!(over_udp(udp, message)?, wanted, "to a packet: {message:?}");
    running.close()?;
    Ok(())
}

/// Denied, with this `auth_stat`.
fn refused(message: &[u8], why: u32) -> Result {
    answered(message, &words([7, 1, 1, 1, why]))
}

#[test]
fn auth_sys_reaches_the_procedure() -> Result {
    let success = words([7, 1, 0, 0, 0, 0]);
    for (name, gids) in [("", &[][..]), ("host", &[4, 24]), (&*"n".repeat(255), &[7; 16])] {
        let user = user(name.as_bytes(), gids);
        // The results are the credential, member by member.
        let wanted = [&*success, &user].concat();
        answered(&call(&flavored(1, &user), &none()), &wanted)?;
    }
    Ok(())
}

#[test]
fn auth_none_is_too_weak_where_the_procedure_says_so() -> Result {
    refused(&call(&none(), &none()), 5)?;
    // What it holds is undefined.
    refused(&call(&flavored(0, b"whatever"), &flavored(0, b"this is")), 5)
}

#[test]
fn what_is_not_understood_is_badcred() -> Result {
    let whole = user(b"host", &[1, 2]);
    let unbounded = [user(&[b'n'; 256], &[]), user(b"host", &[7; 17]), user(b"\xff\xff", &[])];
    for user in unbounded.into_iter().chain([
        [&*whole, &[0; 4]].concat(),
        [&user(b"host", &[])[..20], &words([u32::MAX])].concat(),
        words([9, u32::MAX, 0, 0, 0]),
    ]) {
        refused(&call(&flavored(1, &user), &none()), 1)?;
    }
    for length in (0..whole.len()).step_by(4) {
        refused(&call(&flavored(1, &whole[..length]), &none()), 1)?;
    }
    // Longer than any may be, which 400 bytes are not.
    refused(&call(&flavored(0, &[0; 401]), &none()), 1)?;
    refused(&call(&flavored(0, &[0; 400]), &none()), 5)
}

#[test]
fn other_kinds_are_rejectedcred() -> Result {
    // AUTH_SHORT, AUTH_DH, RPCSEC_GSS, and what nobody knows.
    for flavor in [2, 3, 6, u32::MAX] {
        refused(&call(&flavored(flavor, b"1234"), &none()), 2)?;
    }
    Ok(())
}

#[test]
fn other_verifiers_are_badverf() -> Result {
    let user = flavored(1, &user(b"host", &[]));
    refused(&call(&user, &flavored(1, b"")), 3)?;
    refused(&call(&user, &flavored(2, b"1234")), 3)?;
    refused(&call(&user, &flavored(0, &[0; 401])), 3)
}
