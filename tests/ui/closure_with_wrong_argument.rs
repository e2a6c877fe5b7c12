//! A closure for the wrong request, by value, and without a result.

use std::io;

use socketserver::{TcpRequest, UdpRequest, UdpServer};

fn main() -> io::Result<()> {
    let _ = UdpServer::bind_fn("127.0.0.1:0", |_conn: &mut TcpRequest| Ok(()))?;
    let _ = UdpServer::bind_fn("127.0.0.1:0", |_packet: UdpRequest| Ok(()))?;
    let _ = UdpServer::bind_fn("127.0.0.1:0", |_packet| {})?;
    let _ = UdpServer::bind_fn("127.0.0.1:0", || Ok(()))?;
    Ok(())
}
