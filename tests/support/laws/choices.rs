//! The model's cases, as proptest chooses and shrinks them.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;

use super::client::{LENGTH, Wire};
use super::model::{CONNECT, Mixin, Model, Setting, Transition, alternatives};
use super::script::Script;

/// The model of servers under these strategies.
#[derive(Debug)]
pub struct Threads;
#[derive(Debug)]
pub struct Forks;

macro_rules! reference {
    ($($name:ty: $wires:expr, $mixins:expr;)*) => {$(
        impl ReferenceStateMachine for $name {
            type State = Model;
            type Transition = Transition;

            fn init_state() -> BoxedStrategy<Model> {
                init_state($wires, $mixins)
            }

            fn transitions(state: &Model) -> BoxedStrategy<Transition> {
                transitions(state)
            }

            fn preconditions(state: &Model, transition: &Transition) -> bool {
                state.allows(transition)
            }

            fn apply(mut state: Model, transition: &Transition) -> Model {
                state.step(transition);
                state
            }
        }
    )*};
}

reference! {
    Threads: wires(), vec![
        Mixin::Sync,
        Mixin::Threading,
        Mixin::ThreadPool,
        Mixin::ThreadPoolOne,
        Mixin::Selecting,
        Mixin::SelectingThreads,
        Mixin::SelectingPool,
        Mixin::ForkingRefused,
    ];
    Forks: wires(), vec![
        Mixin::Forking,
        Mixin::ForkingOne,
        Mixin::ForkServer,
        Mixin::PreForking,
        Mixin::PreForkingPool,
        Mixin::PreForkingSelecting,
    ];
}

pub fn wires() -> impl Strategy<Value = Wire> {
    select(vec![Wire::Tcp, Wire::Udp, Wire::UnixStream, Wire::UnixDatagram, Wire::Beside])
}

pub fn scripts() -> impl Strategy<Value = Script> {
    prop_oneof![2 => Just(Script::Fine), 3 => select(Script::of_peers())]
}

pub fn sent() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(LENGTH), 1 => 0..LENGTH]
}

fn init_state(
    wires: impl Strategy<Value = Wire> + 'static,
    mixins: Vec<Mixin>,
) -> BoxedStrategy<Model> {
    let flags = (proptest::bool::weighted(0.3), any::<bool>(), any::<bool>());
    let setting = (wires, select(mixins), flags);
    let setting = setting.prop_map(|(wire, mixin, (hooks_panic, books, failing))| {
        let failing = failing && wire.is_memory();
        Model::new(Setting { wire, mixin, hooks_panic, books, failing })
    });
    setting.boxed()
}

fn transitions(state: &Model) -> BoxedStrategy<Transition> {
    let mut choices = Vec::new();
    if state.has_room() {
        let connect =
            (scripts(), sent()).prop_map(|(script, sent)| Transition::Connect(script, sent));
        choices.push((CONNECT, connect.boxed()));
    }
    for (weight, group) in alternatives(state) {
        choices.push((weight, select(group).boxed()));
    }
    Union::new_weighted(choices).boxed()
}
