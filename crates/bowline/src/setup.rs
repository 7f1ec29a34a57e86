//! What an app's constructor is given: its systems and settings, from the environment.

use std::{fmt, sync::Arc};

use bowline_client::{Api, Apis, Vault};
use bowline_dashboard::alerts::ApiAlerts;
use bowline_model::{Clock, Secret, Variables};

use crate::{OpenOptions, open::Divert};

/// The key that tokens are sealed with, and the file that holds it.
pub(crate) const TOKEN_KEY_VARIABLE: &str = "BOWLINE_TOKEN_KEY";
pub(crate) const TOKEN_KEY_FILE_VARIABLE: &str = "BOWLINE_TOKEN_KEY_FILE";

/// Hands out what an app is made of, and collects what is missing: all of it is named at once.
pub struct Setup {
    app: String,
    version: String,
    variables: Variables,
    clock: Arc<dyn Clock>,
    divert: Arc<Divert>,
    /// Where the tokens of all its Apis live.
    pub(crate) vault: Vault,
    /// All its Apis, by name: where undos find theirs.
    pub(crate) apis: Apis,
    /// What its Apis raise.
    pub(crate) alerts: ApiAlerts,
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
            vault: Vault::with_variables(&options.variables),
            apis: Apis::default(),
            alerts: ApiAlerts::new(options.clock.clone()),
        }
    }

    /// A remote system of that name, to be configured with the methods of [`Api`].
    ///
    /// The name is recorded with every call to it: keep it across builds. Its tokens live in the app's store, sealed with
    /// the key in `BOWLINE_TOKEN_KEY`; a credential that is refused is told to the chat's hook, and shown at the admin
    /// address.
    pub fn api(&mut self, name: &str) -> Api {
        let api = Api::with_variables(name, self.variables.clone())
            .known_in(&self.apis)
            .app(&self.app, &self.version)
            .clock(self.clock.clone())
            .vault(self.vault.clone())
            .alerts(Arc::new(self.alerts.clone()));
        match (self.divert)(name) {
            Some(base) => api.divert(&base),
            None => api,
        }
    }

    /// A model in an ONNX file, loaded. What is missing (the file, ONNX Runtime's library) is reported with all other problems.
    ///
    /// The library is the file that `ORT_DYLIB_PATH` names, or else is where the system looks for libraries.
    #[cfg(feature = "onnx")]
    pub fn model(&mut self, path: impl AsRef<std::path::Path>) -> bowline_onnx::Model {
        let path = path.as_ref();
        let library = self.variables.get(bowline_onnx::LIBRARY_VARIABLE).map(std::path::PathBuf::from);
        bowline_onnx::Model::load_with(path, library.as_deref()).unwrap_or_else(|error| {
            self.variables.problem(format!("model {}", path.display()), error.to_string());
            bowline_onnx::Model::missing(path, error)
        })
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

#[cfg(test)]
mod tests;
