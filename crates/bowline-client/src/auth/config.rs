//! A grant as it is configured: its variables found, its URLs checked.

use std::{fmt, sync::Arc};

use bowline_model::Secret;
use sha2::{Digest, Sha256};
use url::Url;

use crate::{
    address::Address,
    auth::{
        assertion::{ServiceAccount, SigningKey},
        oauth::{Client, Given, Grant, OAuth, Place, Proof, Statement},
        pkce::hash_text,
        record,
    },
    live::LiveSecret,
    settings::{self, Settings},
};

/// A grant, ready to be asked.
pub(crate) struct Config {
    pub(crate) means: Means,
    /// `None`: the key file says it.
    token_url: Option<Url>,
    pub(crate) client: Option<ClientProof>,
    pub(crate) in_body: bool,
    pub(crate) scope: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) authorize_parameters: Vec<(String, String)>,
    grant: &'static str,
}

/// What is asked with.
pub(crate) enum Means {
    ClientCredentials,
    RefreshToken {
        seed: LiveSecret,
    },
    AuthorizationCode {
        authorize_url: Url,
        issuer: Option<String>,
    },
    JwtBearer {
        key: LiveSecret,
        key_id: Option<String>,
        issuer: LiveSecret,
        subject: Option<LiveSecret>,
        audience: Option<String>,
    },
    Google {
        file: LiveSecret,
        subject: Option<String>,
    },
    TokenExchange {
        subject_token: LiveSecret,
        kind: String,
    },
}

/// Who asks, and how it proves that.
pub(crate) struct ClientProof {
    pub(crate) id: LiveSecret,
    pub(crate) proof: ProofNow,
}

pub(crate) enum ProofNow {
    Secret(LiveSecret),
    Key(LiveSecret),
    None,
}

/// Whose tokens they are, as hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The provider, the client and what is asked for.
    pub(crate) identity: String,
    /// The value of the refresh token's variable.
    pub(crate) seed: Option<String>,
}

impl Config {
    /// Finds the variables and checks the URLs. What is wrong becomes a problem of the settings; `None` then.
    pub(crate) fn resolve(settings: &mut Settings, oauth: OAuth) -> Option<Self> {
        if let Some(option) = oauth.misplaced {
            let what =
                format!("has the option {option}, which the grant {:?} does not have", oauth.grant.name());
            settings.problem(settings::Source::Code("oauth"), what);
        }
        let grant = oauth.grant.name();
        let client = oauth.client.map(|client| ClientProof::resolve(settings, client));
        let means = Means::resolve(settings, oauth.grant, client.as_ref());
        let token_url = match means {
            Some(Means::Google { .. }) if oauth.token_url.url.is_empty() => None,
            Some(_) | None => Some(url(settings, &oauth.token_url, "token URL")?),
        };
        let client = match client {
            Some(client) => Some(client?),
            None => None,
        };
        Some(Self {
            means: means?,
            token_url,
            client,
            in_body: oauth.in_body,
            scope: oauth.scope,
            audience: oauth.audience,
            parameters: oauth.parameters,
            authorize_parameters: oauth.authorize_parameters,
            grant,
        })
    }

    /// Where tokens are given.
    ///
    /// # Errors
    /// Says what is wrong with the key file that should say it.
    pub(crate) fn token_url(&self, http_hosts: &[String]) -> Result<Url, String> {
        match (&self.token_url, &self.means) {
            (Some(url), _) => Ok(url.clone()),
            (None, Means::Google { file, .. }) => {
                let account = ServiceAccount::read(&file.current())?;
                checked(&account.token_uri, http_hosts).map_err(|what| format!("token_uri {what}"))
            }
            (None, _) => Err("there is no token URL".into()),
        }
    }

