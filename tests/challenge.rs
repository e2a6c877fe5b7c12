//! Answers to the challenge of `SharedKeys` as they come, in whatever pieces: the right one lets in, all
//! others are denied alike. Without sockets; `tests/authenticated.rs` has those.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::io::{self, BufRead, ErrorKind};

use hmac::{Hmac, Mac};
use proptest::prelude::*;
use proptest::sample::Index;
use socketserver::{
    Authenticated, AuthenticatedRequest, Denied, HasIdentity, Request, SharedKeys, Transport,
};
use support::pieces::{One, Pieces, establish};

const KEY: [u8; 32] = [7; 32];
/// 32 bytes, two digits each, and the end of the line.
const ANSWER: usize = 65;

type Challenged = AuthenticatedRequest<Pieces, SharedKeys<&'static str>>;

/// A connection that has been sent its challenge, and the right answer to that.
fn challenged() -> (Challenged, String) {
    let keys = SharedKeys::new([("Ada", KEY), ("Bob", [8; 32])]).unwrap();
    let silent = Pieces::new(vec![0], &[0]);
    let mut request = Authenticated::new(One::new(silent), keys).get_request().unwrap().unwrap();
    let early = request.establish().unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
    let challenge = String::from_utf8(request.get_ref().said.clone()).unwrap();
    let code = Hmac::<sha2::Sha256>::new_from_slice(&KEY).unwrap();
    let code = code.chain_update(challenge.trim_end()).finalize().into_bytes();
    (request, format!("{code:x}\n"))
}

/// Has it answered with these bytes, and their end; what that comes to, and what has been said to it.
fn answered(
    mut request: Challenged,
    bytes: Vec<u8>,
    lengths: &[usize],
) -> (Challenged, io::Result<()>, Vec<u8>) {
    let before = request.get_ref().said.len();
    request.get_mut().go_on(bytes, lengths);
    let tries = request.get_ref().tries();
    let established = establish(&mut request, tries);
    let said = request.get_ref().said[before..].to_vec();
    (request, established, said)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_right_answer_lets_in_and_what_follows_stays(
        upper in any::<bool>(),
        follows in prop::collection::vec(any::<u8>(), 0..20),
        mut lengths in prop::collection::vec(0_usize..70, 0..5),
    ) {
        lengths.push(1);
        let (request, answer) = challenged();
        let answer = if upper { answer.to_uppercase() } else { answer };
        let bytes = [answer.as_bytes(), &follows].concat();
        let (mut request, established, said) = answered(request, bytes, &lengths);
        prop_assert!(established.is_ok(), "{:?}", established);
        prop_assert_eq!(said, b"ok\n");
        prop_assert_eq!(*request.identity().unwrap(), "Ada");
        prop_assert_eq!(request.get_ref().at, ANSWER);
        request.get_mut().lengths = vec![100];
        prop_assert!(follows.starts_with(request.fill_buf().unwrap()));
    }

    /// The right one with a byte changed or a part of it, and noise, which is no answer at all.
    #[test]
    fn all_others_are_denied_alike(
        change in any::<(Index, u8)>(),
        cut in any::<Option<Index>>(),
        noise in any::<Option<Vec<u8>>>(),
        mut lengths in prop::collection::vec(0_usize..70, 0..5),
    ) {
        lengths.push(1);
        let (request, answer) = challenged();
        let mut bytes = noise.unwrap_or_else(|| answer.clone().into_bytes());
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        if !bytes.is_empty() {
            let at = change.0.index(bytes.len());
            bytes[at] = change.1;
        }
        let right = bytes.eq_ignore_ascii_case(answer.as_bytes());
        let length = bytes.len();
        let (request, established, said) = answered(request, bytes, &lengths);
        prop_assert_eq!(established.is_ok(), right);
        prop_assert_eq!(request.get_ref().at, length.min(ANSWER));
        if let Err(error) = established {
            let denied = (length > 0).then_some(Denied::Identity);
            prop_assert_eq!(Denied::of(&error), denied);
            let word = if length > 0 { &b"denied\n"[..] } else { b"" };
            prop_assert_eq!(said, word);
            prop_assert!(request.identity().is_err());
        }
    }
}
