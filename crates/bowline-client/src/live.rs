//! Secrets whose file may change while the program runs.
//!
//! What comes in: a variable that holds a secret, or its `NAME_FILE` that holds the path of a file with it, as
//! container platforms mount them. What goes out: the value as it is now, at each use.
//!
//! The file is looked at once per use, and read again when it is another one or was written to: rewritten in place,
//! replaced by `rename`, or swapped by a symbolic link above it (Kubernetes). Only a rewrite in place, to as many bytes,
//! within the file system's smallest step of time (some milliseconds) after the one before, is not seen. While the new one cannot be read, or is
//! empty, the old value holds: a key that may still work is better than none.

use std::{
    collections::VecDeque,
    fmt,
    fs::{self, File, Metadata},
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bowline_model::Secret;

use crate::scrub::Scrub;

/// Largest file that is a secret: a chain of certificates fits many times.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// So many former values are still kept out of sight: a remote may echo a key that was replaced while it worked.
const FORMER_MAX: usize = 8;

/// A secret, as it is now.
///
/// Cheap to clone; clones see the same changes. `Debug` shows the variable only.
///
/// # A secret that stays
/// ```
/// use bowline_client::LiveSecret;
/// use bowline_model::Secret;
///
/// let secret = LiveSecret::fixed(Secret::new("sk_live_51"));
/// assert_eq!(secret.current().expose(), "sk_live_51");
/// assert_eq!(format!("{secret:?}"), "LiveSecret(set in code)");
/// ```
#[derive(Clone)]
pub struct LiveSecret {
    /// The variable that says it; `None` if it was set in code.
    variable: Option<Arc<str>>,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Fixed(Secret),
    File(Arc<Watched>),
}

struct Watched {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// What the file looked like when it was last read, with or without success; `None`: it was not there.
    seen: Option<Mark>,
    value: Secret,
    /// Oldest first.
    former: VecDeque<Secret>,
}

/// What changes when a file is written to, or another takes its place.
#[derive(PartialEq, Eq)]
struct Mark {
    bytes: u64,
    #[cfg(unix)]
    unix: [i64; 7],
    #[cfg(not(unix))]
    modified: Option<std::time::SystemTime>,
}

impl LiveSecret {
    /// A secret that was set in code, and stays.
    pub fn fixed(secret: Secret) -> Self {
        Self { variable: None, source: Source::Fixed(secret) }
    }

    /// The value of that variable.
    pub(crate) fn of_variable(secret: Secret, variable: &str) -> Self {
        Self { variable: Some(variable.into()), source: Source::Fixed(secret) }
    }

    /// The content of that file, which that variable names.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub(crate) fn file(path: &str, variable: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        let (mark, value) = read(&path).map_err(|what| format!("names {}, which {what}", path.display()))?;
        let state = Mutex::new(State { seen: Some(mark), value, former: VecDeque::new() });
        Ok(Self { variable: Some(variable.into()), source: Source::File(Arc::new(Watched { path, state })) })
    }

    /// The value as it is now.
    pub fn current(&self) -> Secret {
        match &self.source {
            Source::Fixed(secret) => secret.clone(),
            Source::File(file) => file.current(self.variable()),
        }
    }

    /// The variable that says it, as `CRM_API_KEY` or `CRM_API_KEY_FILE`; `None` if it was set in code.
    ///
    /// # A secret set in code has none
    /// ```
    /// use bowline_client::LiveSecret;
    /// use bowline_model::Secret;
    ///
    /// assert_eq!(LiveSecret::fixed(Secret::new("sk_live_51")).variable(), None);
    /// ```
    pub fn variable(&self) -> Option<&str> {
        self.variable.as_deref()
    }

    /// Its value when it was last used, and those it had before.
    pub(crate) fn values(&self) -> Vec<Secret> {
        match &self.source {
            Source::Fixed(secret) => vec![secret.clone()],
            Source::File(file) => {
                let state = file.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.former.iter().chain([&state.value]).cloned().collect()
            }
        }
    }

    /// Adds its values.
    pub(crate) fn scrub(&self, scrub: &mut Scrub) {
        self.values().iter().for_each(|value| scrub.add(value.expose()));
    }

    /// Whether it never changes.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self.source, Source::Fixed(_))
    }
}

/// Values that belong together, all of one time: where their files are replaced while they are read, they are read
/// once more.
pub(crate) fn together<const N: usize>(secrets: [&LiveSecret; N]) -> [Secret; N] {
    const READ_AGAIN_MAX: usize = 3;
    let read = || secrets.map(LiveSecret::current);
    let equal = |one: &[Secret; N], other: &[Secret; N]| {
        one.iter().zip(other).all(|(one, other)| one.expose() == other.expose())
    };
    let mut values = read();
    if secrets.iter().all(|secret| secret.is_fixed()) {
        return values;
    }
    for _ in 0..READ_AGAIN_MAX {
        let again = read();
        if equal(&values, &again) {
            break;
        }
        values = again;
    }
    values
}

impl Watched {
    fn current(&self, variable: Option<&str>) -> Secret {
        let now = fs::metadata(&self.path).map(|metadata| Mark::of(&metadata));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.as_ref().ok() == state.seen.as_ref() {
            return state.value.clone();
        }
        match read(&self.path) {
            Ok((mark, value)) => {
                state.seen = Some(mark);
                state.replace(value);
            }
            Err(why) => {
                // Not looked at again until it changes: one warning, not one per call.
                state.seen = now.ok();
                let path = self.path.display();
                tracing::warn!(variable, %path, why, "a secret's file changed and is of no use: its old value holds");
            }
        }
        state.value.clone()
    }
}

