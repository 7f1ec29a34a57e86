//! What is in an inbox's folder. It blocks.

use std::{fs, io, path::Path};

use super::{InboxSpec, NAMES_MAX, Stamp, open};

/// A file that is for the inbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) stamp: Stamp,
}

/// What a look found: files, and what people should know.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) files: Vec<Seen>,
    pub(super) problems: Vec<String>,
}

/// Looks into the folder.
pub(super) fn look(spec: &InboxSpec) -> Looked {
    let mut looked = Looked::default();
    let entries = match fs::read_dir(&spec.folder) {
        Ok(entries) => entries,
        Err(error) => {
            looked.problems.push(unreadable(&spec.folder, &error));
            return looked;
        }
    };
    for (nth, entry) in entries.enumerate() {
        if nth == NAMES_MAX {
            let folder = spec.folder.display();
            looked.problems.push(format!(
                "{folder} has more than {NAMES_MAX} names in it; what is beyond them is seen when these are gone"
            ));
            break;
        }
        match entry {
            Ok(entry) => looked.add(spec, &entry),
            Err(error) => looked.problems.push(unreadable(&spec.folder, &error)),
        }
    }
    looked
}

impl Looked {
    fn add(&mut self, spec: &InboxSpec, entry: &fs::DirEntry) {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            // Its own folders are there to be left; so is what is no file.
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                self.problems.push(format!("the name of {} is not UTF-8; rename it", entry.path().display()));
            }
            return;
        };
        if !spec.pattern.takes(name) {
            return;
        }
        // Not through links: what they lead to is somebody else's.
        match entry.metadata() {
            Ok(file) if file.is_file() => {
                self.files.push(Seen { name: name.to_owned(), stamp: Stamp::of(&file) });
            }
            Ok(_) => {}
            // It went between two moments of this look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.problems.push(unreadable(&entry.path(), &error)),
        }
    }
}

/// Which of the files can be read; what is wrong with the others.
pub(super) fn readable(folder: &Path, files: Vec<Seen>) -> Looked {
    let mut looked = Looked::default();
    for file in files {
        let path = folder.join(&file.name);
        match open(&path) {
            Ok(_) => looked.files.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => looked.problems.push(unreadable(&path, &error)),
        }
    }
    looked
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "create it, or name another folder",
        io::ErrorKind::PermissionDenied => "let the program's user read it",
        _ => "it is looked at again",
    };
    format!("{} cannot be read: {error}; {hint}", path.display())
}