    /// Where new tokens come from, in the words of what is kept.
    pub(crate) fn source<'a>(&self, standing: &'a Standing) -> record::Source<'a> {
        match (&self.means, &standing.seed) {
            (Means::RefreshToken { .. }, Some(seed)) => record::Source::Seed(seed),
            (Means::AuthorizationCode { .. } | Means::RefreshToken { .. }, _) => record::Source::Consent,
            (
                Means::ClientCredentials
                | Means::JwtBearer { .. }
                | Means::Google { .. }
                | Means::TokenExchange { .. },
                _,
            ) => record::Source::Asked,
        }
    }

    /// Whether something must be kept that nobody can ask for again.
    pub(crate) fn must_keep(&self) -> bool {
        matches!(self.means, Means::AuthorizationCode { .. } | Means::RefreshToken { .. })
    }

    /// Whether somebody has to give consent.
    pub(crate) fn needs_consent(&self) -> bool {
        matches!(self.means, Means::AuthorizationCode { .. })
    }

    /// The value of the refresh token's variable, if it begins with one.
    pub(crate) fn seed(&self) -> Option<Secret> {
        match &self.means {
            Means::RefreshToken { seed } => Some(seed.current()),
            Means::ClientCredentials
            | Means::AuthorizationCode { .. }
            | Means::JwtBearer { .. }
            | Means::Google { .. }
            | Means::TokenExchange { .. } => None,
        }
    }

    /// Whether its provider is on this machine.
    pub(crate) fn is_on_loopback(&self, http_hosts: &[String]) -> bool {
        let address = self
            .token_url(http_hosts)
            .ok()
            .and_then(|url| Address::base(&url.origin().ascii_serialization(), http_hosts).ok());
        address.is_some_and(|address| address.is_loopback())
    }

    /// The name of the grant, for people.
    pub(crate) fn grant(&self) -> &'static str {
        self.grant
    }

    /// Where its secrets come from, for people.
    pub(crate) fn variables(&self) -> Vec<&str> {
        let client = self.client.as_ref().map(|client| match &client.proof {
            ProofNow::Secret(secret) | ProofNow::Key(secret) => secret.variable(),
            ProofNow::None => client.id.variable(),
        });
        let own = match &self.means {
            Means::RefreshToken { seed: secret }
            | Means::JwtBearer { key: secret, .. }
            | Means::Google { file: secret, .. }
            | Means::TokenExchange { subject_token: secret, .. } => secret.variable(),
            Means::ClientCredentials | Means::AuthorizationCode { .. } => None,
        };
        own.into_iter().chain(client.flatten()).collect()
    }

    /// Whose tokens they are. What is asked for counts only where it can be asked for anew: a consent is not void because
    /// the code asks for more.
    pub(crate) fn standing(&self) -> Standing {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        };
        add(self.grant);
        add(self.token_url.as_ref().map_or("", Url::as_str));
        if let Some(client) = &self.client {
            add(client.id.current().expose());
        }
        if !self.must_keep() {
            [&self.scope, &self.audience].into_iter().for_each(|part| add(part.as_deref().unwrap_or("-")));
            self.parameters.iter().for_each(|(name, value)| {
                add(name);
                add(value);
            });
        }
        match &self.means {
            Means::JwtBearer { issuer, subject, .. } => {
                add(issuer.current().expose());
                add(subject.as_ref().map(LiveSecret::current).as_ref().map_or("", Secret::expose));
            }
            Means::Google { file, subject } => {
                add(file.current().expose());
                add(subject.as_deref().unwrap_or(""));
            }
            Means::TokenExchange { kind, .. } => add(kind),
            Means::ClientCredentials | Means::RefreshToken { .. } | Means::AuthorizationCode { .. } => {}
        }
        let seed = self.seed().map(|seed| hash_text(seed.expose()));
        Standing { identity: hex::encode(hash.finalize()), seed }
    }
}

impl Means {
    fn resolve(settings: &mut Settings, grant: Grant, client: Option<&Option<ClientProof>>) -> Option<Self> {
        match grant {
            Grant::ClientCredentials => {
                let option = "client_env(\"CLIENT_ID\", \"CLIENT_SECRET\")";
                needed(settings, client, option)?;
                Some(Self::ClientCredentials)
            }
            Grant::RefreshToken { seed } => {
                let seed = needed(settings, seed, "refresh_token_env(\"REFRESH_TOKEN\")")?;
                Some(Self::RefreshToken { seed: seed.find(settings, "refresh token")? })
            }
            Grant::AuthorizationCode { authorize_url, issuer } => {
                let authorize_url = url(settings, &authorize_url, "authorize URL");
                needed(settings, client, "client_env(\"CLIENT_ID\", \"CLIENT_SECRET\")")?;
                Some(Self::AuthorizationCode { authorize_url: authorize_url?, issuer })
            }
            Grant::JwtBearer(statement) => Self::statement(settings, statement, client),
            Grant::GoogleServiceAccount { file, subject } => {
                let found = file.find(settings, "service account's key file")?;
                let read = |file: &Secret| {
                    SigningKey::read(&ServiceAccount::read(file)?.private_key())
                        .map_err(|what| format!("private_key {what}"))
                };
                check(settings, &found, read)?;
                Some(Self::Google { file: found, subject })
            }
            Grant::TokenExchange { subject_token, subject_kind } => {
                let token = needed(settings, subject_token, "subject_token_env(\"TOKEN\")")?;
                let subject_token = token.find(settings, "token to exchange")?;
                Some(Self::TokenExchange { subject_token, kind: subject_kind })
            }
        }
    }

