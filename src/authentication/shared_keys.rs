//! A key that both sides have, shown by challenge and response.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Write};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Authenticate, Denied};

/// What a challenge begins with. It keeps the answers from meaning anything elsewhere.
const PREFIX: &str = "socketserver hmac-sha256 ";
/// Random bytes in a challenge.
const NONCE: usize = 32;
/// An answer: the bytes of a code, two digits each, and the end of the line.
const ANSWER: usize = 2 * 32 + 1;
/// RFC 2104, section 3: shorter keys than the hash's output are "strongly discouraged".
const SHORTEST: usize = 32;

/// Lets in whoever shows that it has one of these keys, without sending it. The identity is what
/// stands beside the key: whose it is.
///
/// # What is on the wire
///
/// ```text
/// server: socketserver hmac-sha256 <64 hexadecimal digits>\n
/// client: <64 hexadecimal digits>\n
/// server: ok\n                          or: denied\n, and the end
/// ```
///
/// The server's digits are 32 random bytes, which the operating system gives for each connection
/// anew. The client's are the HMAC-SHA256 (RFC 2104, FIPS 180-4), by the key, of the server's line
/// without its `\n`; their letters may be of either case. An answer has 65 bytes, and the server reads
/// no more and no less before it looks at any of them. What the client sends behind it is the
/// handler's. One that goes without an answer has gone
/// ([`FailureKind::PeerGone`](crate::FailureKind::PeerGone)); one that goes in the middle of it is
/// denied.
///
/// # What it is worth
///
/// A key can't be told from what is on the wire, nor an answer be used twice. All refusals look the
/// same and take the same time: a wrong key, an answer that is none, one of another challenge. Codes
/// are compared in constant time, and each with those of all keys.
///
/// It proves that the client has the key, once, when it connects. It does not prove that of the
/// server, so one key should serve one server; and it protects nothing that is sent afterwards,
/// which takes TLS around it wherever others than the two can write on the wire.
///
/// # Examples
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
/// use std::net::TcpStream;
/// use hmac::{Hmac, Mac};
/// use socketserver::{Authenticated, HasIdentity, Server, SharedKeys, Tcp, Threading};
///
/// let key = *b"32 bytes of `openssl rand`, say."; // from a file that others can't read
/// let keys = SharedKeys::new([("backup", key)])?;
/// let tcp = Authenticated::new(Tcp::options().bind("127.0.0.1:0")?, keys);
/// let server = Server::new_fn(tcp, Threading::new(), |conn| {
///     let (conn, name) = conn.parts()?;
///     writeln!(conn, "hello, {name}")
/// })?
/// .spawn()?;
///
/// // The other side:
/// let mut client = BufReader::new(TcpStream::connect(server.local_addr()?)?);
/// let mut line = String::new();
/// client.read_line(&mut line)?;
/// let code = Hmac::<sha2::Sha256>::new_from_slice(&key)?;
/// let code = code.chain_update(line.trim_end()).finalize().into_bytes();
/// writeln!(client.get_ref(), "{code:x}")?;
/// # line.clear();
/// client.read_line(&mut line)?; // "ok\n"
/// # line.clear();
/// client.read_line(&mut line)?;
/// assert_eq!(line, "hello, backup\n");
/// # server.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SharedKeys<I>(Vec<(I, Hmac<Sha256>)>);

impl<I: Clone> SharedKeys<I> {
    /// These keys, each with whose it is.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where there is no key, and for one of less than 32 bytes: those can be guessed
    /// by whoever has seen an answer. (What is meant to be remembered by people is no key, but a
    /// password, from which one has to be derived.)
    pub fn new<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = (I, K)>) -> io::Result<Self> {
        let wrong = |what| Err(io::Error::new(ErrorKind::InvalidInput, what));
        let mut all = Vec::new();
        for (identity, key) in keys {
            let key = key.as_ref();
            if key.len() < SHORTEST {
                return wrong("a shared key has to have at least 32 bytes, random ones");
            }
            let code = Hmac::new_from_slice(key).map_err(io::Error::other)?;
            all.push((identity, code));
        }
        if all.is_empty() {
            return wrong("without a shared key nobody could come in");
        }
        Ok(Self(all))
    }

    /// Whose code it is.
    fn identify(&self, challenge: &str, code: &[u8; 32]) -> Option<I> {
        let mut found = None;
        for (identity, key) in &self.0 {
            let expected = key.clone().chain_update(challenge);
            if expected.verify_slice(code).is_ok() {
                found = Some(identity);
            }
        }
        found.cloned()
    }
}

