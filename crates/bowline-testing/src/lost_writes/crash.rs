//! From files and their shadows to what the crash leaves.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{LostWritesError, at};

/// What a disk writes whole or not at all, in bytes.
pub const PAGE_BYTES: usize = 4096;

/// What a crash took. A test that loses nothing has shown nothing: check that it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crash {
    /// Pages that differed from what was synced, in files that were synced once.
    pub pages_unsynced: usize,
    /// How many of these did not survive.
    pub pages_lost: usize,
    /// Files with content that were never synced.
    pub files_unsynced: usize,
    /// How many of these did not survive, not even in part.
    pub files_lost: usize,
}

impl Crash {
    /// Whether anything was lost.
    pub fn lost_something(&self) -> bool {
        self.pages_lost > 0 || self.files_lost > 0
    }
}

/// Which unsynced writes survive.
pub(super) enum Survivors {
    None,
    Random(Box<Xoshiro256PlusPlus>),
}

impl Survivors {
    pub(super) fn random(seed: u64) -> Self {
        Self::Random(Box::new(Xoshiro256PlusPlus::seed_from_u64(seed)))
    }

    fn next(&mut self) -> bool {
        match self {
            Self::None => false,
            Self::Random(random) => random.random_bool(0.5),
        }
    }
}

/// Makes shadows of all files: they count as synced.
pub(super) fn shadow_all(guarded: &Path, shadows: &Path) -> Result<(), LostWritesError> {
    for file in files_below(guarded)? {
        let (from, to) = (guarded.join(&file), shadows.join(shadow_name(&file)));
        if !is_shared_memory(&file) {
            fs::copy(&from, &to).map_err(at(from))?;
        }
    }
    Ok(())
}

/// Makes the crash: afterwards each file and its shadow are equal.
pub(super) fn crash(
    guarded: &Path,
    shadows: &Path,
    survivors: &mut Survivors,
) -> Result<Crash, LostWritesError> {
    let mut files: BTreeSet<PathBuf> = files_below(guarded)?.into_iter().collect();
    for shadow in files_below(shadows)? {
        files.insert(real_name(&shadow));
    }
    let mut crash = Crash::default();
    for file in files {
        let (real, shadow) = (guarded.join(&file), shadows.join(shadow_name(&file)));
        if is_shared_memory(&file) {
            fs::remove_file(&real).map_err(at(real))?;
            continue;
        }
        let (written, synced) = (read(&real)?, read(&shadow)?);
        let left = survive(written.as_deref(), synced.as_deref(), survivors, &mut crash);
        for path in [real, shadow] {
            put(&path, left.as_deref())?;
        }
    }
    Ok(crash)
}

/// What is left of one file; `None`: it is not there.
fn survive(
    written: Option<&[u8]>,
    synced: Option<&[u8]>,
    survivors: &mut Survivors,
    crash: &mut Crash,
) -> Option<Vec<u8>> {
    let (written, synced) = match (written, synced) {
        (Some(written), Some(synced)) => (written, synced),
        (Some(written), None) => {
            let had_content = usize::from(!written.is_empty());
            crash.files_unsynced += had_content;
            if !survivors.next() {
                crash.files_lost += had_content;
                return None;
            }
            (written, &[][..])
        }
        // Removed by a way that the library does not see: on disk it is still there.
        (None, synced) => return synced.map(<[u8]>::to_vec),
    };
    let length = if survivors.next() { written.len() } else { synced.len() };
    let mut left = Vec::with_capacity(length);
    for from in (0..length.max(written.len())).step_by(PAGE_BYTES) {
        let (new, old) = (page(written, from), page(synced, from));
        let keeps_new = new != old && survivors.next();
        crash.pages_unsynced += usize::from(new != old);
        crash.pages_lost += usize::from(new != old && !keeps_new);
        left.extend_from_slice(if keeps_new { &new } else { &old });
    }
    left.truncate(length);
    Some(left)
}