    fn statement(
        settings: &mut Settings,
        statement: Statement,
        client: Option<&Option<ClientProof>>,
    ) -> Option<Self> {
        let key = needed(settings, statement.key, "key_env(\"PRIVATE_KEY\")")?;
        let key = key.find(settings, "private key")?;
        check(settings, &key, SigningKey::read)?;
        let issuer = match (statement.issuer, client) {
            (Some(issuer), _) => issuer.find_name(settings, "issuer")?,
            (None, Some(client)) => client.as_ref()?.id.clone(),
            (None, None) => needed(settings, None, "issuer(\"client-id\")")?,
        };
        let subject = match statement.subject {
            Some(subject) => Some(subject.find_name(settings, "subject")?),
            None => None,
        };
        Some(Self::JwtBearer { key, key_id: statement.key_id, issuer, subject, audience: statement.audience })
    }
}

impl ClientProof {
    fn resolve(settings: &mut Settings, client: Client) -> Option<Self> {
        let id = client.id.find_name(settings, "OAuth client id");
        let proof = match client.proof {
            Proof::Secret(secret) => secret.find(settings, "OAuth client secret").map(ProofNow::Secret),
            Proof::Key(key) => {
                let key = key.find(settings, "OAuth client's private key")?;
                check(settings, &key, SigningKey::read).map(|()| ProofNow::Key(key))
            }
            Proof::None => Some(ProofNow::None),
        };
        Some(Self { id: id?, proof: proof? })
    }
}

impl Given {
    fn find(self, settings: &mut Settings, what: &str) -> Option<LiveSecret> {
        match self {
            Self::Value(value) => {
                Arc::make_mut(&mut settings.scrub).add(value.expose());
                Some(LiveSecret::fixed(value))
            }
            Self::Variable(variable) => settings.live_secret(&variable, what),
        }
    }

    /// What is no secret, and may be seen.
    fn find_name(self, settings: &mut Settings, what: &str) -> Option<LiveSecret> {
        match self {
            Self::Value(value) => Some(LiveSecret::fixed(value)),
            Self::Variable(variable) => settings.live_name(&variable, what),
        }
    }
}

/// What the grant cannot do without.
fn needed<T>(settings: &mut Settings, given: Option<T>, option: &str) -> Option<T> {
    if given.is_none() {
        settings.problem(settings::Source::Code("oauth"), format!("is not complete: add .{option}"));
    }
    given
}

/// Looks at a value that has a form of its own. Stand-ins of tests have none.
fn check<T>(
    settings: &mut Settings,
    secret: &LiveSecret,
    read: impl FnOnce(&Secret) -> Result<T, String>,
) -> Option<()> {
    if settings.variables.is_testing() {
        return Some(());
    }
    match read(&secret.current()) {
        Ok(_) => Some(()),
        Err(what) => {
            let variable = secret.variable().unwrap_or("oauth").to_owned();
            settings.problem(settings::Source::Variable(&variable), what);
            None
        }
    }
}

fn url(settings: &mut Settings, place: &Place, what: &str) -> Option<Url> {
    let found =
        place.variable.as_deref().and_then(|variable| Some((variable, settings.variables.get(variable)?)));
    let (source, text) = match &found {
        Some((variable, text)) => (settings::Source::Variable(variable), text.as_str()),
        None => (settings::Source::Code("oauth"), place.url.as_str()),
    };
    match checked(text, &settings.http_hosts) {
        Ok(url) => Some(url),
        Err(problem) => {
            settings.problem(source, format!("{what}: {problem}"));
            None
        }
    }
}

/// By the rules of base URLs, but for its query.
pub(crate) fn checked(text: &str, http_hosts: &[String]) -> Result<Url, String> {
    let parsed = Url::parse(text).ok();
    let plain = parsed.clone().map(|mut url| {
        url.set_query(None);
        url
    });
    Address::base(plain.as_ref().map_or(text, Url::as_str), http_hosts)?;
    Ok(parsed.expect("an address is a URL"))
}

/// Shows the grant, the token URL's host and the variables.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.token_url.as_ref().and_then(Url::host_str).unwrap_or("as its key file says");
        write!(f, "OAuth({} at {host} from {})", self.grant, self.variables().join(", "))
    }
}
