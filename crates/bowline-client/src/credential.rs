//! Keys that a remote wants on every request, as they are.

use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::Secret;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::{
    Api,
    live::{self, LiveSecret},
    scrub::Scrub,
    settings::{Settings, Source},
};

/// Keys.
impl Api {
    /// Sends a key in a header.
    ///
    /// # A key at hand
    /// ```
    /// let key = bowline_model::Secret::new("k-51a9");
    /// let crm = bowline_client::Api::new("crm").header_key("X-Api-Key", key);
    /// ```
    pub fn header_key(self, header: &str, key: Secret) -> Self {
        self.with(|settings| {
            settings.set_key(Source::Code(header), Key::header(header, LiveSecret::fixed(key)));
        })
    }

    /// As [`header_key`](Api::header_key), from a variable, or from the file that `NAME_FILE` names. A file is read
    /// again whenever it changes.
    ///
    /// # A key in a file
    /// ```
    /// use bowline_client::Api;
    /// use bowline_model::Variables;
    ///
    /// let path = std::env::temp_dir().join("crm-api-key");
    /// std::fs::write(&path, "k-51a9\n")?;
    /// let variables = Variables::new(move |name| {
    ///     (name == "CRM_API_KEY_FILE").then(|| path.display().to_string())
    /// });
    /// let crm = Api::with_variables("crm", variables.clone()).header_key_env("X-Api-Key", "CRM_API_KEY");
    /// assert!(variables.problems().is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn header_key_env(self, header: &str, variable: &str) -> Self {
        self.with(|settings| {
            if let Some(key) = settings.live_secret(variable, "API key") {
                settings.set_key(Source::Variable(variable), Key::header(header, key));
            }
        })
    }

    /// Sends a token as `Authorization: Bearer`.
    ///
    /// # A token at hand
    /// ```
    /// let token = bowline_model::Secret::new("t-51a9");
    /// let crm = bowline_client::Api::new("crm").bearer(token);
    /// ```
    pub fn bearer(self, token: Secret) -> Self {
        self.with(|settings| settings.set_key(Source::Code("bearer"), Key::bearer(LiveSecret::fixed(token))))
    }

    /// As [`bearer`](Api::bearer), from a variable or a file, as [`header_key_env`](Api::header_key_env).
    ///
    /// # A personal access token
    /// ```
    /// let github = bowline_client::Api::new("github").bearer_env("GITHUB_TOKEN");
    /// ```
    pub fn bearer_env(self, variable: &str) -> Self {
        self.with(|settings| {
            if let Some(token) = settings.live_secret(variable, "token") {
                settings.set_key(Source::Variable(variable), Key::bearer(token));
            }
        })
    }

    /// Sends user and password as `Authorization: Basic`.
    ///
    /// # User and password at hand
    /// ```
    /// let crm = bowline_client::Api::new("crm").basic("orders", bowline_model::Secret::new("s3cr3t"));
    /// ```
    pub fn basic(self, user: &str, password: Secret) -> Self {
        self.with(|settings| {
            let user = LiveSecret::fixed(Secret::new(user));
            settings.set_key(Source::Code("basic"), Key::basic(user, Some(LiveSecret::fixed(password))));
        })
    }

    /// As [`basic`](Api::basic), from two variables or files, as [`header_key_env`](Api::header_key_env).
    ///
    /// # User and password
    /// ```
    /// let jira = bowline_client::Api::new("jira").basic_env("JIRA_USER", "JIRA_TOKEN");
    /// ```
    pub fn basic_env(self, user_variable: &str, password_variable: &str) -> Self {
        self.with(|settings| {
            let user = settings.live_name(user_variable, "user name");
            let password = settings.live_secret(password_variable, "password");
            if let (Some(user), Some(password)) = (user, password) {
                settings.set_key(Source::Variable(user_variable), Key::basic(user, Some(password)));
            }
        })
    }

    /// Sends a key as the user name of `Authorization: Basic`, with no password, as some remotes want it.
    ///
    /// # Stripe's way
    /// ```
    /// let stripe = bowline_client::Api::new("stripe").basic_key_env("STRIPE_SECRET_KEY");
    /// ```
    pub fn basic_key_env(self, variable: &str) -> Self {
        self.with(|settings| {
            if let Some(key) = settings.live_secret(variable, "API key") {
                settings.set_key(Source::Variable(variable), Key::basic(key, None));
            }
        })
    }

    /// Sends a key as a parameter of the query. It is in no fingerprint, error or log.
    ///
    /// # A key in the query
    /// ```
    /// let maps = bowline_client::Api::new("maps").query_key("key", bowline_model::Secret::new("k-51a9"));
    /// ```
    pub fn query_key(self, parameter: &str, key: Secret) -> Self {
        self.with(|settings| {
            settings.set_key(Source::Code(parameter), Ok(Key::query(parameter, LiveSecret::fixed(key))));
        })
    }

    /// As [`query_key`](Api::query_key), from a variable or a file, as [`header_key_env`](Api::header_key_env).
    ///
    /// # A key in the query, from a variable
    /// ```
    /// let maps = bowline_client::Api::new("maps").query_key_env("key", "MAPS_KEY");
    /// ```
    pub fn query_key_env(self, parameter: &str, variable: &str) -> Self {
        self.with(|settings| {
            if let Some(key) = settings.live_secret(variable, "API key") {
                settings.set_key(Source::Variable(variable), Ok(Key::query(parameter, key)));
            }
        })
    }
}

