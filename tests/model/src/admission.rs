//! What of the library's `admission` a ticket needs: nobody has a place by its source here.

use crate::event::Event;

pub(crate) trait Entered: Send + Sync {
    fn ended(&self, _event: Event) {}
}
