//! PROXY headers, written by hand.
#![allow(clippy::expect_used, reason = "this is a test")]

use std::net::SocketAddr;

pub const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: the 13th and 14th byte, and what its length counts.
pub fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("no header is so long");
    [SIGNATURE, &[command, family], &length.to_be_bytes(), rest].concat()
}

/// The addresses of a header of version 2.
pub fn addresses(source: &str, destination: &str) -> Vec<u8> {
    let [source, destination]: [SocketAddr; 2] =
        [source, destination].map(|text| text.parse().expect("an address"));
    let ip = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
        SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
    };
    let ports = [source, destination].map(|address| address.port().to_be_bytes()).concat();
    [ip(source), ip(destination), ports].concat()
}

/// A value behind the addresses.
pub fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("no value is so long");
    [&[kind][..], &length.to_be_bytes(), bytes].concat()
}

/// A header that names a client, with a checksum of its own: CRC-32C by the byte, as no other code
/// here reckons it.
pub fn with_checksum(source: &str, destination: &str, wrong: u32) -> Vec<u8> {
    let rest = [addresses(source, destination), value(4, b"pad"), value(3, &[0; 4])].concat();
    let mut header = v2(0x21, 0x11, &rest);
    let table: Vec<u32> = (0..256_u32)
        .map(|byte| {
            (0..8).fold(byte, |c, _| if c & 1 == 1 { c >> 1 ^ 0x82F6_3B78 } else { c >> 1 })
        })
        .collect();
    let step = |c: u32, byte: &u8| table[((c ^ u32::from(*byte)) & 255) as usize] ^ c >> 8;
    let sum = !header.iter().fold(u32::MAX, step) ^ wrong;
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

/// What is a header, and which client it names; none, where the peer is the connection's own.
pub fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let (v4, v6) = ("192.0.2.7:4711", "[2001:db8::7]:4711");
    let (here4, here6) = ("198.51.100.1:80", "[2001:db8::1]:80");
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let mapped = "[::ffff:192.0.2.7]:4711";
    let text = |line: &str| line.as_bytes().to_vec();
    let four = addresses(v4, here4);
    let unix = [b'/'; 216];
    vec![
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n"), Some(v4)),
        (text("PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n"), Some(v6)),
        (text("PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 80\r\n"), Some(v4)),
        (text("PROXY UNKNOWN\r\n"), None),
        (text(&format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n")), None),
        (v2(0x21, 0x11, &four), Some(v4)),
        (v2(0x21, 0x21, &addresses(v6, here6)), Some(v6)),
        (v2(0x21, 0x21, &addresses(mapped, "[::1]:80")), Some(v4)),
        (
            v2(0x21, 0x11, &[&four[..], &value(2, b"name"), &value(0xe0, &[9; 300])].concat()),
            Some(v4),
        ),
        (v2(0x21, 0x11, &[&four[..], &value(0x20, &[0; 4096 - 16 - 12 - 3])].concat()), Some(v4)),
        (with_checksum(v4, here4, 0), Some(v4)),
        // A health check, with and without addresses that are to be skipped, of whatever family.
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, &four), None),
        (v2(0x20, 0xff, b"?"), None),
        // What the proxy does not know, UDP, and a Unix socket of the proxy's machine.
        (v2(0x21, 0x00, &[]), None),
        (v2(0x21, 0x00, &four), None),
        (v2(0x21, 0x12, &four), None),
        (v2(0x21, 0x31, &unix), None),
    ]
}

/// What is none, and how it is told from one.
pub fn bad() -> Vec<(Vec<u8>, &'static str)> {
    let four = addresses("192.0.2.7:4711", "198.51.100.1:80");
    let text = |line: &str| line.as_bytes().to_vec();
    let with = |rest: &[u8]| v2(0x21, 0x11, &[&four[..], rest].concat());
    let mut version_1 = v2(0x21, 0x11, &four);
    version_1[12] = 0x11;
    vec![
        (text("GET / HTTP/1.1\r\n\r\n"), "Missing"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), "Missing"),
        (text("P"), "gone"),
        (text("\r\n\r\n\0\r\nQUIX\n"), "Missing"),
        (text("proxy TCP4 192.0.2.7 198.51.100.1 4711 80\r\n"), "Missing"),
        (text("PROXYTCP4 192.0.2.7 198.51.100.1 4711 80\r\n"), "Missing"),
        (text("PROXY \r\n"), "Malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\n"), "Malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n"), "Malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80 \r\n"), "Malformed"),
        (text("PROXY TCP4  192.0.2.7 198.51.100.1 4711 80\r\n"), "Malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 65536 80\r\n"), "Malformed"),
        (text("PROXY TCP4 192.0.2.07 198.51.100.1 4711 80\r\n"), "Malformed"),
        (text("PROXY TCP4 2001:db8::7 ::1 4711 80\r\n"), "Malformed"),
        (text("PROXY TCP5 192.0.2.7 198.51.100.1 4711 80\r\n"), "Malformed"),
        (text("PROXY UDP4 192.0.2.7 198.51.100.1 4711 80\r\n"), "Malformed"),
        ([&b"PROXY TCP4 "[..], &[0xff; 9], b"\r\n"].concat(), "Malformed"),
        (format!("PROXY UNKNOWN {}\r\n", "f".repeat(92)).into_bytes(), "TooLong"),
        (format!("PROXY {}", "f".repeat(5000)).into_bytes(), "TooLong"),
        (text("PROXY TCP4 192.0.2.7"), "gone"),
        (version_1, "Malformed"),
        (v2(0x22, 0x11, &four), "Malformed"),
        (v2(0x21, 0x41, &four), "Malformed"),
        (v2(0x21, 0x13, &four), "Malformed"),
        (v2(0x21, 0x11, &four[1..]), "Malformed"),
        (v2(0x21, 0x21, &four), "Malformed"),
        (v2(0x21, 0x31, &four), "Malformed"),
        (with(b"\x02\0"), "Malformed"),
        (with(b"\x02\0\x09name"), "Malformed"),
        (with(&value(3, b"sum")), "Malformed"),
        (with_checksum("192.0.2.7:4711", "198.51.100.1:80", 1), "Checksum"),
        (with(&[4; 5000]), "TooLong"),
        (v2(0x20, 0, &[0; 5000]), "TooLong"),
        (v2(0x21, 0x11, &four)[..27].to_vec(), "gone"),
        (SIGNATURE.to_vec(), "gone"),
        (Vec::new(), "gone"),
    ]
}
