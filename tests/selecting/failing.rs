//! What goes wrong: requests and replies that are too long, errors and panics, connections that are
//! given up.

use std::io::{self, BufRead, Read, Write};

use crossbeam_channel::{Sender, bounded};
use socketserver::{
    Concurrency, Handler, Next, Selecting, StreamRequest, StreamSocket, Sync as OneByOne, Tcp,
    Threading, UnixStream, frame_missing,
};

use crate::rig::{
    Client, Ear, Lines, Result, Stream, Table, everywhere, exchange, hear, hear_last, lines, say,
    text,
};

everywhere! {
    a_request_that_can_not_fit_fails_once;
    a_line_that_does_not_end_fails_once;
    a_reply_that_can_not_wait_fails_once;
    errors_and_panics_end_their_connection_alone;
}

/// Requests with their length in front.
struct Frames(Lines);

impl<R: BufRead + Write> Handler<R> for Frames {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut length = [0; 4];
        request.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        request.read_exact(&mut frame)?;
        request.write_all(&frame)?;
        Ok(Next::Again)
    }

    fn missing(&self, input: &[u8]) -> usize {
        frame_missing::<4>(input, 1 << 20)
    }

    socketserver::forward_hooks!(R, self => self.0; handle_error);
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(bytes);
    frame
}

/// It says so before it has come.
fn a_request_that_can_not_fit_fails_once<T, C>(strategy: Selecting<C>) -> Result
where
    T: Stream,
    Selecting<C>: Concurrency<T, Frames> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, _, _>::new(strategy.request_bytes(5000), Frames(handler))?;
    let mut client = table.client(frame(&text(4000)))?;
    hear(&mut client, text(4000))?;
    // It has come in part, and as much of it as there is room for.
    for part in [100, 5000, 200_000] {
        let mut client = table.client(frame(&text(300_000)).split_at(part).0)?;
        hear_last(&mut client, "sorry\n")?;
        ear.hears("failed: Handle Error")?;
    }
    exchange_frame(&mut client)?;
    table.close()?;
    assert!(ear.said.is_empty());
    Ok(())
}

fn exchange_frame(client: &mut impl Client) -> Result {
    say(client, frame(b"still here"))?;
    hear(client, "still here")
}

fn a_line_that_does_not_end_fails_once<T, C>(strategy: Selecting<C>) -> Result
where
    T: Stream,
    Selecting<C>: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, _, _>::new(strategy.request_bytes(100), handler)?;
    let mut client = table.client("x".repeat(99))?;
    say(&mut client, "y")?;
    hear_last(&mut client, "sorry\n")?;
    ear.hears("failed: Handle Error")?;
    drop(client);
    table.close()?;
    assert!(ear.said.is_empty());
    Ok(())
}

fn a_reply_that_can_not_wait_fails_once<T, C>(strategy: Selecting<C>) -> Result
where
    T: Stream,
    Selecting<C>: Concurrency<T, Lines> + Send + 'static,
{
    const BYTES: usize = 10_000;
    const TOO_LONG: usize = 30_000_000;
    let (handler, ear) = lines();
    let table = Table::<T, _, _>::new(strategy.reply_bytes(BYTES), handler)?;
    let mut client = table.client(format!("long {TOO_LONG}\n"))?;
    ear.hears(&format!("long {TOO_LONG}"))?;
    ear.hears("failed: Handle Error")?;
    let mut heard = Vec::new();
    client.read_to_end(&mut heard)?;
    let (reply, word) = heard.split_at(heard.len() - 6);
    assert_eq!(word, b"sorry\n");
    assert!(reply == text(reply.len()) && reply.len() < TOO_LONG);
    drop(client);
    table.close()?;
    assert!(ear.said.is_empty());
    Ok(())
}

fn errors_and_panics_end_their_connection_alone<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let mut other = table.client("")?;
    for (line, failed) in [("error", "Handle Error"), ("panic", "Handle Panic")] {
        let mut client = table.client(format!("one\n{line}\nnobody reads this\n"))?;
        hear_last(&mut client, "one\nsorry\n")?;
        hears_all(&ear, &["one", line, &format!("failed: {failed}")])?;
        exchange(&mut other, "still here\n")?;
        ear.hears("still here")?;
    }
    table.close()?;
    assert!(ear.said.is_empty());
    Ok(())
}

fn hears_all(ear: &Ear, all: &[&str]) -> Result {
    all.iter().try_for_each(|what| ear.hears(what))
}

/// Gives its connections to somebody else, after a long reply.
struct GivesUp<S>(Sender<S>, usize);

impl<S: StreamSocket, A> Handler<StreamRequest<S, A>> for GivesUp<S> {
    fn handle(&self, request: &mut StreamRequest<S, A>) -> io::Result<Next> {
        let mut line = String::new();
        request.read_line(&mut line)?;
        if line != "yours\n" {
            request.write_all(line.as_bytes())?;
            return Ok(Next::Again);
        }
        request.write_all(&text(self.1))?;
        self.0.send(request.detach()?).map_err(|_| io::Error::other("nobody wants it"))?;
        Ok(Next::Done)
    }
}

/// It lives on, the table has forgotten it, and what was written before has been sent.
fn given_up<T, S, C>(strategy: C, length: usize) -> Result
where
    T: Stream,
    S: StreamSocket + Client,
    C: Concurrency<T, GivesUp<S>> + Send + 'static,
    GivesUp<S>: Handler<T::Request>,
{
    let (give, given) = bounded(1);
    let table = Table::<T, C, _>::new(strategy, GivesUp(give, length))?;
    let mut client = table.client("")?;
    exchange(&mut client, "one\n")?;
    say(&mut client, "yours\n")?;
    hear(&mut client, text(length))?;
    let mut mine = given.recv_timeout(crate::support::net::PATIENCE)?;
    let mut others = table.client("")?;
    for _ in 0..3 {
        say(&mut client, "over here\n")?;
        hear(&mut mine, "over here\n")?;
        say(&mut mine, "and there\n")?;
        hear(&mut client, "and there\n")?;
        exchange(&mut others, "meanwhile\n")?;
    }
    table.close()?;
    exchange_over(&mut client, &mut mine)
}

fn exchange_over(client: &mut impl Client, mine: &mut impl Client) -> Result {
    say(client, "it outlives the server\n")?;
    hear(mine, "it outlives the server\n")
}

#[test]
fn a_connection_that_is_given_up_lives_on() -> Result {
    for length in [10, 7_000_000] {
        given_up::<Tcp, _, _>(Selecting::new(OneByOne), length)?;
        given_up::<Tcp, _, _>(Selecting::new(Threading::new()), length)?;
        given_up::<UnixStream, _, _>(Selecting::new(OneByOne), length)?;
        given_up::<UnixStream, _, _>(Selecting::new(Threading::new()), length)?;
    }
    Ok(())
}
