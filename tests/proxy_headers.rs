//! PROXY headers as they come, in whatever pieces: read to the byte, or told apart from what is none.
//! Without sockets; `tests/proxied.rs` has those.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::io::{self, BufRead, ErrorKind};

use proptest::prelude::*;
use socketserver::{BadProxyHeader, Proxied, ProxiedRequest, Request, Transport};
use support::pieces::{self, One, Pieces};
use support::proxy;

fn establish(pieces: Pieces) -> (ProxiedRequest<Pieces>, io::Result<()>) {
    let tries = pieces.tries();
    let proxied = Proxied::new(One::new(pieces), |_| true);
    let mut request = proxied.get_request().unwrap().unwrap();
    let established = pieces::establish(&mut request, tries);
    (request, established)
}

/// By name, and "gone" where the input ends too early.
fn named(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<BadProxyHeader>());
    match inner {
        Some(bad) => format!("{bad:?}"),
        None if error.kind() == ErrorKind::UnexpectedEof => "gone".into(),
        None => error.to_string(),
    }
}

/// Everything at once; byte by byte; with a wait before each byte.
const PLANS: [&[usize]; 3] = [&[100_000], &[1], &[0, 1]];

#[test]
fn headers_are_understood_in_any_pieces_and_what_follows_stays() {
    for plan in PLANS {
        for (header, client) in proxy::good() {
            let bytes = [&header[..], b"hello\n"].concat();
            let (mut request, established) = establish(Pieces::new(bytes, plan));
            established.unwrap_or_else(|error| panic!("{error}: {header:?}"));
            let understood = request.header().expect("there was one");
            let source = understood.source().map(|address| address.to_string());
            assert_eq!(source.as_deref(), client, "{header:?}");
            assert_eq!(understood.destination().is_some(), client.is_some());
            assert_eq!(understood.is_local(), header.get(12) == Some(&0x20) && header[0] == b'\r');
            assert_eq!(request.get_ref().at, header.len(), "{header:?}");
            request.establish().expect("it is established");
            assert_eq!(request.get_ref().at, header.len());
            request.get_mut().lengths = vec![6];
            assert_eq!(request.fill_buf().unwrap().first(), Some(&b'h'));
        }
    }
}

#[test]
fn what_is_no_header_is_told_apart_and_not_read_further_than_it_takes() {
    for plan in PLANS {
        for (bytes, why) in proxy::bad() {
            let (request, established) = establish(Pieces::new(bytes.clone(), plan));
            assert_eq!(named(&established.unwrap_err()), why, "{bytes:?}");
            assert!(request.header().is_none());
            assert!(request.get_ref().at <= 4096);
        }
    }
}

#[test]
fn the_first_byte_that_is_wrong_is_enough() {
    for (bytes, at) in [(&b"GET / HTTP/1.1\r\n"[..], 1), (b"PROXIMA\r\n", 5), (b"\r\n\r\nX", 5)] {
        let (request, established) = establish(Pieces::new(bytes.to_vec(), &[1]));
        assert_eq!(named(&established.unwrap_err()), "Missing");
        assert!(request.get_ref().at <= at, "{} bytes of {bytes:?}", request.get_ref().at);
    }
}

#[test]
fn values_are_told_in_their_order() {
    let addresses = proxy::addresses("192.0.2.7:1", "192.0.2.8:2");
    let values = [proxy::value(2, b"name"), proxy::value(4, b""), proxy::value(0xe0, b"x")];
    let header = proxy::v2(0x21, 0x11, &[addresses, values.concat()].concat());
    let (request, established) = establish(Pieces::new(header, &[100]));
    established.unwrap();
    let values: Vec<(u8, &[u8])> = request.header().unwrap().values().collect();
    assert_eq!(values, [(2, &b"name"[..]), (4, b""), (0xe0, b"x")]);
}

#[test]
fn a_header_of_a_proxy_that_is_not_trusted_is_not_looked_at() {
    let bytes = b"PROXY UNKNOWN\r\n".to_vec();
    for direct in [false, true] {
        let one = One::new(Pieces::new(bytes.clone(), &[100]));
        let proxied = Proxied::new(one, |_| false);
        let proxied = if direct { proxied.or_direct() } else { proxied };
        let mut request = proxied.get_request().unwrap().unwrap();
        assert_eq!(request.establish().is_ok(), direct);
        assert_eq!(request.get_ref().at, 0);
        assert!(request.header().is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Headers with a few bytes changed, and no headers at all, in any pieces.
    #[test]
    fn nothing_that_comes_is_misread(
        base in prop::sample::select(
            proxy::good().into_iter().map(|(header, _)| header).collect::<Vec<_>>()
        ),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<Option<prop::sample::Index>>(),
        noise in prop::collection::vec(any::<u8>(), 0..40),
        instead in prop::bool::weighted(0.1),
        mut lengths in prop::collection::vec(0_usize..50, 1..6),
    ) {
        let mut header = if instead { Vec::new() } else { base };
        for (at, byte) in changes {
            if !header.is_empty() {
                let at = at.index(header.len());
                header[at] = byte;
            }
        }
        if let Some(cut) = cut {
            header.truncate(cut.index(header.len() + 1));
        }
        lengths.push(1);
        let bytes = [header, noise].concat();
        let whole = establish(Pieces::new(bytes.clone(), &[100_000]));
        let (request, established) = establish(Pieces::new(bytes, &lengths));
        prop_assert_eq!(request.header(), whole.0.header());
        prop_assert!(request.get_ref().at <= 4096);
        match (established, whole.1) {
            (Ok(()), Ok(())) => prop_assert_eq!(request.get_ref().at, whole.0.get_ref().at),
            (Err(one), Err(other)) => prop_assert_eq!(named(&one), named(&other)),
            (one, other) => prop_assert!(false, "{one:?} in pieces, {other:?} as a whole"),
        }
    }
}
