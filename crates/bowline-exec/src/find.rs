//! Where a program is, and why not.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Where programs are looked for if no `PATH` says.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// The program's file: as named if there is a `/` in its name (from `dir`, if it has one), else the first in `PATH`.
///
/// # Errors
/// Says where it was looked for, and what to do.
pub(crate) fn program(name: &str, dir: Option<&Path>, path: Option<&str>) -> Result<PathBuf, String> {
    if name.is_empty() || name.contains('\0') {
        return Err(format!("the program's name {name:?} is none"));
    }
    if name.contains('/') {
        let file = dir.map_or_else(|| PathBuf::from(name), |dir| dir.join(name));
        return check(&file)
            .map(|()| file)
            .map_err(|why| format!("the program {} {why}", dir_or_name(name, dir)));
    }
    let path = path.unwrap_or(PATH_DEFAULT);
    let mut found = path.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join(name));
    found.find(|file| check(file).is_ok()).ok_or_else(|| {
        format!("the program {name} is not in PATH ({path}): install it, or name its file, as in Exec::new(\"/opt/bin/{name}\")")
    })
}

fn dir_or_name(name: &str, dir: Option<&Path>) -> String {
    dir.map_or_else(|| name.to_owned(), |dir| format!("{name} (from {})", dir.display()))
}

fn check(file: &Path) -> Result<(), String> {
    let about = fs::metadata(file).map_err(|error| format!("cannot be found: {error}"))?;
    if !about.is_file() {
        return Err("is not a file".into());
    }
    if about.permissions().mode() & 0o111 == 0 {
        return Err("cannot be executed: chmod +x it, or give it to its interpreter".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_path_or_by_its_file_and_else_the_error_says_where() {
        assert!(program("sh", None, Some("/nowhere::/bin")).unwrap().ends_with("sh"));
        assert_eq!(program("./sh", Some(Path::new("/bin")), None).unwrap(), Path::new("/bin/./sh"));
        let missing = program("no-such-program", None, Some("/bin")).unwrap_err();
        assert!(
            missing.starts_with("the program no-such-program is not in PATH (/bin): install it"),
            "{missing}"
        );
        let folder = program("/tmp/", None, None).unwrap_err();
        assert_eq!(folder, "the program /tmp/ is not a file");
        let data = tempfile::NamedTempFile::new().unwrap();
        let data = program(&data.path().display().to_string(), None, None).unwrap_err();
        assert!(data.contains("cannot be executed"), "{data}");
        assert!(program("", None, None).is_err());
    }
}
