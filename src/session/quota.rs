//! Who counts what is taken, where that is of interest to the process that this one serves for.

/// Called once for each request that a session, or one who pulls from it, has taken.
pub(crate) struct Quota(Box<dyn Fn() + Send + Sync>);

impl Quota {
    pub(crate) fn new(take: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Box::new(take))
    }

    #[inline]
    pub(super) fn take(&self) {
        (self.0)();
    }
}
