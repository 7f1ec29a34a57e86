//! The bench as another program: a server that is measured, or killed, is this program under another name, as an app reads
//! its own command line.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

use crate::Error;

/// The name of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerName(pub(crate) &'static str);

impl ServerName {
    /// Whether this process was started under it.
    pub(crate) fn is_ours(self) -> bool {
        std::env::args_os().next().is_some_and(|name: OsString| name == self.0)
    }

    /// Becomes that server; returns only if that fails.
    pub(crate) fn become_it(self) -> Error {
        match std::env::current_exe() {
            Ok(program) => Command::new(program).arg0(self.0).exec().into(),
            Err(error) => error.into(),
        }
    }
}
