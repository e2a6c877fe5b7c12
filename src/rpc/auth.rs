//! Who calls, as far as the call says: credentials (RFC 5531, section 8.2 and appendix A).

use super::message::Denial;
use super::status::AuthStat;
use super::xdr::{Bounded, Garbage, Xdr, take_opaque};

/// So many bytes has a credential or a verifier at most.
const LONGEST: usize = 400;

const AUTH_NONE: u32 = 0;
const AUTH_SYS: u32 = 1;

/// What a call says of who makes it. Nobody vouches for it.
///
/// Calls with credentials of another kind are refused, with [`AuthStat::RejectedCred`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// `AUTH_NONE`: nothing.
    None,
    /// `AUTH_SYS`, also known as `AUTH_UNIX`.
    Sys(AuthSys),
}

/// A user of the machine that calls, as that machine knows them. Anybody who can reach the server can
/// send any numbers here: they tell friends apart, and keep no foe out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthSys {
    /// A number of the caller's own making.
    pub stamp: u32,
    /// The name of the caller's machine.
    pub machine_name: Bounded<String, 255>,
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
    /// The user's other groups.
    pub gids: Bounded<Vec<u32>, 16>,
}

impl AuthSys {
    fn decode(mut body: &[u8]) -> Result<Self, Garbage> {
        let input = &mut body;
        let user = Self {
            stamp: u32::decode(input)?,
            machine_name: Bounded::decode(input)?,
            uid: u32::decode(input)?,
            gid: u32::decode(input)?,
            gids: Bounded::decode(input)?,
        };
        if body.is_empty() { Ok(user) } else { Err(Garbage) }
    }
}

/// An `opaque_auth`: the number of its kind, and what is of that kind; none, where it is longer than
/// may be.
struct Opaque<'m> {
    flavor: u32,
    body: Option<&'m [u8]>,
}

impl<'m> Opaque<'m> {
    fn take(message: &mut &'m [u8]) -> Result<Self, Garbage> {
        let flavor = u32::decode(message)?;
        let body = take_opaque(message, usize::MAX)?;
        Ok(Self { flavor, body: (body.len() <= LONGEST).then_some(body) })
    }
}

/// Takes the credential and the verifier of a call from `message`.
///
/// # Errors
///
/// [`Garbage`] where the message ends before they do, and inside, what the caller is told where they
/// are not accepted.
pub(super) fn take(message: &mut &[u8]) -> Result<Result<Credentials, Denial>, Garbage> {
    let credential = Opaque::take(message)?;
    let verifier = Opaque::take(message)?;
    Ok(check(&credential, &verifier).map_err(Denial::Auth))
}

fn check(credential: &Opaque<'_>, verifier: &Opaque<'_>) -> Result<Credentials, AuthStat> {
    let body = credential.body.ok_or(AuthStat::BadCred)?;
    let credentials = match credential.flavor {
        // What it holds is undefined (section 10.1).
        AUTH_NONE => Credentials::None,
        AUTH_SYS => Credentials::Sys(AuthSys::decode(body).map_err(|Garbage| AuthStat::BadCred)?),
        _ => return Err(AuthStat::RejectedCred),
    };
    // Both kinds of credentials come with a verifier that is none.
    match verifier {
        Opaque { flavor: AUTH_NONE, body: Some(_) } => Ok(credentials),
        _ => Err(AuthStat::BadVerf),
    }
}
