//! Random lines, cut anywhere and taken at any pace, over several connections at once: what comes
//! back is the same under every strategy.

use std::io;
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};
#[cfg(feature = "proxy")]
use socketserver::Proxied;
#[cfg(feature = "tls")]
use socketserver::Tls;
use socketserver::{
    Authenticated, Concurrency, Selecting, Sync as OneByOne, Tcp, Threading, UnixStream, Users,
};

use crate::rig::{Client, Lines, Result, Stream, Table, lines, text};
use crate::support::time::let_pass;

/// What a client says and how, and how it listens.
#[derive(Debug, Clone)]
struct Script {
    lines: Vec<String>,
    cuts: Vec<Index>,
    /// It takes so much at a time, and now and then nothing for a while.
    takes: usize,
    pauses: usize,
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-z]{1,40}",
        4 => (0_usize..3000).prop_map(|length| format!("long {length}")),
        2 => (100_000_usize..1_000_000).prop_map(|length| format!("long {length}")),
    ]
}

fn last() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("error".to_owned()),
        Just("bye".to_owned()),
        (0_usize..1_000_000).prop_map(|length| format!("last {length}")),
        "[a-z]{1,40}",
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let lines = (vec(line(), 0..40), last(), vec(line(), 0..3));
    (lines, vec(any::<Index>(), 0..10), 1_usize..100_000, 1_usize..100).prop_map(
        |((mut lines, last, rest), cuts, takes, pauses)| {
            lines.push(last);
            lines.extend(rest);
            Script { lines, cuts, takes, pauses }
        },
    )
}

impl Script {
    /// What is said, in parts; the last line does not end.
    fn parts(&self) -> Vec<Vec<u8>> {
        let said = self.lines.join("\n").into_bytes();
        let mut cuts: Vec<_> = self.cuts.iter().map(|cut| cut.index(said.len())).collect();
        cuts.extend([0, said.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| said[pair[0]..pair[1]].to_vec()).collect()
    }

    /// What is answered.
    fn answer(&self) -> Vec<u8> {
        let mut answer = Vec::new();
        for line in &self.lines {
            match line.split_once(' ') {
                Some((_, length)) => answer.extend(text(length.parse().unwrap())),
                None if line == "error" => answer.extend(b"sorry\n"),
                None => answer.extend(format!("{line}\n").into_bytes()),
            }
            if line == "error" || line == "bye" || line.starts_with("last") {
                break;
            }
        }
        answer
    }

    /// Plays it; what has come back.
    fn play(&self, mut client: impl Client) -> io::Result<Vec<u8>> {
        let mut listens = client.another()?;
        let parts = self.parts();
        let speaks = thread::spawn(move || {
            for part in parts {
                // It may have been hung up on.
                if client.write_all(&part).is_err() {
                    return;
                }
                thread::yield_now();
            }
            let _ = client.shut_down();
        });
        let (mut heard, mut some) = (Vec::new(), vec![0; self.takes]);
        for turn in 1.. {
            let count = match listens.read(&mut some) {
                // What comes after the end of a connection resets it, behind all that was sent.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                read => read?,
            };
            heard.extend_from_slice(&some[..count]);
            if count == 0 {
                break;
            }
            if turn % self.pauses == 0 && turn < 1000 {
                let_pass(Duration::from_millis(1));
            }
        }
        speaks.join().map_err(|_| io::Error::other("it panicked"))?;
        Ok(heard)
    }
}

/// Plays them all at once.
fn play<T, C>(strategy: C, scripts: &[Script]) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, _ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let heard: Vec<_> = thread::scope(|scope| {
        let playing: Vec<_> = scripts
            .iter()
            .map(|script| {
                let client = table.client("").map_err(|error| error.to_string());
                scope.spawn(move || script.play(client?).map_err(|error| error.to_string()))
            })
            .collect();
        playing.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (script, heard) in scripts.iter().zip(heard) {
        let (heard, wanted) = (heard?, script.answer());
        assert!(heard == wanted, "{} of {} bytes: {script:?}", heard.len(), wanted.len());
    }
    table.close()?;
    Ok(())
}

/// Through what wraps a transport.
fn play_wrapped(scripts: &[Script]) -> Result {
    play::<Authenticated<UnixStream, Users>, _>(Selecting::new(Threading::new()), scripts)?;
    #[cfg(feature = "proxy")]
    play::<Proxied<Tcp>, _>(Selecting::new(Threading::new()), scripts)?;
    #[cfg(feature = "tls")]
    {
        play::<Tls<Tcp>, _>(Selecting::new(Threading::new()), scripts)?;
        play::<Tls<Tcp>, _>(Threading::new(), scripts)?;
    }
    #[cfg(all(feature = "proxy", feature = "tls"))]
    play::<Tls<Proxied<Tcp>>, _>(Selecting::new(OneByOne), scripts)?;
    Ok(())
}

#[test]
fn the_same_comes_back_under_every_strategy() -> Result {
    let config = ProptestConfig { cases: 10, failure_persistence: None, ..Default::default() };
    let played = TestRunner::new(config).run(&vec(script(), 1..4), |scripts| {
        let played = || {
            play::<Tcp, _>(Selecting::new(OneByOne), &scripts)?;
            play::<UnixStream, _>(Selecting::new(Threading::new()), &scripts)?;
            play::<UnixStream, _>(Selecting::new(OneByOne), &scripts)?;
            play::<Tcp, _>(Selecting::new(Threading::new()), &scripts)?;
            play::<Tcp, _>(Threading::new(), &scripts)?;
            play::<UnixStream, _>(OneByOne, &scripts)?;
            play_wrapped(&scripts)
        };
        played().map_err(|error| TestCaseError::fail(error.to_string()))
    });
    Ok(played?)
}
