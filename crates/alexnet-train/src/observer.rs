//! Observers of a run.

use crate::error::Result;
use crate::trainer::Event;

/// Receives the events of a run, for example for a log, a plot or a terminal.
///
/// ```
/// use alexnet_train::{Event, Observers};
///
/// // A closure is an observer that cannot fail.
/// let observers = Observers::none().with(|event: &Event<'_>| {
///     if let Event::Epoch { record, .. } = event {
///         println!("epoch {}: {:.1} %", record.epoch, 100.0 * record.val_top1);
///     }
/// });
/// ```
pub trait Observer: Sync {
    /// Called for each event, in order. An error ends the run.
    ///
    /// # Errors
    /// Errors of the observer, such as a full disk.
    fn on_event(&self, event: &Event<'_>) -> Result<()>;
}

impl<F: Fn(&Event<'_>) + Sync> Observer for F {
    fn on_event(&self, event: &Event<'_>) -> Result<()> {
        self(event);
        Ok(())
    }
}

/// The observers of a run, called in order.
#[derive(Default)]
pub struct Observers<'a>(Vec<Box<dyn Observer + 'a>>);

impl std::fmt::Debug for Observers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}

impl<'a> Observers<'a> {
    /// No observers.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds an observer.
    #[must_use]
    pub fn with(mut self, observer: impl Observer + 'a) -> Self {
        self.0.push(Box::new(observer));
        self
    }

    pub(crate) fn tell(&self, event: &Event<'_>) -> Result<()> {
        self.0.iter().try_for_each(|observer| observer.on_event(event))
    }
}
