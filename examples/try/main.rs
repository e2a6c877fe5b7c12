use socketserver::*;
use std::io::{self, BufRead, Write};
struct Line;
impl<R: BufRead + Write> Handler<R> for Line {
    fn handle(&self, r: &mut R) -> io::Result<Next> {
        let mut line = Vec::new();
        if r.read_bytes_bounded(&mut line, 65536)? == 0 {
            return Ok(Next::Done);
        }
        r.write_all(&line)?;
        Ok(Next::Again)
    }
    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 65536)
    }
}
fn main() -> io::Result<()> {
    let a = std::env::args().nth(1).unwrap_or_default();
    fn go<C: Concurrency<Tcp, Line>>(c: C) -> io::Result<()> {
        let counters = Counters::new()?;
        let mut s = Server::new(Tcp::options().bind("127.0.0.1:0")?, c, Line)?.counters(&counters);
        println!("LISTENING {}", s.local_addr()?);
        let stop = s.stop_handle();
        std::thread::spawn(move || {
            let mut l = String::new();
            io::stdin().read_line(&mut l).unwrap();
            stop.stop();
        });
        s.serve_forever()?;
        println!("served {counters:?}");
        println!("{:?}", s.close()?);
        println!("closed {counters:?}");
        Ok(())
    }
    match &*a {
        "threading" => go(Selecting::new(Threading::new())),
        _ => go(Selecting::new(Sync)),
    }
}
