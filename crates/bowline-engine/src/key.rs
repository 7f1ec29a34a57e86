//! Idempotency keys: derived, never stored, the same on every attempt before and after a crash.

use bowline_model::{EntryKey, KeySeed, Position};
use sha2::{Digest, Sha256};

/// The key of an effect: f(run's seed, family, scope, oldest name, nth or `.key`, generation), written as a UUID (version 8).
///
/// Each part is hashed with its length before it, so that no two different sequences of parts read alike.
pub(crate) fn idempotency_key(seed: KeySeed, entry: &EntryKey, oldest_name: &str, generation: u32) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(b"bowline idempotency key 1");
    part(&seed.0.to_be_bytes());
    part(&[entry.family.code()]);
    part(entry.scope.as_str().as_bytes());
    part(oldest_name.as_bytes());
    match &entry.position {
        Position::Nth(nth) => part(format!("#{nth}").as_bytes()),
        Position::Key(key) => part(format!("={key}").as_bytes()),
    }
    part(&generation.to_be_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(half).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_model::{Family, ScopePath};

    fn key(name: &str, position: Position, generation: u32) -> String {
        let entry = EntryKey { family: Family::Step, scope: ScopePath::root(), name: name.into(), position };
        idempotency_key(KeySeed(7), &entry, name, generation)
    }

    /// Keys are on the wire and in remotes' memories: a change of this value breaks every run under way at an upgrade.
    #[test]
    fn never_changes_between_versions() {
        assert_eq!(key("create contact", Position::Nth(1), 0), "102414c2-125d-8690-a7c1-266c493a90e5");
    }

    #[test]
    fn differs_by_each_part() {
        let all = [
            key("a", Position::Nth(1), 0),
            key("b", Position::Nth(1), 0),
            key("a", Position::Nth(2), 0),
            key("a", Position::Key("1".into()), 0),
            key("a", Position::Nth(1), 1),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