/// One page; zeros beyond the end.
fn page(bytes: &[u8], from: usize) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    let bytes = bytes.get(from..).unwrap_or_default();
    let length = bytes.len().min(PAGE_BYTES);
    page[..length].copy_from_slice(&bytes[..length]);
    page
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, LostWritesError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LostWritesError::Io { path: path.to_owned(), source }),
    }
}

fn put(path: &Path, content: Option<&[u8]>) -> Result<(), LostWritesError> {
    match content {
        Some(content) => {
            let folder = path.parent().expect("a file is in a folder");
            fs::create_dir_all(folder).map_err(at(folder))?;
            fs::write(path, content).map_err(at(path))
        }
        None if path.exists() => fs::remove_file(path).map_err(at(path)),
        None => Ok(()),
    }
}

/// Regular files below a folder, relative to it.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, LostWritesError> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(relative) = folders.pop() {
        let here = folder.join(&relative);
        for entry in fs::read_dir(&here).map_err(at(here.as_path()))? {
            let entry = entry.map_err(at(here.as_path()))?;
            let kind = entry.file_type().map_err(at(entry.path()))?;
            let name = relative.join(entry.file_name());
            if kind.is_dir() {
                folders.push(name);
            } else if kind.is_file() {
                files.push(name);
            }
        }
    }
    Ok(files)
}

/// SQLite's index of the write-ahead log: mapped memory that no crash keeps and every start rebuilds.
fn is_shared_memory(file: &Path) -> bool {
    file.as_os_str().as_bytes().ends_with(b"-shm")
}

/// The C library's naming: one flat folder, `/` as `%2F` and `%` as `%25`.
fn shadow_name(file: &Path) -> PathBuf {
    let mut name = Vec::new();
    for &byte in file.as_os_str().as_bytes() {
        match byte {
            b'/' => name.extend_from_slice(b"%2F"),
            b'%' => name.extend_from_slice(b"%25"),
            byte => name.push(byte),
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(name))
}

fn real_name(shadow: &Path) -> PathBuf {
    let (mut name, mut rest) = (Vec::new(), shadow.as_os_str().as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [b'2', b'F', after @ ..]) => (b'/', after),
            (b'%', [b'2', b'5', after @ ..]) => (b'%', after),
            (byte, after) => (byte, after),
        };
        name.push(byte);
        rest = after;
    }
    PathBuf::from(std::ffi::OsString::from_vec(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivors_of(seed: u64, written: &[u8], synced: &[u8]) -> (Vec<u8>, Crash) {
        let mut crash = Crash::default();
        let left = survive(Some(written), Some(synced), &mut Survivors::random(seed), &mut crash);
        (left.unwrap(), crash)
    }

    #[test]
    fn a_mixture_keeps_what_is_equal_and_takes_every_other_page_from_either_side() {
        let synced = [b'o'; 20 * PAGE_BYTES];
        let mut written = synced;
        written[4 * PAGE_BYTES..16 * PAGE_BYTES].fill(b'n');
        let (left, crash) = survivors_of(7, &written, &synced);
        assert_eq!(crash.pages_unsynced, 12);
        assert!((1..12).contains(&crash.pages_lost), "{crash:?}");
        for (at, page) in left.chunks(PAGE_BYTES).enumerate() {
            assert!(page.iter().all(|&byte| byte == page[0]), "page {at} is torn");
            assert!(page[0] == b'o' || (4..16).contains(&at), "page {at} changed without a write");
        }
        assert_eq!(survivors_of(7, &written, &synced), (left, crash), "the same seed, the same crash");
    }

    #[test]
    fn a_mixture_may_keep_either_length() {
        let lengths: BTreeSet<usize> =
            (0..20).map(|seed| survivors_of(seed, &[1; 5000], &[1; 100]).0.len()).collect();
        assert_eq!(lengths, BTreeSet::from([100, 5000]));
    }

    #[test]
    fn names_of_shadows_lead_back_to_their_files() {
        for name in ["a", "a/b", "50%", "%2F", "a%25/b%"] {
            assert_eq!(real_name(&shadow_name(Path::new(name))), Path::new(name));
        }
    }
}
