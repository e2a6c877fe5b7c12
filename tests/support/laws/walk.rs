//! Schedules by the thousand: random walks through the model, each known by its number.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::client::{LENGTH, Wire};
use super::model::{CONNECT, Mixin, Model, Setting, Transition, alternatives};
use super::script::Script;
use super::system::run;

const LONGEST: usize = 40;

/// A server in memory, and what happens to it.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub setting: Setting,
    pub steps: Vec<Transition>,
}

/// splitmix64, by Steele, Lea and Flood (2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<V: Copy>(&mut self, values: &[V]) -> V {
        values[self.below(values.len())]
    }

    fn setting(&mut self) -> Setting {
        let wire = match self.below(4) {
            0 => Wire::MemoryDatagrams,
            _ => Wire::Memory { pieces: self.below(4) },
        };
        let mixins = [Mixin::Sync, Mixin::Threading, Mixin::ThreadPool, Mixin::ThreadPoolOne];
        Setting {
            wire,
            mixin: self.of(&mixins),
            hooks_panic: self.below(10) < 3,
            books: self.below(2) == 0,
            failing: self.below(2) == 0,
        }
    }

    fn connect(&mut self, scripts: &[Script]) -> Transition {
        let script = if self.below(5) < 2 { Script::Fine } else { self.of(scripts) };
        let sent = if self.below(3) < 2 { LENGTH } else { self.below(LENGTH) };
        Transition::Connect(script, sent)
    }

    fn step(&mut self, model: &Model, scripts: &[Script]) -> Transition {
        let mut groups = alternatives(model);
        let room = if model.has_room() { CONNECT } else { 0 };
        let all = room + groups.iter().map(|(weight, _)| weight).sum::<u32>();
        let mut chosen = self.below(all as usize) as u32;
        if chosen < room {
            return self.connect(scripts);
        }
        chosen -= room;
        loop {
            let (weight, mut group) = groups.remove(0);
            if chosen < weight {
                return group.swap_remove(self.below(group.len()));
            }
            chosen -= weight;
        }
    }
}

impl Schedule {
    /// That of a number, of a server with any strategy or with this one.
    pub fn new(number: u64, mixin: Option<Mixin>) -> Self {
        let (mut random, scripts) = (Random(number), Script::of_peers());
        let mut setting = random.setting();
        setting.mixin = mixin.unwrap_or(setting.mixin);
        let (mut model, mut steps) = (Model::new(setting.clone()), Vec::new());
        for _ in 0..1 + random.below(LONGEST) {
            let step = random.step(&model, &scripts);
            model.step(&step);
            steps.push(step);
        }
        Self { setting, steps }
    }

    /// Runs it; how it went wrong.
    pub fn play(&self) -> Result<(), String> {
        let play = || run(Model::new(self.setting.clone()), &self.steps);
        match catch_unwind(AssertUnwindSafe(play)) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(payload) => {
                let text = payload.downcast_ref::<String>().cloned();
                Err(text.or(payload.downcast_ref::<&str>().map(|text| (*text).to_owned())))
                    .map_err(|text| text.unwrap_or_default())
            }
        }
    }

    /// One that fails with as few of the steps as can be found, and how.
    pub fn shrunk(mut self, mut wrong: String) -> (Self, String) {
        let mut at = 0;
        while at < self.steps.len() {
            let mut less = self.clone();
            less.steps.remove(at);
            match less.is_possible().then(|| less.play()) {
                Some(Err(error)) => (self, wrong) = (less, error),
                _ => at += 1,
            }
        }
        (self, wrong)
    }

    fn is_possible(&self) -> bool {
        let mut model = Model::new(self.setting.clone());
        self.steps.iter().all(|step| {
            let allowed = model.allows(step);
            if allowed {
                model.step(step);
            }
            allowed
        })
    }
}
