//! A schedule: made up from a seed, and made shorter.

use super::model::{Conduct, Kind, Model, Setting};
use super::random::Random;
use super::script::{LENGTH, Script};
use super::step::Step;

/// As many steps at most.
const LONGEST: usize = 40;

#[derive(Clone)]
pub(super) struct Schedule {
    pub(super) setting: Setting,
    pub(super) steps: Vec<Step>,
}

impl Schedule {
    /// The same for the same seed.
    pub(super) fn random(seed: u64, kind: Kind, conduct: Conduct) -> Self {
        let mut random = Random::new(seed);
        let (hooks_panic, books) = (random.percent(30), random.percent(50));
        let setting = Setting { kind, conduct, hooks_panic, books };
        let mut model = Model::new(setting);
        let mut steps = Vec::new();
        for _ in 0..1 + random.below(LONGEST) {
            if let Some(step) = next(&model, &mut random) {
                model.step(step);
                steps.push(step);
            }
        }
        Self { setting, steps }
    }

    /// The same without its step `at`, and without those that can't be without it.
    pub(super) fn without(&self, at: usize) -> Self {
        let mut model = Model::new(self.setting);
        let mut steps = Vec::new();
        let mut missing = None;
        for (number, step) in self.steps.iter().enumerate() {
            if number == at {
                missing = matches!(step, Step::Connect(..)).then_some(model.clients.len());
                continue;
            }
            let step = missing.map_or(Some(*step), |missing| step.without(missing));
            if let Some(step) = step.filter(|step| model.allows(*step)) {
                model.step(step);
                steps.push(step);
            }
        }
        Self { setting: self.setting, steps }
    }

    /// The first steps alone.
    pub(super) fn truncated(mut self, steps: usize) -> Self {
        self.steps.truncate(steps);
        self
    }

    /// In sentences.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.setting.books {
            sentences.push("the server has limits that nobody meets, and a drain".into());
        }
        if self.setting.hooks_panic {
            sentences
                .push("the hooks that belong to no request panic, and handle_error does".into());
        }
        sentences.extend(self.steps.iter().map(Step::to_string));
        sentences
            .push("whoever has not said all goes away; the server is stopped and closed".into());
        sentences
    }
}

/// A step that is possible now.
fn next(model: &Model, random: &mut Random) -> Option<Step> {
    let clients = || 0..model.clients.len();
    let sends = clients().flat_map(|client| (1..=LENGTH).map(move |end| Step::Send(client, end)));
    let alternatives: [(usize, Vec<Step>); 11] = [
        (8, vec![connect(random)]),
        (6, clients().map(Step::Await).collect()),
        (3, sends.collect()),
        (1, clients().map(Step::HalfClose).collect()),
        (1, clients().map(Step::Abort).collect()),
        (1, vec![Step::TakeHandle]),
        (3, (0..model.handles.len()).map(Step::Stop).collect()),
        (5, vec![Step::Join, Step::Spawn]),
        (1, vec![Step::StopByHandler]),
        (2, vec![Step::Serve]),
        (2, vec![Step::HandleRequest]),
    ];
    let possible: Vec<_> = alternatives
        .into_iter()
        .map(|(weight, mut steps)| {
            steps.retain(|step| model.allows(*step));
            (if steps.is_empty() { 0 } else { weight }, steps)
        })
        .collect();
    let mut at = random.below(possible.iter().map(|(weight, _)| weight).sum());
    for (weight, steps) in possible {
        if at < weight {
            return random.pick(&steps);
        }
        at -= weight;
    }
    None
}

fn connect(random: &mut Random) -> Step {
    let plain = random.percent(40);
    let scripts = Vec::from_iter(Script::of_clients());
    let script = random.pick(&scripts).filter(|_| !plain).unwrap_or(Script::Fine);
    let sent = if random.percent(67) { LENGTH } else { random.below(LENGTH) };
    Step::Connect(script, sent)
}
