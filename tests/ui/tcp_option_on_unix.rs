//! Law 7: options of TCP and of IP on Unix sockets.

use socketserver::{AddressFamily, UnixDatagram, UnixStream};

fn main() {
    let _ = UnixStream::options().disable_nagle_algorithm(true);
    let _ = UnixStream::options().allow_reuse_port(true);
    let _ = UnixDatagram::options().address_family(AddressFamily::V6);
}
