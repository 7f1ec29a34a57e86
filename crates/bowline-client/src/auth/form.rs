//! What a token endpoint is asked, as parameters: pure but for the signature of a statement.
//!
//! | Grant | Parameters beside the client's |
//! |---|---|
//! | client credentials | `grant_type`, `scope` |
//! | refresh token | `grant_type`, `refresh_token` |
//! | authorization code | `grant_type`, `code`, `redirect_uri`, `code_verifier` |
//! | JWT bearer | `grant_type`, `assertion`, `scope` |
//! | token exchange | `grant_type`, `subject_token`, `subject_token_type`, `scope` |

use bowline_model::{Clock, Secret};
use url::{Url, form_urlencoded::byte_serialize};

use crate::auth::{
    assertion::{Claims, ServiceAccount, SigningKey},
    config::{ClientProof, Config, Means, ProofNow},
    pkce::random_text,
};

/// One question to a token endpoint.
pub(crate) struct Question {
    pub(crate) url: Url,
    pub(crate) form: Vec<(String, Secret)>,
    /// Id and secret, encoded for the header.
    pub(crate) basic: Option<(String, Secret)>,
    /// What must be seen nowhere.
    pub(crate) secrets: Vec<Secret>,
}

/// What a token is asked for with.
pub(crate) enum Asking<'a> {
    /// The client's own proof.
    Client,
    Refresh(&'a Secret),
    Code {
        code: &'a Secret,
        verifier: &'a Secret,
        redirect_uri: &'a str,
    },
}

impl Config {
    /// Puts a question together.
    ///
    /// # Errors
    /// Says which setting is of no use.
    pub(crate) fn question(
        &self,
        asking: &Asking<'_>,
        http_hosts: &[String],
        clock: &dyn Clock,
    ) -> Result<Question, String> {
        let url = self.token_url(http_hosts)?;
        let mut question = Question { url, form: vec![], basic: None, secrets: vec![] };
        match asking {
            Asking::Client => self.by_itself(&mut question, clock)?,
            Asking::Refresh(token) => {
                question.say("grant_type", "refresh_token");
                question.hide("refresh_token", token);
            }
            Asking::Code { code, verifier, redirect_uri } => {
                question.say("grant_type", "authorization_code");
                question.hide("code", code);
                question.say("redirect_uri", redirect_uri);
                question.hide("code_verifier", verifier);
            }
        }
        if let Some(audience) = &self.audience {
            question.say("audience", audience);
        }
        for (name, value) in &self.parameters {
            question.say(name, value);
        }
        if let Some(client) = &self.client {
            question.prove(client, self.in_body, clock)?;
        }
        Ok(question)
    }

    fn by_itself(&self, question: &mut Question, clock: &dyn Clock) -> Result<(), String> {
        const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
        let id = random_text(clock);
        match &self.means {
            Means::ClientCredentials => question.say("grant_type", "client_credentials"),
            Means::JwtBearer { key, key_id, issuer, subject, audience } => {
                let (issuer, subject) = (issuer.current(), subject.as_ref().map(|subject| subject.current()));
                let audience = audience.as_deref().unwrap_or(question.url.as_str()).to_owned();
                let mut claims = Claims::new(issuer.expose(), &audience, id.expose(), clock.now());
                claims.sub = Some(subject.as_ref().map_or(issuer.expose(), Secret::expose));
                let assertion = SigningKey::read(&key.current())?.sign(key_id.as_deref(), &claims)?;
                question.say("grant_type", JWT_BEARER);
                question.hide("assertion", &assertion);
            }
            Means::Google { file, subject } => {
                let account = ServiceAccount::read(&file.current())?;
                let mut claims =
                    Claims::new(&account.client_email, &account.token_uri, id.expose(), clock.now());
                (claims.sub, claims.scope) = (subject.as_deref(), self.scope.as_deref());
                let key = SigningKey::read(&account.private_key())?;
                question.say("grant_type", JWT_BEARER);
                question.hide("assertion", &key.sign(account.private_key_id.as_deref(), &claims)?);
                // Its scope is in the statement.
                return Ok(());
            }
            Means::TokenExchange { subject_token, kind } => {
                question.say("grant_type", EXCHANGE);
                question.hide("subject_token", &subject_token.current());
                question.say("subject_token_type", kind);
            }
            Means::RefreshToken { .. } | Means::AuthorizationCode { .. } => {
                return Err("this grant begins with a refresh token or a code".into());
            }
        }
        if let Some(scope) = &self.scope {
            question.say("scope", scope);
        }
        Ok(())
    }
}

impl Question {
    fn say(&mut self, name: &str, value: &str) {
        self.form.push((name.to_owned(), Secret::new(value)));
    }

    fn hide(&mut self, name: &str, value: &Secret) {
        self.form.push((name.to_owned(), value.clone()));
        self.secrets.push(value.clone());
    }

    /// Adds who asks (RFC 6749 §2.3, RFC 7523 §2.2).
    fn prove(&mut self, client: &ClientProof, in_body: bool, clock: &dyn Clock) -> Result<(), String> {
        const STATEMENT: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let id = client.id.current();
        match &client.proof {
            ProofNow::None => self.say("client_id", id.expose()),
            ProofNow::Secret(secret) if in_body => {
                self.say("client_id", id.expose());
                self.hide("client_secret", &secret.current());
            }
            ProofNow::Secret(secret) => {
                let secret = secret.current();
                // RFC 6749 §2.3.1: both are encoded as a form's values before they are put together.
                let encoded = |text: &Secret| byte_serialize(text.expose().as_bytes()).collect::<String>();
                self.basic = Some((encoded(&id), Secret::new(encoded(&secret))));
                self.secrets.push(secret);
            }
            ProofNow::Key(key) => {
                let statement_id = random_text(clock);
                let audience = self.url.to_string();
                let mut claims = Claims::new(id.expose(), &audience, statement_id.expose(), clock.now());
                claims.sub = Some(id.expose());
                let statement = SigningKey::read(&key.current())?.sign(None, &claims)?;
                self.say("client_id", id.expose());
                self.say("client_assertion_type", STATEMENT);
                self.hide("client_assertion", &statement);
            }
        }
        Ok(())
    }
}
