//! What an app's constructor is given: its systems and settings, from the environment.

use std::sync::Arc;

use bowline_client::Api;
use bowline_model::{Clock, Secret, Variables};

/// Hands out what an app is made of, and collects what is missing: all of it is named at once.
#[derive(Debug)]
pub struct Setup {
    app: String,
    version: String,
    variables: Variables,
    clock: ClockHandle,
}

/// A clock without a `Debug` of its own.
#[derive(Clone)]
struct ClockHandle(Arc<dyn Clock>);

impl std::fmt::Debug for ClockHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Setup {
    pub(crate) fn new(app: &str, version: &str, variables: Variables, clock: Arc<dyn Clock>) -> Self {
        Self { app: app.to_owned(), version: version.to_owned(), variables, clock: ClockHandle(clock) }
    }

    /// A remote system of that name, to be configured with the methods of [`Api`].
    ///
    /// The name is recorded with every call to it: keep it across builds.
    pub fn api(&mut self, name: &str) -> Api {
        Api::with_variables(name, self.variables.clone())
            .app(&self.app, &self.version)
            .clock(self.clock.0.clone())
    }

    /// The value of a variable. If it is not set, that is reported with all other problems, and the text is empty.
    ///
    /// `purpose` tells people what it is for: `the account that pays`.
    pub fn variable(&mut self, name: &str, purpose: &str) -> String {
        self.variables.require(name, purpose).unwrap_or_default()
    }

    /// The value of a variable that need not be set.
    pub fn optional_variable(&mut self, name: &str) -> Option<String> {
        self.variables.get(name)
    }

    /// The value of a variable that nobody may see.
    pub fn secret(&mut self, name: &str, purpose: &str) -> Secret {
        Secret::new(self.variables.require(name, purpose).unwrap_or_default())
    }
}
