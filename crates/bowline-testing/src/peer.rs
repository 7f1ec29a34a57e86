//! Peers that are not written in Rust.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::Program;

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

/// A Node.js that runs that script (an ES module), which imports that package of npm: the one `BOWLINE_NODE` names
/// (`scripts/test` sets it), whose packages are beside it. `None` if it cannot.
///
/// # A peer that serves
/// ```no_run
/// use bowline_testing::peer;
///
/// let script = r#"
///     import express from 'express';
///     const server = express().listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
/// "#;
/// let Some(node) = peer::node("express", script) else {
///     bowline_testing::skip!("speaks_with_express", "BOWLINE_NODE has no express: scripts/node makes one that has");
/// };
/// let peer = node.ready_on_line("port ").start()?;
/// # Ok::<(), bowline_testing::ProcessError>(())
/// ```
pub fn node(package: &str, script: &str) -> Option<Program> {
    let node = PathBuf::from(std::env::var_os("BOWLINE_NODE")?);
    // What a script of the command line imports is looked for from the current folder.
    let home = node.parent()?;
    let arguments = |script: &str| ["--input-type=module".to_owned(), "--eval".to_owned(), script.to_owned()];
    let imports = format!("await import({})", serde_json::Value::from(package));
    let found = succeeds(Command::new(&node).args(arguments(&imports)).current_dir(home));
    found.then(|| Program::new(&node).args(arguments(script)).dir(home))
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