impl Settings {
    /// The secret in that variable, or in the file that its `NAME_FILE` names; if there is neither, that is a problem.
    /// It is kept out of sight from now on, as are the values it will have.
    pub(crate) fn live_secret(&mut self, variable: &str, what: &str) -> Option<LiveSecret> {
        self.live_secret_or(variable, what, || format!("test-{variable}"))
    }

    /// As [`live_secret`](Self::live_secret), with a stand-in that has the secret's form.
    pub(crate) fn live_secret_or(
        &mut self,
        variable: &str,
        what: &str,
        stand_in: impl FnOnce() -> String,
    ) -> Option<LiveSecret> {
        let live = self.live(variable, what, stand_in)?;
        live.scrub(Arc::make_mut(&mut self.scrub));
        if !live.is_fixed() {
            self.watched.push(live.clone());
        }
        Some(live)
    }

    /// As [`live_secret`](Self::live_secret), for what is no secret but changes with one: a user's name.
    pub(crate) fn live_name(&mut self, variable: &str, what: &str) -> Option<LiveSecret> {
        self.live(variable, what, || format!("test-{variable}"))
    }

    pub(crate) fn live(
        &mut self,
        variable: &str,
        what: &str,
        stand_in: impl FnOnce() -> String,
    ) -> Option<LiveSecret> {
        let file_variable = format!("{variable}_FILE");
        match (self.variables.get(variable), self.variables.get(&file_variable)) {
            (Some(_), Some(_)) => {
                let what = format!("is set, and so is {file_variable}: unset the one that does not hold");
                self.problem(Source::Variable(variable), what);
                None
            }
            (Some(value), None) => Some(LiveSecret::of_variable(Secret::new(value), variable)),
            (None, Some(path)) => match LiveSecret::file(&path, &file_variable) {
                Ok(secret) => Some(secret),
                Err(what) => {
                    self.problem(Source::Variable(&file_variable), what);
                    None
                }
            },
            (None, None) if self.variables.is_testing() => {
                Some(LiveSecret::of_variable(Secret::new(stand_in()), variable))
            }
            (None, None) => {
                let what = format!("is not set, nor is {file_variable}: the {what} of {}", self.name);
                self.problem(Source::Variable(variable), what);
                None
            }
        }
    }
}

/// One key, and where it goes.
#[derive(Clone)]
pub(crate) struct Key {
    place: Place,
    secret: LiveSecret,
}

