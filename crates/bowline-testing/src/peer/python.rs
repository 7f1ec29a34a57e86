//! Python. Alone in this file: tests of crates that nothing of ours may depend on include it.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// A Python interpreter that can import that module: the one `BOWLINE_PYTHON` names (`scripts/test` sets it), else
/// the first `python3`. `None` if neither can.
pub fn python(module: &str) -> Option<PathBuf> {
    let named = std::env::var_os("BOWLINE_PYTHON").map(PathBuf::from);
    let candidates = named.into_iter().chain([PathBuf::from("python3")]);
    candidates.into_iter().find(|python| {
        let mut command = Command::new(python);
        succeeds(command.args(["-c", &format!("import {module}")]))
    })
}

pub(super) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