/// What is known of one attempt.
#[derive(Default)]
pub struct Challenge {
    /// What the peer has to answer, once it has been sent.
    asked: Option<String>,
    answer: Vec<u8>,
}

impl Challenge {
    /// Sends the challenge, with the first call.
    fn ask<'c, R: Write>(asked: &'c mut Option<String>, request: &mut R) -> io::Result<&'c str> {
        if asked.is_none() {
            let mut nonce = [0; NONCE];
            getrandom::fill(&mut nonce).map_err(io::Error::other)?;
            let mut line = PREFIX.to_owned();
            line.extend(nonce.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit));
            line.push('\n');
            request.write_all(line.as_bytes())?;
            request.flush()?;
            line.pop();
            *asked = Some(line);
        }
        Ok(asked.as_deref().unwrap_or_default())
    }
}

impl<I: Clone, R: BufRead + Write> Authenticate<R> for SharedKeys<I> {
    type Identity = I;
    type Attempt = Challenge;

    fn authenticate(&self, request: &mut R, attempt: &mut Challenge) -> io::Result<I> {
        let Challenge { asked, answer } = attempt;
        let challenge = Challenge::ask(asked, request)?;
        read_to(request, answer, ANSWER)?;
        if answer.is_empty() {
            // It has only looked whether somebody is there, as load balancers do.
            return Err(ErrorKind::UnexpectedEof.into());
        }
        // One that is none is looked up as well, so that it takes as long.
        let code = code(answer);
        match (self.identify(challenge, &code.unwrap_or_default()), code) {
            (Some(identity), Some(_)) => {
                request.write_all(b"ok\n")?;
                request.flush()?;
                Ok(identity)
            }
            _ => {
                // Whether it hears it is its own affair.
                let _ = request.write_all(b"denied\n").and_then(|()| request.flush());
                Err(Denied::Identity.into())
            }
        }
    }
}

/// Reads until there are so many bytes, and no more; fewer, where the input ends before.
fn read_to(request: &mut impl BufRead, bytes: &mut Vec<u8>, count: usize) -> io::Result<()> {
    while bytes.len() < count {
        let come = match request.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            come => come?,
        };
        let part = come.len().min(count - bytes.len());
        if part == 0 {
            break;
        }
        bytes.extend_from_slice(&come[..part]);
        request.consume(part);
    }
    Ok(())
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or_default()
}

/// The code that an answer has, if it is one.
fn code(answer: &[u8]) -> Option<[u8; 32]> {
    let mut code = [0; 32];
    let digits = answer.strip_suffix(b"\n")?;
    let (pairs, rest) = (digits.chunks_exact(2), digits.len() % 2);
    if rest != 0 || pairs.len() != code.len() {
        return None;
    }
    for (byte, pair) in code.iter_mut().zip(pairs) {
        let value = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(value(pair[0])? << 4 | value(pair[1])?).ok()?;
    }
    Some(code)
}

impl<I> fmt::Debug for SharedKeys<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKeys({})", self.0.len())
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_that_of_rfc_4231() {
        // Test case 2 has a key of 4 bytes, which the constructor would refuse.
        let key: Hmac<Sha256> = Hmac::new_from_slice(b"Jefe").unwrap_or_else(|_| unreachable!());
        let line = b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\n";
        let code = code(line).unwrap_or_default();
        let keys = SharedKeys(vec![("Jefe", key)]);
        assert_eq!(keys.identify("what do ya want for nothing?", &code), Some("Jefe"));
        assert_eq!(keys.identify("what do ya want for nothing", &code), None);
    }

    #[test]
    fn an_answer_has_64_digits_and_the_end_of_its_line() {
        let zeros = "0".repeat(64);
        let whole = |text: String| code(text.as_bytes());
        assert_eq!(whole(format!("{zeros}\n")), Some([0; 32]));
        assert_eq!(whole(format!("{}\n", "fF".repeat(32))), Some([255; 32]));
        for wrong in [
            zeros.clone(),
            String::new(),
            "\n".into(),
            format!("{zeros}0\n"),
            format!("{}\n", &zeros[1..]),
            format!("{}\n", &zeros[2..]),
            format!("{}g\n", &zeros[1..]),
            format!("{}+1\n", &zeros[2..]),
        ] {
            assert_eq!(whole(wrong.clone()), None, "{wrong:?}");
        }
    }
}
