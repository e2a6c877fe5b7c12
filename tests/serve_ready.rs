//! What the example `serve` says of itself: whether it is to be sent requests, and whose one is; and
//! how it ends where that is announced.

#[path = "support/served.rs"]
mod served;

use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;
use served::{LIMIT, STRATEGIES, Served, Tested, ask, connect, exchange, get, program};

#[test]
fn it_is_ready_until_it_is_to_end_and_serves_on_for_the_grace() -> Tested {
    for strategy in STRATEGIES {
        let options = ["--addr", "127.0.0.1:0", "--strategy", strategy, "--dir", "src"];
        let more = ["--ready", "/ready", "--whoami", "/whoami", "--grace", "3600"];
        let server = Served::start(&[&options[..], &more].concat())?;
        let ready = get(&server.address, "/ready?for=what")?;
        assert_eq!((ready.status, &*ready.text()), (200, "ready\n"), "{strategy}");
        assert_eq!(ready.field("cache-control"), Some("no-store"));
        server.signal(Signal::SIGTERM)?;
        let begun = Instant::now();
        let answer = loop {
            let answer = get(&server.address, "/ready")?;
            if answer.status != 200 || begun.elapsed() > LIMIT {
                break answer;
            }
        };
        assert_eq!((answer.status, &*answer.text()), (503, "draining\n"), "{strategy}");
        // Whoever comes is served, and told that it is the last time.
        let request = b"GET /lib.rs HTTP/1.1\r\nHost: here\r\n\r\n";
        let last = exchange(connect(&server.address)?, request)?;
        assert_eq!((last.status, last.field("connection")), (200, Some("close")), "{strategy}");
        server.signal(Signal::SIGTERM)?;
        assert_eq!(server.end()?.0.code(), Some(128 + Signal::SIGTERM as i32), "{strategy}");
    }
    Ok(())
}

#[test]
fn a_client_hears_its_own_address() -> Tested {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = Served::start(&["--addr", address, "--whoami", "/whoami"])?;
        let client = connect(&server.address)?;
        let own = client.local_addr()?.to_string();
        let request = b"GET /whoami HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        assert_eq!(exchange(client, request)?.text().trim_end(), own);
        assert_eq!(ask(&server.address, "POST", "/whoami", "")?.status, 405);
        assert_eq!(get(&server.address, "/ready")?.status, 404, "nobody has asked for it");
    }
    Ok(())
}

#[test]
fn what_makes_no_sense_is_told() -> Tested {
    let cases = [
        (&["--ready", "ready"][..], "has to be a path of a URL"),
        (&["--whoami", "/who?me"], "has to be a path of a URL"),
        (&["--mode", "once", "--ready", "/ready"], "--mode files"),
        (&["--grace", "0"], "a number of seconds above 0"),
        (&["--grace", "soon"], "a number of seconds above 0"),
        (&["--grace", "-1"], "a number of seconds above 0"),
    ];
    for (options, wanted) in cases {
        let output = Command::new(program()?).args(options).output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
        assert!(said.contains(wanted), "{options:?}: {said}");
    }
    if !cfg!(feature = "activation") {
        let output = Command::new(program()?).args(["--hand-over", "there"]).output()?;
        assert!(String::from_utf8(output.stderr)?.contains("--features activation"));
    }
    Ok(())
}
