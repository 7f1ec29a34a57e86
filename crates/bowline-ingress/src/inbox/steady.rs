//! Which files nobody writes to any more. Pure: looks and the time come in.

use std::{collections::BTreeMap, time::Duration};

use super::{Stamp, look::Seen};

/// What was seen of files that are not taken yet.
#[derive(Debug, Default)]
pub(super) struct Steady {
    /// Since when a file has looked like that.
    since: BTreeMap<String, (Stamp, Duration)>,
}

impl Steady {
    /// A look that saw these, at that time of a clock that nobody sets. Yields those that have not changed for
    /// `stable_for`, the ones that were written first before the others.
    pub(super) fn look(&mut self, seen: Vec<Seen>, now: Duration, stable_for: Duration) -> Vec<Seen> {
        let mut before = std::mem::take(&mut self.since);
        let mut steady = vec![];
        for file in seen {
            let since = match before.remove(&file.name) {
                Some((stamp, since)) if stamp == file.stamp => since,
                Some(_) | None => now,
            };
            self.since.insert(file.name.clone(), (file.stamp, since));
            if now.saturating_sub(since) >= stable_for {
                steady.push(file);
            }
        }
        steady.sort_by(|a, b| (a.stamp.modified, &a.name).cmp(&(b.stamp.modified, &b.name)));
        steady
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const STABLE: Duration = Duration::from_secs(2);

    fn seen(name: &str, bytes: u64, modified: i64) -> Seen {
        let modified = Timestamp::from_second(modified).unwrap();
        Seen { name: name.to_owned(), stamp: Stamp { bytes, modified, inode: 1 } }
    }

    fn look(steady: &mut Steady, at: u64, seen: &[Seen]) -> Vec<String> {
        let files = steady.look(seen.to_vec(), Duration::from_secs(at), STABLE);
        files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn a_file_is_steady_when_it_has_not_changed_for_long_enough() {
        let mut steady = Steady::default();
        for (at, bytes, expected) in
            [(0, 1, 0), (1, 2, 0), (2, 3, 0), (3, 3, 0), (4, 3, 1), (5, 3, 1), (6, 4, 0)]
        {
            assert_eq!(look(&mut steady, at, &[seen("a", bytes, 0)]).len(), expected, "at {at} s");
        }
    }

    #[test]
    fn a_file_of_the_same_length_that_was_written_again_is_another_one() {
        let mut steady = Steady::default();
        look(&mut steady, 0, &[seen("a", 1, 0)]);
        assert!(look(&mut steady, 2, &[seen("a", 1, 1)]).is_empty());
    }

    #[test]
    fn a_file_that_went_and_came_back_begins_anew() {
        let mut steady = Steady::default();
        look(&mut steady, 0, &[seen("a", 1, 0)]);
        look(&mut steady, 1, &[]);
        assert!(look(&mut steady, 2, &[seen("a", 1, 0)]).is_empty());
    }

    #[test]
    fn what_was_written_first_comes_first() {
        let mut steady = Steady::default();
        let files = [seen("a", 1, 3), seen("b", 1, 1), seen("c", 1, 3)];
        look(&mut steady, 0, &files);
        assert_eq!(look(&mut steady, 2, &files), ["b", "a", "c"]);
    }
}
