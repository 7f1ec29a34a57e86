//! Node.js, with packages of npm.

use std::{path::PathBuf, process::Command};

use super::python::succeeds;
use crate::Program;

/// A Node.js that runs that script (an ES module), which imports that package of npm: the one `BOWLINE_NODE` names
/// (`scripts/test` sets it), whose packages are beside it. `None` if it cannot.
///
/// # A peer that serves
/// ```no_run
/// use bowline_testing::peer;
///
/// fn speaks_with_express() {
///     let script = r#"
///         import express from 'express';
///         const server = express().listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
///     "#;
///     let Some(node) = peer::node("express", script) else {
///         bowline_testing::skip!("speaks_with_express", "BOWLINE_NODE has no express: scripts/node makes one that has");
///     };
///     let peer = node.ready_on_line("port ").start().unwrap();
/// }
/// # speaks_with_express();
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
