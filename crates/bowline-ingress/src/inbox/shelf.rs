//! Where a file goes when its run has ended. It blocks.
//!
//! A rename within one file system is there or not, whole, after any crash; what was not moved is moved by the next
//! process. Names are never taken from what has them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{DONE, FAILED, Stamp, look::Seen};

/// Names that are tried where a name is taken.
const NAMES_TRIED_MAX: u32 = 100;
/// How much of a file's id is put into a name that is taken.
const ID_CHARS: usize = 8;

/// Why a file is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Its run completed.
    Done,
    /// Its run was cancelled or discarded.
    Failed,
}

/// What became of a file that should be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moved {
    /// It is there.
    To(PathBuf),
    /// It was not there any more.
    Gone,
    /// Another file has its name: that one stays.
    Replaced,
}

impl Shelf {
    fn name(self) -> &'static str {
        match self {
            Self::Done => DONE,
            Self::Failed => FAILED,
        }
    }
}

/// Moves a file onto its shelf. What is there already stays, and this one gets a part of its id into its name.
///
/// # Errors
/// Fact, value, hint. The file is where it was.
pub(super) fn put(folder: &Path, file: &Seen, id: &str, shelf: Shelf) -> Result<Moved, String> {
    let from = folder.join(&file.name);
    match stamp(&from) {
        Ok(stamp) if stamp == file.stamp => {}
        Ok(_) => return Ok(Moved::Replaced),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Moved::Gone),
        Err(error) => return Err(unmoved(&from, &error)),
    }
    let shelf = folder.join(shelf.name());
    make(&shelf).map_err(|error| format!("{} cannot be made: {error}", shelf.display()))?;
    let to = move_to_free_name(&from, &shelf, &file.name, id).map_err(|error| unmoved(&from, &error))?;
    match to {
        Some(to) => check(&from, to, file, id),
        None => Ok(Moved::Gone),
    }
}

/// Makes what was moved last through a loss of power.
///
/// # Errors
/// If a folder cannot be synced.
pub(super) fn sync(folder: &Path, shelf: Shelf) -> io::Result<()> {
    File::open(folder.join(shelf.name()))?.sync_all()?;
    File::open(folder)?.sync_all()
}

fn make(shelf: &Path) -> io::Result<()> {
    match fs::create_dir(shelf) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && shelf.is_dir() => Ok(()),
        made => made,
    }
}

/// The name that it got; `None` if the file went meanwhile.
fn move_to_free_name(from: &Path, shelf: &Path, name: &str, id: &str) -> io::Result<Option<PathBuf>> {
    for attempt in 0..NAMES_TRIED_MAX {
        let to = shelf.join(free_name(name, id, attempt));
        match rename(from, &to) {
            Ok(()) => return Ok(Some(to)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && shelf.is_dir() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{NAMES_TRIED_MAX} names like it are taken")))
}

/// `a.csv`, `a-1f0c3d5e.csv`, `a-1f0c3d5e-2.csv`.
fn free_name(name: &str, id: &str, attempt: u32) -> String {
    let (stem, end) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        Some(_) | None => (name, ""),
    };
    let id = id.get(..ID_CHARS).unwrap_or(id);
    match attempt {
        0 => name.to_owned(),
        1 => format!("{stem}-{id}{end}"),
        more => format!("{stem}-{id}-{more}{end}"),
    }
}

/// Looks whether it was the file that should be moved: its name may have been given to another one a moment before. That
/// one has not been taken yet, and goes back.
fn check(from: &Path, to: PathBuf, file: &Seen, id: &str) -> Result<Moved, String> {
    if stamp(&to).is_ok_and(|stamp| stamp == file.stamp) {
        return Ok(Moved::To(to));
    }
    let inbox = from.parent().unwrap_or(Path::new("."));
    match move_to_free_name(&to, inbox, &file.name, id) {
        Ok(_) => Ok(Moved::Replaced),
        Err(error) => Err(format!(
            "{} was replaced while it was moved, and the new one is at {}: {error}; move it back by hand",
            from.display(),
            to.display()
        )),
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    fs::symlink_metadata(path).map(|file| Stamp::of(&file))
}

/// Renames, unless the name is taken.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot: a second name is as safe, and the first is given up after it.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rename_by_link(from, to),
        renamed => Ok(renamed?),
    }
}

fn rename_by_link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        // A process died between the two: it has both names.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && stamp(to)? == stamp(from)? => {}
        linked => linked?,
    }
    fs::remove_file(from)
}

