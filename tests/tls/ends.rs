//! How connections end, and that each side can tell a clean end from a cut.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;

use socketserver::{
    Concurrency, Counters, FailureKind, Selecting, Server, Stage, Sync, Tcp, Threading, Tls,
};

use crate::common::authority::{Authority, BOTH};
use crate::common::client;
use crate::common::teller::{Teller, told};
use crate::support::net;
use crate::{NAME, Result, Served, serve};

fn a_cut_is_no_end<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    for version in BOTH {
        for last in ["", "half a line"] {
            let config = served.authority.client(&[version], None)?;
            let mut client = client::connect(served.address, config, NAME)?;
            assert_eq!(client::ask(&mut client, "whole\n")?, "whole\n");
            client::say(&mut client, last.as_bytes())?;
            client.get_ref().sock.shutdown(Shutdown::Write)?;
            let (stage, kind, _, text) = told(&served.failures)?;
            assert_eq!((stage, kind), (Stage::Handle, FailureKind::PeerGone), "{text}");
            assert!(text.contains("cut short"), "{text}");
            // The last word, and no close_notify.
            assert_eq!(client::hear(&mut client)?, "sorry\n");
            let error = client::rest(&mut client).expect_err("a cut");
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

fn what_failed_does_not_look_whole<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    for version in BOTH {
        let config = served.authority.client(&[version], None)?;
        let mut client = client::connect(served.address, config, NAME)?;
        assert_eq!(client::ask(&mut client, "fail\n")?, "half of\n");
        assert_eq!(client::hear(&mut client)?, "sorry\n");
        let error = client::rest(&mut client).expect_err("no close_notify");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let (stage, kind, ..) = told(&served.failures)?;
        assert_eq!((stage, kind), (Stage::Handle, FailureKind::Error));
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

fn a_long_reply_is_whole<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    for version in BOTH {
        let config = served.authority.client(&[version], None)?;
        let mut client = client::connect(served.address, config, NAME)?;
        // It is not read before all of it has been asked for.
        for _ in 0..10 {
            client::say(&mut client, b"long\n")?;
        }
        client::say(&mut client, b"bye\nand what nobody reads\n")?;
        let rest = client::rest(&mut client)?;
        assert_eq!(rest.len(), 10 * 300_000 + "goodbye\n".len());
        assert!(rest.ends_with("xgoodbye\n"));
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

/// More than a table would hold back.
fn content_that_is_longer_than_memory<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let config = served.authority.client(&BOTH, None)?;
    let mut client = client::connect(served.address, config, NAME)?;
    client::say(&mut client, b"last\n")?;
    let rest = client::rest(&mut client)?;
    assert_eq!(rest.len(), 20_000_000);
    assert!(rest.bytes().all(|byte| byte == b'z'));
    assert_eq!(served.end()?, []);
    Ok(())
}

fn noise_in_the_middle<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    for version in BOTH {
        let config = served.authority.client(&[version], None)?;
        let mut client = client::connect(served.address, config, NAME)?;
        assert_eq!(client::ask(&mut client, "one\n")?, "one\n");
        client.get_mut().sock.write_all(&[23, 3, 3, 0, 32])?;
        client.get_mut().sock.write_all(&[7; 32])?;
        let (stage, kind, _, text) = told(&served.failures)?;
        assert_eq!((stage, kind), (Stage::Handle, FailureKind::Error), "{text}");
        let error = client::rest(&mut client).expect_err("an alert");
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

fn a_stop_ends_them_cleanly<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let config = served.authority.client(&BOTH, None)?;
    let mut client = client::connect(served.address, config, NAME)?;
    assert_eq!(client::ask(&mut client, "one\n")?, "one\n");
    served.running.stop();
    client::say(&mut client, b"two\n").or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Ok(()),
        _ => Err(error),
    })?;
    // Under some strategies the connection ends between two exchanges, under others after the next.
    let rest = client::rest(&mut client)?;
    assert!(["", "two\n"].contains(&&*rest), "{rest}");
    served.running.close()?;
    Ok(())
}

/// Whoever is turned away in the loop hears nothing in the clear.
#[test]
fn a_refusal_has_no_words() -> Result {
    use socketserver::{Limits, Refuse, WhenFull};
    let authority = Authority::new("an authority")?;
    let tls = Tls::new(Tcp::options().bind("127.0.0.1:0")?, authority.server(NAME)?);
    let (teller, _failures) = Teller::new();
    let counters = Counters::new()?;
    let limits = Limits::new()
        .at_once(1)
        .when_full(WhenFull::Refuse)
        .refuse(Refuse::Answer(b"too many\n".into()));
    let server = Server::new(tls, Threading::new(), teller)?.limits(limits)?.counters(&counters);
    let address = server.local_addr()?;
    let running = server.spawn()?;
    let first = client::connect(address, authority.client(&BOTH, None)?, NAME)?;
    assert!(net::is_closed(net::connect(address)?)?);
    drop(first);
    running.close()?;
    assert_eq!(counters.refused(), 1);
    assert_eq!(counters.failed_by(FailureKind::PeerGone), 1);
    Ok(())
}

crate::under! {
    Threading, Selecting<Sync>, Selecting<Threading>:
    a_cut_is_no_end
    what_failed_does_not_look_whole
    a_long_reply_is_whole
    content_that_is_longer_than_memory
    noise_in_the_middle
    a_stop_ends_them_cleanly
}
