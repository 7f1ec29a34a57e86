//! What an app's constructor is given: its systems and settings, from the environment.

use std::{fmt, sync::Arc};

use bowline_client::Api;
use bowline_model::{Clock, Secret, Variables};

use crate::{OpenOptions, open::Divert};

/// Hands out what an app is made of, and collects what is missing: all of it is named at once.
pub struct Setup {
    app: String,
    version: String,
    variables: Variables,
    clock: Arc<dyn Clock>,
    divert: Arc<Divert>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("app", &self.app)
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

impl Setup {
    pub(crate) fn new(app: &str, version: &str, options: &OpenOptions) -> Self {
        Self {
            app: app.to_owned(),
            version: version.to_owned(),
            variables: options.variables.clone(),
            clock: options.clock.clone(),
            divert: options.divert.clone(),
        }
    }

    /// A remote system of that name, to be configured with the methods of [`Api`].
    ///
    /// The name is recorded with every call to it: keep it across builds.
    pub fn api(&mut self, name: &str) -> Api {
        let api = Api::with_variables(name, self.variables.clone())
            .app(&self.app, &self.version)
            .clock(self.clock.clone());
        match (self.divert)(name) {
            Some(base) => api.divert(&base),
            None => api,
        }
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
