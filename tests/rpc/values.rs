//! Values as RFC 4506 writes them.

use std::fmt::Debug;

use proptest::prelude::*;
use socketserver::rpc::{Bounded, Garbage, Xdr};

/// These bytes are this value, all of them are needed, and no more are taken.
#[track_caller]
fn is<T: Xdr + PartialEq + Debug>(value: &T, bytes: &[u8]) {
    let mut encoded = b"before".to_vec();
    value.encode(&mut encoded);
    assert_eq!(encoded, [b"before", bytes].concat());
    let longer = [bytes, b"behind"].concat();
    let mut input = &*longer;
    assert_eq!(T::decode(&mut input).as_ref(), Ok(value));
    assert_eq!(input, b"behind");
    for length in 0..bytes.len() {
        assert_eq!(T::decode(&mut &bytes[..length]), Err(Garbage), "{length} bytes of {bytes:?}");
    }
}

fn garbage<T: Xdr + PartialEq + Debug>(mut bytes: &[u8]) {
    assert_eq!(T::decode(&mut bytes), Err(Garbage));
}

fn text<const MAX: usize>(text: &str) -> Bounded<String, MAX> {
    Bounded::<String, MAX>::new(text.to_owned()).expect("it is not too long")
}

#[test]
fn numbers() {
    is(&(), b"");
    is(&-2_i32, b"\xff\xff\xff\xfe");
    is(&0x1234_5678_u32, b"\x12\x34\x56\x78");
    is(&-2_i64, b"\xff\xff\xff\xff\xff\xff\xff\xfe");
    is(&0x1234_5678_9abc_def0_u64, b"\x12\x34\x56\x78\x9a\xbc\xde\xf0");
    is(&1.5_f32, b"\x3f\xc0\0\0");
    is(&-1.5_f64, b"\xbf\xf8\0\0\0\0\0\0");
    is(&true, b"\0\0\0\x01");
    is(&false, b"\0\0\0\0");
    garbage::<bool>(b"\0\0\0\x02");
}

#[test]
fn opaque_bytes_and_strings() {
    is(b"", b"");
    is(b"abc", b"abc\0");
    is(b"abcd", b"abcd");
    is(b"abcde", b"abcde\0\0\0");
    let opaque = |bytes: &[u8]| Bounded::<Vec<u8>, 5>::new(bytes.to_vec()).expect("short");
    is(&opaque(b""), b"\0\0\0\0");
    is(&opaque(b"\xffb"), b"\0\0\0\x02\xffb\0\0");
    is(&opaque(b"abcde"), b"\0\0\0\x05abcde\0\0\0");
    is(&text::<5>("ab"), b"\0\0\0\x02ab\0\0");
    // The example of RFC 4506, section 7: "sillyprog".
    is(&text::<255>("sillyprog"), b"\0\0\0\x09sillyprog\0\0\0");
    garbage::<Bounded<Vec<u8>, 5>>(b"\0\0\0\x06abcdef\0\0");
    garbage::<Bounded<String, 5>>(b"\0\0\0\x06abcdef\0\0");
    garbage::<Bounded<String, 5>>(b"\0\0\0\x02\xffb\0\0");
    garbage::<Bounded<String, { usize::MAX }>>(b"\xff\xff\xff\xff");
}

#[test]
fn lists_options_and_structures() {
    let list = Bounded::<Vec<u32>, 2>::new(vec![1, 2]).expect("short");
    is(&list, b"\0\0\0\x02\0\0\0\x01\0\0\0\x02");
    assert_eq!(Bounded::<Vec<u32>, 2>::new(vec![1, 2, 3]), None);
    garbage::<Bounded<Vec<u32>, 2>>(b"\0\0\0\x03\0\0\0\x01\0\0\0\x02\0\0\0\x03");
    is(&Some(7_u32), b"\0\0\0\x01\0\0\0\x07");
    is(&None::<u32>, b"\0\0\0\0");
    garbage::<Option<u32>>(b"\0\0\0\x02\0\0\0\x07");
    is(&(1_u32, text::<9>("ab"), Some(true)), b"\0\0\0\x01\0\0\0\x02ab\0\0\0\0\0\x01\0\0\0\x01");
}

#[test]
fn a_list_of_nothing_is_as_long_as_its_bound_allows() {
    // It says nothing of how many bytes are to come.
    let list = Bounded::<Vec<()>, 1000>::decode(&mut &b"\0\0\x03\xe8"[..]);
    assert_eq!(list.map(|list| list.len()), Ok(1000));
    garbage::<Bounded<Vec<()>, 1000>>(b"\0\0\x03\xe9");
}

type Something = (
    (u32, i64, f64, bool),
    Bounded<String, 40>,
    Bounded<Vec<u8>, 40>,
    Bounded<Vec<(i32, Option<u64>)>, 10>,
    [u8; 7],
);

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        numbers: (u32, i64, u64, bool),
        letters in "\\PC{0,10}",
        bytes in prop::collection::vec(any::<u8>(), 0..=40),
        list in prop::collection::vec(any::<(i32, Option<u64>)>(), 0..=10),
        fixed: [u8; 7],
    ) {
        let (a, b, c, d) = numbers;
        let value: Something = (
            // No number that differs from itself.
            (a, b, f64::from_bits(c >> 2), d),
            Bounded::<String, 40>::new(letters).expect("ten letters have at most 40 bytes"),
            Bounded::<Vec<u8>, 40>::new(bytes).expect("short"),
            Bounded::<Vec<(i32, Option<u64>)>, 10>::new(list).expect("short"),
            fixed,
        );
        let mut encoded = Vec::new();
        value.encode(&mut encoded);
        prop_assert_eq!(encoded.len() % 4, 0);
        let mut input = &*encoded;
        prop_assert_eq!(Something::decode(&mut input), Ok(value));
        prop_assert!(input.is_empty());
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut input = &*bytes;
        if let Ok(value) = Something::decode(&mut input) {
            let mut encoded = Vec::new();
            value.encode(&mut encoded);
            prop_assert_eq!(encoded.len(), bytes.len() - input.len());
        }
    }
}
