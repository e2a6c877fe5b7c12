//! Sources whose peers were not let in, and that are kept away for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::sources::{Entered, Sources};
use crate::event::{Event, Refusal};
use crate::failure::FailureKind;
use crate::transport::Transport;

/// So many sources are remembered at most; those that come in addition go unpunished, as in
/// sshd's `PerSourcePenalties`: `max-sources4:65536`, `overflow:permissive`.
const MOST: usize = 65_536;

/// Sources with penalties, by their keys.
pub(super) struct Penalties<K, F> {
    key: F,
    records: Arc<Mutex<Records<K>>>,
}

struct Records<K> {
    first: Duration,
    longest: Duration,
    all: HashMap<K, Record>,
    /// When those that are to be forgotten have been looked for.
    swept: Option<Instant>,
}

/// What is remembered of a source.
struct Record {
    until: Instant,
    /// How long it is to be the next time.
    next: Duration,
}

impl<K: Hash + Eq, F> Penalties<K, F> {
    pub(super) fn new(first: Duration, longest: Duration, key: F) -> Self {
        let records = Records { first, longest, all: HashMap::new(), swept: None };
        Self { key, records: Arc::new(Mutex::new(records)) }
    }
}

impl<T, K, F> Sources<T> for Penalties<K, F>
where
    T: Transport,
    K: Hash + Eq + Clone + Send + Sync + 'static,
    F: Fn(&T::Request) -> K + Send + Sync,
{
    fn enter(
        &self,
        request: &T::Request,
        _changed: Option<usize>,
    ) -> Result<Box<dyn Entered>, Refusal> {
        let key = (self.key)(request);
        if self.records.lock().is_away(&key, Instant::now) {
            return Err(Refusal::Penalty);
        }
        Ok(Box::new(OnProbation { key, records: Arc::clone(&self.records) }))
    }
}

impl<K: Hash + Eq> Records<K> {
    fn is_away(&self, key: &K, now: impl FnOnce() -> Instant) -> bool {
        self.all.get(key).is_some_and(|record| now() < record.until)
    }

    fn denied(&mut self, key: K, now: Instant) {
        if self.all.len() >= MOST {
            self.sweep(now);
        }
        let full = self.all.len() >= MOST;
        let (first, longest) = (self.first, self.longest);
        let time = match self.all.get(&key) {
            Some(record) if !record.is_over(now, longest) => record.next,
            None if full => return,
            _ => first,
        };
        // A time that goes beyond the clock never ends.
        let until = now.checked_add(time).unwrap_or(now);
        let next = time.saturating_mul(2).min(longest);
        self.all.insert(key, Record { until, next });
    }

    /// Forgets those that have behaved; now and then, as it takes a while.
    fn sweep(&mut self, now: Instant) {
        let longest = self.longest;
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= longest) {
            self.swept = Some(now);
            self.all.retain(|_, record| !record.is_over(now, longest));
        }
    }
}

impl Record {
    /// Whether nothing has been held against the source for as long as a penalty may be.
    fn is_over(&self, now: Instant, longest: Duration) -> bool {
        now.saturating_duration_since(self.until) >= longest
    }
}

/// A request whose peer may turn out to be one that is not let in.
struct OnProbation<K> {
    key: K,
    records: Arc<Mutex<Records<K>>>,
}

impl<K: Hash + Eq + Clone + Send + Sync> Entered for OnProbation<K> {
    fn ended(&self, event: Event) {
        if event == Event::Failed(FailureKind::Denied) {
            self.records.lock().denied(self.key.clone(), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn records() -> Records<u32> {
        Records { first: seconds(5), longest: seconds(30), all: HashMap::new(), swept: None }
    }

    #[test]
    fn penalties_double_up_to_the_longest_and_begin_anew_after_as_long_without_one() {
        let (mut records, begun) = (records(), Instant::now());
        let mut now = begun;
        for time in [5, 10, 20, 30, 30] {
            records.denied(1, now);
            let away = |after| records.is_away(&1, || now + after);
            assert!(away(Duration::ZERO) && away(seconds(time) - Duration::from_nanos(1)));
            assert!(!away(seconds(time)));
            assert!(!records.is_away(&2, || now));
            now += seconds(time);
        }
        now += seconds(29);
        records.denied(1, now);
        assert!(records.is_away(&1, || now + seconds(29)));
        now += seconds(60);
        records.denied(1, now);
        assert!(!records.is_away(&1, || now + seconds(5)));
    }

    #[test]
    fn so_many_sources_are_remembered_and_those_that_behave_are_forgotten() {
        let (mut records, now) = (records(), Instant::now());
        for key in 0..70_000 {
            records.denied(key, now);
        }
        assert_eq!(records.all.len(), MOST);
        assert!(records.is_away(&0, || now) && !records.is_away(&69_999, || now));
        records.denied(69_999, now + seconds(36));
        assert_eq!(records.all.len(), 1);
        assert!(records.is_away(&69_999, || now + seconds(36)));
    }
}
