//! The table by itself.

use std::time::Duration;

use super::*;
use crate::request::TcpRequest;

type Table = Places<TcpRequest>;

/// A connection of which the table need know nothing, in a place of its own.
fn enter(places: &mut Table) -> (Token, Box<Conn<TcpRequest>>) {
    (places.enter(), Box::new(Conn::nothing()))
}

fn parked(places: &mut Table, until: Option<Instant>) -> Token {
    let (token, conn) = enter(places);
    assert!(places.park(token, conn, until, false).is_none());
    token
}

/// What is next, in a word.
fn next(places: &mut Table) -> &'static str {
    match places.next() {
        Next::Conn(..) => "conn",
        Next::Arrival => "arrival",
        Next::Wait => "wait",
        Next::Over => "over",
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

#[test]
fn what_happens_to_one_that_waits_makes_it_ready_once() {
    let mut places = Table::default();
    let token = parked(&mut places, None);
    assert_eq!(next(&mut places), "wait");
    places.stir(token, Behind::Nothing);
    places.stir(token, Behind::Something);
    let Next::Conn(conn) = places.next() else { panic!("it is ready") };
    assert_eq!(next(&mut places), "wait");
    assert!(places.park(token, conn, None, false).is_none());
    assert_eq!(next(&mut places), "wait");
}

#[test]
fn what_happens_while_somebody_works_at_it_is_not_lost() {
    let mut places = Table::default();
    let (token, conn) = enter(&mut places);
    places.stir(token, Behind::Nothing);
    assert!(places.park(token, conn, None, false).is_none());
    assert_eq!(next(&mut places), "conn");
}

#[test]
fn one_that_has_its_turn_again_has_it_after_the_others() {
    let mut places = Table::default();
    let first = parked(&mut places, None);
    let (again, conn) = enter(&mut places);
    places.stir(first, Behind::Nothing);
    assert!(places.park(again, conn, None, true).is_none());
    places.arrival();
    assert_eq!([next(&mut places), next(&mut places)], ["arrival", "conn"]);
    places.leave(first);
    assert_eq!(next(&mut places), "wait", "what others have sent meanwhile comes before");
    let until = places.begin_to_wait(None);
    assert!(until.is_some(), "and is not waited for");
    places.end_to_wait(until);
    places.take_turns();
    assert_eq!([next(&mut places), next(&mut places)], ["conn", "wait"]);
}

#[test]
fn one_who_has_worked_gets_another_unless_there_is_a_new_one() {
    let mut places = Table::default();
    let [first, second] = [(); 2].map(|()| parked(&mut places, None));
    let mut spare = Vec::with_capacity(1);
    places.stir(first, Behind::Nothing);
    places.stir(second, Behind::Nothing);
    assert!(places.another(&mut spare).is_some() && spare.capacity() == 1);
    places.arrival();
    assert!(places.another(&mut spare).is_none());
    assert_eq!((spare.capacity(), next(&mut places)), (0, "arrival"));
    assert_eq!((next(&mut places), places.lend().capacity()), ("conn", 1));
}

#[test]
fn a_place_is_used_again_and_what_was_meant_for_another_does_not_count() {
    let mut places = Table::default();
    let gone = parked(&mut places, Some(Instant::now()));
    places.stir(gone, Behind::Nothing);
    assert_eq!(next(&mut places), "conn");
    places.leave(gone);
    places.leave(gone);
    let token = parked(&mut places, None);
    assert_eq!((token.index, token.generation), (gone.index, gone.generation + 1));
    places.stir(gone, Behind::Something);
    places.mind_the_clock();
    assert_eq!(next(&mut places), "wait");
    assert_eq!(Token::of(token.number()), token);
    assert!(places.enter().index != token.index, "it was left once");
}

#[test]
fn the_clock_stirs_those_whose_time_has_come() {
    let mut places = Table::default();
    let late = parked(&mut places, Some(Instant::now()));
    parked(&mut places, Some(soon()));
    parked(&mut places, None);
    places.mind_the_clock();
    assert_eq!([next(&mut places), next(&mut places)], ["conn", "wait"]);
    places.leave(late);
    assert!(places.next_timer().is_some());
}

#[test]
fn timers_of_those_who_are_gone_do_not_heap_up() {
    let mut places = Table::default();
    for _ in 0..10_000 {
        let token = parked(&mut places, Some(soon()));
        places.stir(token, Behind::Nothing);
        assert_eq!(next(&mut places), "conn");
        places.leave(token);
    }
    assert!(places.timers.len() < 10, "{}", places.timers.len());
}

#[test]
fn one_who_waits_is_woken_once_for_what_there_is_to_do() {
    let mut places = Table::default();
    let until = places.begin_to_wait(None);
    assert!(until.is_none() && !places.wake());
    let (token, conn) = enter(&mut places);
    assert!(places.park(token, conn, None, true).is_none());
    assert!(places.wake() && !places.wake());
    places.awake();
    places.end_to_wait(until);
    assert!(!places.wake(), "nobody waits");
    assert!(places.begin_to_wait(None).is_some(), "there is something to do");
}

#[test]
fn somebody_who_waits_looks_at_the_clock_in_time() {
    let mut places = Table::default();
    let others = places.begin_to_wait(None);
    parked(&mut places, Some(soon()));
    assert!(places.wake(), "nobody looks at it");
    places.awake();
    let own = places.begin_to_wait(None);
    assert!(own.is_some() && !places.wake());
    parked(&mut places, Some(soon()));
    assert!(!places.wake(), "this one looks early enough");
    places.end_to_wait(own);
    assert!(places.wake(), "whoever looked has something else to do");
    places.awake();
    places.end_to_wait(others);
    assert!(!places.wake());
}

#[test]
fn it_is_over_when_nobody_waits_any_more() {
    let mut places = Table::default();
    let waits = parked(&mut places, None);
    let (works, conn) = enter(&mut places);
    places.wind_up();
    let Next::Conn(first) = places.next() else { panic!("it has to know") };
    assert!(first.state.leaving);
    assert!(places.park(waits, first, None, false).is_none());
    assert_eq!(next(&mut places), "wait");
    // Who has worked meanwhile has to know as well.
    assert!(places.park(works, conn, None, false).is_none());
    let Next::Conn(conn) = places.next() else { panic!("it has to know") };
    assert_eq!(next(&mut places), "wait");
    places.stir(waits, Behind::Something);
    assert_eq!(next(&mut places), "conn");
    places.leave(waits);
    assert_eq!(next(&mut places), "over");
    assert!(places.park(works, conn, None, false).is_some(), "nobody comes back");
}
