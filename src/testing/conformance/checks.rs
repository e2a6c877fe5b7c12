//! The ledger held against the model: which law it is that does not hold.

use super::law::{Fault, Law};
use super::ledger::{Entry, What};
use super::model::Model;
use super::script::Script;
use super::system::list;
use super::world::World;
use crate::{Event, FailureKind, Refusal, Stage};

/// What happened to the request of a client, in its order.
pub(super) fn story(entries: &[Entry], client: usize) -> Vec<What> {
    let own = entries.iter().filter(|entry| entry.client == client);
    own.map(|entry| entry.what).filter(|what| *what != What::CopyClosed).collect()
}

/// What holds at every moment.
pub(super) fn check_so_far(world: &World, model: &Model) -> Result<(), Fault> {
    let counters = &world.counters;
    let ended = counters.finished() + counters.failed() + counters.refused();
    let accepted = counters.accepted();
    // What has been counted before has been done before.
    let entries = world.ledger.entries();
    let done = |what| entries.iter().filter(|entry| entry.what == what).count() as u64;
    Law::LoopLives.holds(!world.ledger.is_full(), || "the hooks are called without end".into())?;
    for (index, peer) in model.clients.iter().enumerate() {
        let so_far = story(&entries, index + 1);
        let stories = peer.stories(&model.setting);
        let begins = |story: &Vec<What>| {
            let part = story.get(..so_far.len());
            part.is_some_and(|part| model.setting.is(&so_far, part))
        };
        if !stories.iter().any(begins) {
            // What it comes to tells more.
            let closed = Entry { client: index + 1, what: What::Closed };
            world.ledger.wait_until(world.patience / 8, |entries| entries.contains(&closed));
            let so_far = story(&world.ledger.entries(), index + 1);
            return Err(wrong(model, index + 1, &so_far, &stories));
        }
    }
    Law::Conservation.holds(done(What::Uninvited) == 0, || {
        "more requests were taken than clients have made".into()
    })?;
    let taken = done(What::GetRequest);
    Law::Conservation.holds(ended <= accepted && accepted <= taken, || {
        format!("{taken} requests were taken, and counted is: {counters}")
    })?;
    let closed = done(What::Closed);
    Law::Conservation.holds(ended <= closed, || {
        format!("{closed} requests have been closed, and counted is: {counters}")
    })
}

/// What is to be said of a request that has been taken, and not closed.
pub(super) fn unclosed(world: &World, model: &Model) -> Option<Fault> {
    let entries = world.ledger.entries();
    (1..=model.clients.len()).find_map(|client| {
        let story = story(&entries, client);
        let open = !story.is_empty() && !story.contains(&What::Closed);
        let what = || format!("the request of client {client} was never closed: {}", list(&story));
        open.then(|| Fault::Broken(Law::OnceEach, what()))
    })
}

/// What holds for a request that is over.
pub(super) fn check_end(entries: &[Entry], model: &Model, client: usize) -> Result<(), Fault> {
    let whole = story(entries, client + 1);
    let stories = model.clients[client].stories(&model.setting);
    if stories.iter().any(|story| model.setting.is(&whole, story)) {
        return Ok(());
    }
    Err(wrong(model, client + 1, &whole, &stories))
}

/// What is wrong about a story that is none of those that may be.
fn wrong(model: &Model, client: usize, seen: &[What], stories: &[Vec<What>]) -> Fault {
    // The one that goes best with it.
    let alike = |story: &[What]| {
        let same = |(seen, wanted): (&What, &What)| model.setting.is(&[*seen], &[*wanted]);
        seen.iter().zip(story).take_while(|pair| same(*pair)).count()
    };
    let nearest = stories.iter().map(Vec::as_slice).max_by_key(|story| alike(story));
    let nearest = nearest.unwrap_or_default();
    let law = law_of(seen, nearest, alike(nearest));
    let what = format!(
        "the request of client {client} had the story\n    {}\n  and under Sync it has\n    {}",
        list(seen),
        list(nearest)
    );
    Fault::Broken(law, what)
}

fn failed_in(what: &What) -> Option<Stage> {
    match what {
        What::HandleError(stage, _) => Some(*stage),
        _ => None,
    }
}

/// `alike` is how long they are the same.
fn law_of(seen: &[What], wanted: &[What], alike: usize) -> Law {
    let count = |story: &[What], what: &What| story.iter().filter(|other| *other == what).count();
    let often = |what: &What| count(seen, what);
    if often(&What::Lost) + often(&What::Mistaken) > 0 || often(&What::GetRequest) > 1 {
        return Law::Conservation;
    }
    let over = often(&What::Shutdown) > 0;
    let once = [What::Hook(Stage::Handle), What::Shutdown, What::Closed];
    let off = |what: &What| match (often(what), count(wanted, what)) {
        (seen, wanted) if seen > wanted.max(1) => true,
        (seen, wanted) => over && *what == What::Hook(Stage::Handle) && seen < wanted,
    };
    // A failure told in another stage is not the one that had to be told.
    let failed = |story: &[What]| -> Vec<Stage> { story.iter().filter_map(failed_in).collect() };
    // One that follows from an earlier difference says nothing of the law.
    let failure_first =
        [seen, wanted].iter().any(|story| story.get(alike).and_then(failed_in).is_some());
    let told = failure_first && failed(seen) != failed(wanted);
    if told || once.iter().any(off) { Law::OnceEach } else { Law::SameStory }
}

/// Each class of ends is counted as the ledger says, and the handler was told so.
pub(super) fn check_counters(world: &World, model: &Model) -> Result<(), Fault> {
    let (counters, entries) = (&world.counters, world.ledger.entries());
    let taken = entries.iter().filter(|entry| entry.what == What::GetRequest);
    let scripts = taken.filter_map(|entry| model.clients.get(entry.client.checked_sub(1)?));
    let (all, rejected) = scripts.fold((0_u64, 0), |(all, rejected), peer| {
        (all + 1, rejected + u64::from(peer.script == Script::Rejected))
    });
    let told = |kind| move |what: &What| matches!(what, What::HandleError(_, own) if *own == kind);
    let count =
        |is: &dyn Fn(&What) -> bool| entries.iter().filter(|entry| is(&entry.what)).count() as u64;
    let failed: u64 = FailureKind::ALL.iter().map(|kind| count(&told(*kind))).sum();
    let ends = [
        (Event::Accepted, counters.accepted(), all),
        (Event::Finished, counters.finished(), all.saturating_sub(failed + rejected)),
        (Event::Refused(Refusal::Rejected), counters.refused(), rejected),
    ];
    let kinds = FailureKind::ALL
        .iter()
        .map(|kind| (Event::Failed(*kind), counters.failed_by(*kind), count(&told(*kind))));
    for (event, counted, wanted) in ends.into_iter().chain(kinds) {
        Law::Conservation.holds(counted == wanted, || {
            format!("{wanted} requests ended as {event:?}, and counted is {counted} ({counters})")
        })?;
        let events = count(&|what| *what == What::Event(event));
        Law::Conservation.holds(events == wanted, || {
            format!("{wanted} requests ended as {event:?}, and the handler was told of {events}")
        })?;
    }
    let active = counters.active();
    Law::Conservation.holds(active == 0, || format!("{active} requests are active after close"))
}
