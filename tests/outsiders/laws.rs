//! What somebody else writes keeps the laws as what stands in the crate does.

use socketserver::testing::{keeps_the_laws, strategy};
use socketserver::{Sync, ThreadPool, Threading};

use crate::owning::Pool;
use crate::wrapping::{Counted, Several};

keeps_the_laws!(a_pool_that_ends_with_the_loop, strategy(|| Pool { threads: 3 }));
keeps_the_laws!(a_strategy_around_another, strategy(Counted::<Threading>::default).at_once());
keeps_the_laws!(several_that_pull_at_once, strategy(|| Several(vec![Sync, Sync])));
keeps_the_laws!(
    several_of_two_threads_each,
    strategy(|| Several(vec![ThreadPool::new(2), ThreadPool::new(2)]))
);
