//! Who may send to a route that is not signed: a key, a token, or user and password, from variables.

use std::sync::Arc;

use bowline_ingress::providers::{Auth, post::InvalidAuth};
use bowline_model::Variables;

use crate::source::secrets;

/// Reads what lets senders in; `None` if something is wrong, which the variables record.
pub(crate) type MakeAuth = dyn Fn(&Variables) -> Option<Auth> + Send + Sync;

/// Everybody.
pub(crate) fn open() -> Arc<MakeAuth> {
    Arc::new(|_| Some(Auth::Open))
}

/// Who sends a key of that variable in that header.
pub(crate) fn api_key(header: &str, variable: &str) -> Arc<MakeAuth> {
    let (header, name) = (header.to_owned(), variable.to_owned());
    Arc::new(move |variables| {
        let keys = secrets(variables, &name, "the key that senders must have", || format!("test-{name}"))?;
        told(variables, &name, Auth::api_key(&header, keys))
    })
}

/// Who sends a token of that variable.
pub(crate) fn bearer(variable: &str) -> Arc<MakeAuth> {
    let name = variable.to_owned();
    Arc::new(move |variables| {
        let tokens =
            secrets(variables, &name, "the token that senders must have", || format!("test-{name}"))?;
        told(variables, &name, Auth::bearer(tokens))
    })
}

/// Who sends user and password of those variables.
pub(crate) fn basic(user_variable: &str, password_variable: &str) -> Arc<MakeAuth> {
    let (user_name, password_name) = (user_variable.to_owned(), password_variable.to_owned());
    Arc::new(move |variables| {
        let user = variables.require(&user_name, "the user name that senders must have");
        let password = secrets(variables, &password_name, "the password that senders must have", || {
            format!("test-{password_name}")
        });
        told(variables, &password_name, Auth::basic(&user?, password?))
    })
}

fn told(variables: &Variables, name: &str, auth: Result<Auth, InvalidAuth>) -> Option<Auth> {
    match auth {
        Ok(auth) => Some(auth),
        Err(problem) => {
            variables.problem(name, problem.to_string());
            None
        }
    }
}
