//! Commits of a simulated run: what is written, or not, as the process dies; and moments after them to begin again from.

use jiff::Timestamp;

use super::{
    disk::{Disk, Unseen},
    office::Filed,
    remote::Remote,
    row::Row,
    sim::Sim,
};
use crate::board::Unwritten;

/// Snapshots that are kept of one program.
pub(super) const SNAPSHOTS_MAX: usize = 10;

/// All that outlives a process, in one moment.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) row: Row,
    pub(super) now: Timestamp,
    pub(super) disk: Disk,
    pub(super) remote: Remote,
}

impl Sim {
    pub(super) fn write_and_rest(&mut self, unwritten: Unwritten, how: Unseen) -> Option<Filed> {
        let written = self.commit(unwritten, how)?;
        self.row.rests();
        self.take_snapshot();
        (!self.world.one_in(40)).then_some(written)
    }

    pub(super) fn write(&mut self, unwritten: Unwritten, how: Unseen) -> Option<Filed> {
        let written = self.commit(unwritten, how)?;
        if let Filed::Done(_) = written {
            self.take_snapshot();
        }
        (!self.world.one_in(40)).then_some(written)
    }

    /// Writes, or dies before. What the code observed is what is then on disk, but for the outcome of what was to be decided.
    fn commit(&mut self, mut unwritten: Unwritten, how: Unseen) -> Option<Filed> {
        if self.world.one_in(40) {
            return None;
        }
        let fails = self.world.one_in(6);
        let mut state = self.world.lock();
        let state = &mut *state;
        let filed = state.disk.post.file(&mut unwritten, fails);
        let Filed::Done(_) = filed else { return Some(filed) };
        let compact = std::mem::take(&mut unwritten.also.compact);
        state.disk.commit(unwritten.entries, &compact, &state.remote, &self.program);
        state.disk.check_seen(&state.observed, how, "at a write");
        Some(filed)
    }

    pub(super) fn take_snapshot(&mut self) {
        self.commits += 1;
        let at = match self.snapshots.len() < SNAPSHOTS_MAX {
            true => self.snapshots.len(),
            false => self.world.pick(self.commits),
        };
        if at >= SNAPSHOTS_MAX {
            return;
        }
        let state = self.world.lock();
        let (row, disk) = (self.row.clone(), state.disk.clone());
        let snapshot = Snapshot { row, now: state.now, disk, remote: state.remote.clone() };
        self.snapshots.truncate(SNAPSHOTS_MAX);
        match self.snapshots.get_mut(at) {
            Some(other) => *other = snapshot,
            None => self.snapshots.push(snapshot),
        }
    }
}
