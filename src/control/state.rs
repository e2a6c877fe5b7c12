//! The state of a server's sessions, in one word; no memory, no clock and no system in here.

/// The message has been posted and not yet been taken.
pub(super) const ASKED: u64 = 1;
/// The session has begun; it stays so between two calls of `handle_request`.
pub(super) const RUNNING: u64 = 2;
/// No further request is taken: at once where stops are not announced, and otherwise when the time
/// for that is over, or another stop has come.
pub(super) const ENDED: u64 = 4;
/// Nobody serves, and what is in flight is waited for.
pub(super) const CLOSING: u64 = 8;
/// One more stop has come: what is in flight is not waited for any longer.
pub(super) const HURRIED: u64 = 16;
/// Above the flags stands the number of the session: how many have ended before it.
const NUMBER: u32 = 5;

/// The state of session `number` before anybody serves.
pub(super) const fn before(number: u64) -> u64 {
    number << NUMBER
}

/// The number of the session.
#[inline]
pub(super) const fn number(state: u64) -> u64 {
    state >> NUMBER
}

/// Whether session `of` has this flag, or is over.
#[inline]
pub(super) const fn has(state: u64, of: u64, flag: u64) -> bool {
    state & flag != 0 || number(state) != of
}

/// Whether the session that runs has been asked to stop; or where none runs, whether the one that
/// whoever was `born` then knows is over.
pub(super) const fn is_asked(state: u64, born: u64) -> bool {
    state & ASKED != 0 || (state & RUNNING == 0 && number(state) != born)
}

/// Somebody serves: the session begins, or goes on.
pub(super) const fn begun(state: u64) -> u64 {
    // That the last session was ended in a hurry is no concern of the next one.
    let over = if state & RUNNING == 0 { CLOSING | HURRIED } else { 0 };
    (state | RUNNING) & !over
}

/// The time between two sessions, or after the last (`CLOSING`). Only the hurry is left of what
/// was.
pub(super) const fn entered(state: u64, number: u64, flags: u64) -> u64 {
    before(number) | flags | state & HURRIED
}

/// What one more stop makes of a state.
pub(super) const fn stopped(state: u64, born: u64, announces: bool) -> u64 {
    let (asked, ended) = (state & ASKED != 0, state & ENDED != 0);
    match state & (RUNNING | CLOSING) {
        CLOSING => state | HURRIED,
        // Between the end of serving and `close`; if it is not closed, `begun` forgets it.
        0 if number(state) != born => state | HURRIED,
        // Whoever has not begun has nobody to announce it to.
        0 => state | ASKED | ENDED,
        _ if ended => state | HURRIED,
        _ if asked || !announces => state | ASKED | ENDED,
        _ => state | ASKED,
    }
}

/// What a stop makes of a state that is none but the first; nothing, where there has been one, or
/// the session is over that it would be for.
pub(super) fn asked(state: u64, born: u64, announces: bool) -> Option<u64> {
    (!is_asked(state, born)).then(|| stopped(state, born, announces))
}

/// Session `of` takes no further request.
pub(super) fn concluded(state: u64, of: u64) -> Option<u64> {
    (number(state) == of).then_some(state | ASKED | ENDED)
}

/// Session `of` is to know that it has been asked to stop, and goes on until it is told to end.
pub(super) fn announced(state: u64, of: u64) -> Option<u64> {
    (number(state) == of).then_some(state | ASKED)
}

/// What a state becomes in a process that serves for another, in which a stop has made `theirs`.
pub(super) const fn passed_on(state: u64, theirs: u64) -> u64 {
    // Their session may be over, while what is in flight here is still of that one.
    let flags = if number(state) == number(theirs) { ASKED | ENDED | HURRIED } else { HURRIED };
    state | theirs & flags
}

/// What is in flight is not waited for any longer, whichever session it is of.
pub(super) const fn hurried(state: u64) -> u64 {
    state | HURRIED
}
