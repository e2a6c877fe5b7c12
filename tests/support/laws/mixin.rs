//! The strategies that the laws hold for.

/// A strategy, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixin {
    Sync,
    Threading,
    /// With a thread for each client, which ends when it waits.
    ThreadPool,
    /// With one thread.
    ThreadPoolOne,
    /// Of packets, for which it is not, `Sync`.
    Selecting,
    SelectingThreads,
    SelectingPool,
    Forking,
    /// With one child at a time.
    ForkingOne,
    ForkServer,
    /// Requests are finished in a child when their message has been heard.
    FinishInChild,
    /// The same, of a helper.
    FinishInChildOfHelper,
    /// One process, which serves as `Sync` does.
    PreForking,
    /// The same with a pool, as `ThreadPool`.
    PreForkingPool,
    /// The same with a table.
    PreForkingSelecting,
    /// `Forking` in a process with several threads, which refuses every request.
    ForkingRefused,
}

impl Mixin {
    /// Whether it needs a process with one thread.
    pub fn forks(self) -> bool {
        self.hands_over() || self.has_workers() || self.begins_here()
    }

    /// Whether a process beside that of the server takes the requests.
    fn has_workers(self) -> bool {
        matches!(self, Self::PreForking | Self::PreForkingPool | Self::PreForkingSelecting)
    }

    /// Whether each request goes to a process of its own.
    pub fn hands_over(self) -> bool {
        matches!(self, Self::Forking | Self::ForkingOne | Self::ForkServer)
    }

    /// Whether a request may go to a process of its own when it has been begun.
    pub fn begins_here(self) -> bool {
        matches!(self, Self::FinishInChild | Self::FinishInChildOfHelper)
    }

    /// Whether a peer that is slow holds all others.
    pub fn is_serial(self) -> bool {
        matches!(
            self,
            Self::Sync
                | Self::FinishInChild
                | Self::FinishInChildOfHelper
                | Self::ThreadPoolOne
                | Self::ForkingOne
                | Self::PreForking
                | Self::PreForkingSelecting
                | Self::Selecting
                | Self::SelectingThreads
                | Self::SelectingPool
        )
    }

    /// Whether `handle_request` returns when its request has been handled.
    pub fn handles_here(self) -> bool {
        self.has_workers()
            || matches!(
                self,
                Self::Sync
                    | Self::ThreadPool
                    | Self::ThreadPoolOne
                    | Self::Selecting
                    | Self::SelectingThreads
                    | Self::SelectingPool
            )
    }
}
