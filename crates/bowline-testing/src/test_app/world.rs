//! What outlives the processes of an app under test: its disk, its clock, its mock systems.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bowline_model::{Entry, EntryKind};

use super::{
    clock::{ClockHandle, StillClock},
    disk::Disk,
};
use crate::{
    mock::{Gauge, MockSystem, Surroundings},
    pulse::Pulse,
    server::Host,
};

/// The world of one test.
pub(crate) struct World {
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) clock: Arc<StillClock>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) mocks: Arc<Mocks>,
}

/// The mock systems, by the names of the Apis whose calls they answer.
pub(crate) struct Mocks {
    surroundings: Surroundings,
    by_name: Mutex<BTreeMap<String, Arc<MockSystem>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let pulse = Pulse::new();
        let clock = StillClock::new(pulse.clone());
        // What was drawn before a request left may be known to a remote: as good as on disk.
        let gauge = Gauge::new(pulse.clone(), {
            let clock = clock.clone();
            move || clock.keep_draws()
        });
        let surroundings = Surroundings {
            host: Host::start().expect("the machine has a thread for mock systems"),
            clock: Arc::new(ClockHandle(clock.clone())),
            gauge: gauge.clone(),
        };
        let mocks = Arc::new(Mocks { surroundings, by_name: Mutex::default() });
        let witness = {
            let mocks = mocks.clone();
            Box::new(move |entries: &[Entry]| mocks.were_recorded(entries))
        };
        let disk = Disk::new(clock.clone(), pulse.clone(), witness);
        Self { pulse, clock, disk, gauge, mocks }
    }
}

impl Mocks {
    /// The address of the mock of that name, which is started if it is not there yet.
    pub(crate) fn url(&self, name: &str) -> String {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let mock = by_name.entry(name.to_owned()).or_insert_with(|| {
            let mock = MockSystem::start_in(self.surroundings.clone(), name.to_owned(), 0);
            Arc::new(mock.expect("loopback has a free port"))
        });
        mock.url()
    }

    /// What came of these attempts is on disk.
    fn were_recorded(&self, entries: &[Entry]) {
        let mocks = self.all();
        for entry in entries.iter().filter(|entry| is_outcome(entry.kind)) {
            match &entry.meta.fingerprint {
                Some(call) => {
                    if let Some(mock) = mocks.get(&call.api) {
                        mock.was_recorded(Some(call));
                    }
                }
                None => mocks.values().for_each(|mock| mock.was_recorded(None)),
            }
        }
    }

    /// All there are now.
    pub(crate) fn all(&self) -> BTreeMap<String, Arc<MockSystem>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn host(&self) -> &Host {
        &self.surroundings.host
    }
}

/// Whether it says what came of an attempt.
fn is_outcome(kind: EntryKind) -> bool {
    kind.is_outcome() || matches!(kind, EntryKind::AttemptFailed | EntryKind::Dropped)
}