fn unmoved(from: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::CrossesDevices => "done and failed must be on the inbox's own file system",
        io::ErrorKind::PermissionDenied => "let the program's user write to the folder",
        _ => "it is tried again",
    };
    format!("{} cannot be moved: {error}; {hint}", from.display())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const ID: &str = "0123456789abcdef";

    fn folder() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    fn write(folder: &TempDir, name: &str, text: &str) -> Seen {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        Seen { name: name.to_owned(), stamp: stamp(&path).unwrap() }
    }

    fn read(folder: &TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).unwrap()
    }

    #[test]
    fn nothing_is_ever_overwritten() {
        let folder = folder();
        for nth in 0..4 {
            let file = write(&folder, "a.csv", &nth.to_string());
            assert!(matches!(put(folder.path(), &file, ID, Shelf::Done), Ok(Moved::To(_))));
        }
        let names = ["done/a.csv", "done/a-01234567.csv", "done/a-01234567-2.csv", "done/a-01234567-3.csv"];
        assert_eq!(names.map(|name| read(&folder, name)), ["0", "1", "2", "3"]);
        sync(folder.path(), Shelf::Done).unwrap();
    }

    #[test]
    fn a_file_that_was_replaced_stays_and_one_that_went_is_not_missed() {
        let folder = folder();
        let file = write(&folder, "a.csv", "old");
        write(&folder, "a.csv", "newer");
        assert_eq!(put(folder.path(), &file, ID, Shelf::Failed), Ok(Moved::Replaced));
        assert_eq!(read(&folder, "a.csv"), "newer");
        fs::remove_file(folder.path().join("a.csv")).unwrap();
        assert_eq!(put(folder.path(), &file, ID, Shelf::Failed), Ok(Moved::Gone));
    }

    #[test]
    fn a_file_that_was_replaced_while_it_was_moved_goes_back() {
        let folder = folder();
        let (old, new) = (write(&folder, "a.csv", "old"), folder.path().join("new"));
        fs::create_dir(&new).unwrap();
        fs::write(new.join("a.csv"), "newer").unwrap();
        fs::remove_file(folder.path().join("a.csv")).unwrap();
        let moved = check(&folder.path().join("a.csv"), new.join("a.csv"), &old, ID);
        assert_eq!((moved, read(&folder, "a.csv")), (Ok(Moved::Replaced), "newer".to_owned()));
    }

    #[test]
    fn a_process_that_died_between_two_names_leaves_one() {
        let folder = folder();
        let file = write(&folder, "a.csv", "text");
        fs::create_dir(folder.path().join(DONE)).unwrap();
        fs::hard_link(folder.path().join("a.csv"), folder.path().join("done/a.csv")).unwrap();
        rename_by_link(&folder.path().join(&file.name), &folder.path().join("done/a.csv")).unwrap();
        assert_eq!(
            (read(&folder, "done/a.csv"), folder.path().join("a.csv").exists()),
            ("text".to_owned(), false)
        );
        let other = write(&folder, "a.csv", "other");
        let taken = rename_by_link(&folder.path().join(&other.name), &folder.path().join("done/a.csv"));
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_shelf_that_is_a_file_is_told() {
        let folder = folder();
        let file = write(&folder, "a.csv", "text");
        write(&folder, DONE, "in the way");
        let problem = put(folder.path(), &file, ID, Shelf::Done).unwrap_err();
        assert!(problem.contains("done cannot be made"), "{problem}");
        assert_eq!(read(&folder, "a.csv"), "text");
    }

    #[test]
    fn names_keep_their_end() {
        for (name, expected) in [
            ("a.csv", "a-01234567.csv"),
            ("a", "a-01234567"),
            ("a.tar.gz", "a.tar-01234567.gz"),
            (".a", ".a-01234567"),
        ] {
            assert_eq!(free_name(name, ID, 1), expected);
        }
    }
}