#[derive(Clone)]
enum Place {
    Header(HeaderName),
    /// RFC 6750.
    Bearer,
    /// RFC 7617, with that user.
    Basic(LiveSecret),
    /// Some remotes take their key as the user name, with no password.
    BasicUser,
    Query(String),
}

impl Key {
    /// A header that holds the secret as it is.
    pub(crate) fn header(name: &str, secret: LiveSecret) -> Result<Self, String> {
        let name: HeaderName = name
            .parse()
            .map_err(|_| format!("the header name {name:?} is not one: letters, digits and dashes"))?;
        Self { place: Place::Header(name), secret }.checked()
    }

    /// `Authorization: Bearer …` (RFC 6750).
    pub(crate) fn bearer(secret: LiveSecret) -> Result<Self, String> {
        Self { place: Place::Bearer, secret }.checked()
    }

    /// `Authorization: Basic …` (RFC 7617). Without a password, the user is the secret.
    pub(crate) fn basic(user: LiveSecret, password: Option<LiveSecret>) -> Result<Self, String> {
        match password {
            Some(secret) => Self { place: Place::Basic(user), secret }.checked(),
            None => Self { place: Place::BasicUser, secret: user }.checked(),
        }
    }

    /// A parameter of the query.
    pub(crate) fn query(name: &str, secret: LiveSecret) -> Self {
        Self { place: Place::Query(name.into()), secret }
    }

    fn checked(self) -> Result<Self, String> {
        self.header_now().map(|_| self)
    }

    /// The variable that says it.
    pub(crate) fn variable(&self) -> Option<&str> {
        self.secret.variable()
    }

    /// Puts its present value on a request.
    ///
    /// # Errors
    /// Says why the value, which changed since it was checked, cannot be put there.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, url: &mut Url) -> Result<(), String> {
        if let Place::Query(name) = &self.place {
            // A redirect may have repeated it.
            if !url.query_pairs().any(|(known, _)| known == *name) {
                url.query_pairs_mut().append_pair(name, self.secret.current().expose());
            }
        } else if let Some((name, value)) =
            self.header_now().map_err(|what| format!("{} {what}", self.variable().unwrap_or("the key")))?
        {
            headers.insert(name, value);
        }
        Ok(())
    }

    /// The header as it is now, if it is one.
    fn header_now(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        if let Place::Basic(user) = &self.place {
            let [user, password] = live::together([user, &self.secret]);
            return Ok(Some((AUTHORIZATION, basic(user.expose(), password.expose())?)));
        }
        let secret = self.secret.current();
        let secret = secret.expose();
        let (name, value) = match &self.place {
            Place::Header(name) => (name.clone(), sensitive(secret)?),
            Place::Bearer => (AUTHORIZATION, sensitive(&format!("Bearer {secret}"))?),
            Place::BasicUser => (AUTHORIZATION, basic(secret, "")?),
            Place::Basic(_) | Place::Query(_) => return Ok(None),
        };
        Ok(Some((name, value)))
    }

    /// Adds every form in which it could be echoed.
    pub(crate) fn scrub(&self, scrub: &mut Scrub) {
        self.secret.scrub(scrub);
        if let Ok(Some((_, value))) = self.header_now() {
            let sent = value.to_str().unwrap_or_default();
            scrub.add(sent.split_once(' ').map_or(sent, |(_, credential)| credential));
        }
    }
}

/// Shows the place and the variable's name.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.place {
            Place::Header(name) => format!("header {name}"),
            Place::Bearer | Place::Basic(_) | Place::BasicUser => "header authorization".to_owned(),
            Place::Query(name) => format!("query {name}"),
        };
        write!(f, "Key({place} from {})", self.variable().unwrap_or("code"))
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, String> {
    if user.contains(':') {
        return Err("the user name has a colon in it, which Basic cannot carry".into());
    }
    let pair = Secret::new(BASE64_STANDARD.encode(format!("{user}:{password}")));
    sensitive(&format!("Basic {}", pair.expose()))
}

/// A header's value that hyper and its logs never print.
pub(crate) fn sensitive(value: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| "holds a character that a header cannot carry (a line break?)".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
