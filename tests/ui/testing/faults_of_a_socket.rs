//! What goes wrong with a socket is not the program's to choose.

use socketserver::Tcp;

fn main() {
    let error = std::io::ErrorKind::ConnectionAborted.into();
    let _ = Tcp::options().fail_get_request(1, error);
}
