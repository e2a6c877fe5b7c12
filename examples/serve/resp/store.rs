//! What the commands do, and the replies to them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socketserver::Next;

/// How many bytes of keys and values are kept.
const MOST_KEPT: usize = 64 * 1024 * 1024;
/// What a key and its value cost beside their bytes, in the table and in their allocations.
const EACH: usize = 128;

/// The values. One lock for all: it is held for as long as a value is copied.
#[derive(Default)]
pub(super) struct Store(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    values: HashMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
}

impl Store {
    /// Runs a command, and appends the reply.
    pub(super) fn run(&self, command: &[Vec<u8>], reply: &mut Vec<u8>) -> Next {
        let Some((name, arguments)) = command.split_first() else { return Next::Again };
        match (name.to_ascii_uppercase().as_slice(), arguments) {
            (b"PING", []) => simple(reply, "PONG"),
            (b"PING" | b"ECHO", [text]) => bulk(reply, text),
            (b"SET", [key, value]) => match self.kept().set(key, value.clone()) {
                Ok(()) => simple(reply, "OK"),
                Err(Full) => error(reply, Full::WHAT),
            },
            (b"SET", [_, _, _, ..]) => error(reply, "ERR syntax error"),
            (b"GET", [key]) => match self.kept().values.get(key) {
                Some(value) => bulk(reply, value),
                None => reply.extend_from_slice(b"$-1\r\n"),
            },
            (b"DEL", [_, ..]) => integer(reply, self.kept().delete(arguments)),
            (b"EXISTS", [_, ..]) => integer(reply, self.kept().count(arguments)),
            (b"INCR", [key]) => match self.kept().increment(key) {
                Ok(number) => integer(reply, number),
                Err(what) => error(reply, what),
            },
            // redis-benchmark asks what a server keeps on disk: nothing.
            (b"CONFIG", [get, name]) if get.eq_ignore_ascii_case(b"GET") => {
                reply.extend_from_slice(b"*2\r\n");
                bulk(reply, name);
                bulk(reply, b"");
            }
            // redis-cli asks for help with its completion.
            (b"COMMAND", _) => reply.extend_from_slice(b"*0\r\n"),
            (b"QUIT", _) => {
                simple(reply, "OK");
                return Next::Done;
            }
            (b"PING" | b"ECHO" | b"SET" | b"GET" | b"DEL" | b"EXISTS" | b"INCR" | b"CONFIG", _) => {
                error(reply, "ERR wrong number of arguments");
            }
            _ => error(reply, "ERR unknown command"),
        }
        Next::Again
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is no room.
struct Full;

impl Full {
    const WHAT: &str = "OOM command not allowed: the values have no room left";
}

impl Kept {
    fn set(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), Full> {
        let before = self.values.get(key).map_or(0, |value| cost(key, value));
        let after = self.bytes - before + cost(key, &value);
        if after > MOST_KEPT {
            return Err(Full);
        }
        self.bytes = after;
        match self.values.get_mut(key) {
            Some(kept) => *kept = value,
            None => drop(self.values.insert(key.to_vec(), value)),
        }
        Ok(())
    }

    fn delete(&mut self, keys: &[Vec<u8>]) -> i64 {
        let mut deleted = 0;
        for key in keys {
            if let Some(value) = self.values.remove(key) {
                self.bytes -= cost(key, &value);
                deleted += 1;
            }
        }
        deleted
    }

    /// How many are there; one that is asked for twice counts twice.
    fn count(&self, keys: &[Vec<u8>]) -> i64 {
        keys.iter().map(|key| i64::from(self.values.contains_key(key))).sum()
    }

    fn increment(&mut self, key: &[u8]) -> Result<i64, &'static str> {
        let value = self.values.get(key).map_or(b"0".as_slice(), Vec::as_slice);
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
        let number = number.ok_or("ERR value is not an integer or out of range")?;
        let number = number.checked_add(1).ok_or("ERR increment or decrement would overflow")?;
        self.set(key, number.to_string().into_bytes()).map_err(|Full| Full::WHAT)?;
        Ok(number)
    }
}

fn cost(key: &[u8], value: &[u8]) -> usize {
    EACH + key.len() + value.len()
}

fn simple(reply: &mut Vec<u8>, text: &str) {
    reply.extend_from_slice(format!("+{text}\r\n").as_bytes());
}

fn error(reply: &mut Vec<u8>, text: &str) {
    reply.extend_from_slice(format!("-{text}\r\n").as_bytes());
}

fn integer(reply: &mut Vec<u8>, number: i64) {
    reply.extend_from_slice(format!(":{number}\r\n").as_bytes());
}

fn bulk(reply: &mut Vec<u8>, bytes: &[u8]) {
    reply.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    reply.extend_from_slice(bytes);
    reply.extend_from_slice(b"\r\n");
}
