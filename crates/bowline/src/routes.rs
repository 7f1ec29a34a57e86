//! An app's routes, for whoever sends to them what their senders would send.

use bowline_ingress::Route;

use crate::{App, OpenOptions};

impl<S: Send + Sync + 'static> App<S> {
    /// The app's routes in these surroundings: each with the provider that signs what it would send there. Opens nothing.
    ///
    /// What is missing for a route is a problem of the variables; the route is left out.
    pub fn routes(&self, options: &OpenOptions) -> Vec<Route> {
        self.build(options).routes
    }

    /// The URL under which senders know the app in these surroundings, without a slash at its end: `BOWLINE_PUBLIC_URL`.
    pub fn public_url(&self, options: &OpenOptions) -> Option<String> {
        crate::config::public_url(&options.variables)
    }
}