impl State {
    fn replace(&mut self, value: Secret) {
        if value.expose() == self.value.expose() {
            return;
        }
        self.former.push_back(std::mem::replace(&mut self.value, value));
        if self.former.len() > FORMER_MAX {
            self.former.pop_front();
        }
    }
}

impl Mark {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let wrapped = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
        Self {
            bytes: metadata.len(),
            unix: [
                wrapped(metadata.dev()),
                wrapped(metadata.ino()),
                // A new mode makes a file readable without a new mtime.
                metadata.mode().into(),
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ],
        }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok() }
    }
}

fn read(path: &Path) -> Result<(Mark, Secret), String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no file".into());
    }
    let file = File::open(path).map_err(unreadable)?;
    // Of what is open, so that mark and content belong together.
    let mark = Mark::of(&file.metadata().map_err(unreadable)?);
    let mut text = String::new();
    let bytes = file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text);
    let bytes = bytes.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => "is not text in UTF-8".to_owned(),
        _ => unreadable(error),
    })?;
    if bytes as u64 > SECRET_BYTES_MAX {
        return Err(format!("is larger than {SECRET_BYTES_MAX} bytes: is it the right file?"));
    }
    let value = text.trim_end_matches(['\n', '\r']);
    if value.trim().is_empty() {
        return Err("is empty".into());
    }
    Ok((mark, Secret::new(value)))
}

/// Shows where it comes from.
impl fmt::Debug for LiveSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variable() {
            Some(variable) => write!(f, "LiveSecret({variable})"),
            None => f.write_str("LiveSecret(set in code)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn file(folder: &tempfile::TempDir, text: &str) -> (PathBuf, LiveSecret) {
        let path = folder.path().join("key");
        fs::write(&path, text).unwrap();
        let secret = LiveSecret::file(path.to_str().unwrap(), "CRM_API_KEY_FILE").unwrap();
        (path, secret)
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_trailing_newline_is_not_part_of_it() {
        for (text, value) in
            [("key-1\n", "key-1"), ("key-1\r\n", "key-1"), ("key-1", "key-1"), (" k\n1 \n", " k\n1 ")]
        {
            let folder = folder();
            let (_, secret) = file(&folder, text);
            assert_eq!(secret.current().expose(), value);
        }
    }

    #[test]
    fn a_change_in_place_and_a_replacement_are_seen_at_the_next_use() {
        let folder = folder();
        let (path, secret) = file(&folder, "key-1");
        fs::write(&path, "key-two").unwrap();
        assert_eq!(secret.current().expose(), "key-two");
        let other = folder.path().join("other");
        fs::write(&other, "key-333").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(secret.clone().current().expose(), "key-333");
        assert_eq!(secret.current().expose(), "key-333");
    }

    #[test]
    fn a_swapped_link_is_seen_at_the_next_use() {
        // As Kubernetes does: key -> ..data/key, ..data -> a folder with a date, swapped by rename.
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        for (date, key) in [("..one", "key-1"), ("..two", "key-2")] {
            fs::create_dir(at(date)).unwrap();
            fs::write(at(date).join("key"), key).unwrap();
        }
        symlink("..one", at("..data")).unwrap();
        symlink("..data/key", at("key")).unwrap();
        let secret = LiveSecret::file(at("key").to_str().unwrap(), "K_FILE").unwrap();
        assert_eq!(secret.current().expose(), "key-1");
        symlink("..two", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        assert_eq!(secret.current().expose(), "key-2");
    }

    #[test]
    fn the_old_value_holds_while_the_new_file_is_of_no_use() {
        let folder = folder();
        let (path, secret) = file(&folder, "key-1");
        for useless in [&b""[..], b" \n", b"\xff\xfe", &[b'x'; 70_000]] {
            fs::write(&path, useless).unwrap();
            assert_eq!(secret.current().expose(), "key-1");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(secret.current().expose(), "key-1");
        fs::create_dir(&path).unwrap();
        assert_eq!(secret.current().expose(), "key-1");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "key-2").unwrap();
        assert_eq!(secret.current().expose(), "key-2");
    }

    #[test]
    fn a_new_mode_makes_it_look_again() {
        let folder = folder();
        let (path, secret) = file(&folder, "key-1");
        fs::write(&path, "key-two").unwrap();
        let before = Mark::of(&fs::metadata(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(before != Mark::of(&fs::metadata(&path).unwrap()));
        assert_eq!(secret.current().expose(), "key-two");
    }

    #[test]
    fn old_and_new_values_stay_out_of_sight() {
        let folder = folder();
        let (path, secret) = file(&folder, "key-number-0");
        for nth in 1..=FORMER_MAX {
            fs::write(&path, format!("key-number-{nth}+")).unwrap();
            let _ = secret.current();
        }
        let mut scrub = Scrub::default();
        secret.scrub(&mut scrub);
        for nth in 1..=FORMER_MAX {
            assert_eq!(scrub.text(&format!("<key-number-{nth}+>")), "<[secret]>");
        }
        assert_eq!(scrub.text("<key-number-0>"), "<[secret]>");
    }

    #[test]
    fn a_file_that_is_none_is_an_error_that_names_it() {
        let folder = folder();
        let told = |path: &Path| LiveSecret::file(path.to_str().unwrap(), "K_FILE").unwrap_err();
        let missing = folder.path().join("missing");
        assert_eq!(
            told(&missing),
            format!(
                "names {}, which cannot be read: No such file or directory (os error 2)",
                missing.display()
            )
        );
        assert!(told(folder.path()).ends_with("which is no file"));
        assert!(told(Path::new("/dev/zero")).ends_with("which is no file"));
    }
}
