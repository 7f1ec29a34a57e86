//! Options of a grant. One that its grant does not have is a problem of the Api's variables.

use bowline_model::Secret;

use super::{Client, Given, Grant, OAuth, Proof, Statement};

impl OAuth {
    /// That variable goes before the token URL in the code, where it is set: for deployments that differ.
    ///
    /// # A sandbox in staging
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").token_url_env("CRM_TOKEN_URL");
    /// ```
    pub fn token_url_env(mut self, variable: &str) -> Self {
        self.token_url.variable = Some(variable.to_owned());
        self
    }

    /// As [`token_url_env`](OAuth::token_url_env), for the page where consent is given.
    ///
    /// # A sandbox in staging
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let page = "https://id.crm.example/authorize";
    /// let oauth = OAuth::authorization_code(page, "https://id.crm.example/token").authorize_url_env("CRM_AUTHORIZE_URL");
    /// ```
    pub fn authorize_url_env(mut self, variable: &str) -> Self {
        let Grant::AuthorizationCode { authorize_url, .. } = &mut self.grant else {
            return self.misplaced("authorize_url_env");
        };
        authorize_url.variable = Some(variable.to_owned());
        self
    }

    /// The client's id and secret. They go into the header (`client_secret_basic`) unless
    /// [`client_in_body`](OAuth::client_in_body) is set.
    ///
    /// # A client of a test
    /// ```
    /// use bowline_client::OAuth;
    /// use bowline_model::Secret;
    ///
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").client("client-1", Secret::new("client-secret"));
    /// ```
    pub fn client(self, id: &str, secret: Secret) -> Self {
        self.by(Given::Value(Secret::new(id)), Proof::Secret(Given::Value(secret)))
    }

    /// As [`client`](OAuth::client), from two variables.
    ///
    /// # From the environment, or from files
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// // CRM_CLIENT_ID=client-1 CRM_CLIENT_SECRET_FILE=/run/secrets/crm
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").client_env("CRM_CLIENT_ID", "CRM_CLIENT_SECRET");
    /// ```
    pub fn client_env(self, id_variable: &str, secret_variable: &str) -> Self {
        let secret = Given::Variable(secret_variable.to_owned());
        self.by(Given::Variable(id_variable.to_owned()), Proof::Secret(secret))
    }

    /// A client without a secret: only its id is sent.
    ///
    /// # An app without a secret
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let page = "https://id.crm.example/authorize";
    /// let oauth = OAuth::authorization_code(page, "https://id.crm.example/token").public_client("client-1");
    /// ```
    pub fn public_client(self, id: &str) -> Self {
        self.by(Given::Value(Secret::new(id)), Proof::None)
    }

    /// As [`public_client`](OAuth::public_client), from a variable.
    ///
    /// # An app without a secret
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let page = "https://id.crm.example/authorize";
    /// let oauth = OAuth::authorization_code(page, "https://id.crm.example/token").public_client_env("CRM_CLIENT_ID");
    /// ```
    pub fn public_client_env(self, id_variable: &str) -> Self {
        self.by(Given::Variable(id_variable.to_owned()), Proof::None)
    }

    /// The client's id, and the private key (PEM) with which it proves itself (`private_key_jwt`), from two variables.
    ///
    /// # A key instead of a secret
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").client_key_env("CRM_CLIENT_ID", "CRM_PRIVATE_KEY");
    /// ```
    pub fn client_key_env(self, id_variable: &str, key_variable: &str) -> Self {
        let key = Given::Variable(key_variable.to_owned());
        self.by(Given::Variable(id_variable.to_owned()), Proof::Key(key))
    }

    fn by(mut self, id: Given, proof: Proof) -> Self {
        self.client = Some(Client { id, proof });
        self
    }

    /// Sends the client's secret in the body (`client_secret_post`), for providers that do not read the header.
    ///
    /// # A provider that reads the body only
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").client_env("CRM_CLIENT_ID", "CRM_CLIENT_SECRET").client_in_body();
    /// ```
    pub fn client_in_body(mut self) -> Self {
        self.in_body = true;
        self
    }

    /// What the token may do, separated by spaces.
    ///
    /// # Two things
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").scope("contacts.read contacts.write");
    /// ```
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    /// What the token is for, as the parameter `audience`.
    ///
    /// # A token for one of several APIs
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").audience("https://api.crm.example");
    /// ```
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = Some(audience.to_owned());
        self
    }

    /// One more parameter of the token request, as `resource`.
    ///
    /// # A resource (RFC 8707)
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").parameter("resource", "https://api.crm.example");
    /// ```
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more parameter of the page where consent is given, as `prompt`.
    ///
    /// # To be asked each time
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let page = "https://id.crm.example/authorize";
    /// let oauth = OAuth::authorization_code(page, "https://id.crm.example/token").authorize_parameter("prompt", "consent");
    /// ```
    pub fn authorize_parameter(mut self, name: &str, value: &str) -> Self {
        self.authorize_parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The provider's name for itself, which must come back with the consent (RFC 9207): for programs that speak with
    /// several providers.
    ///
    /// # One of several providers
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let page = "https://id.crm.example/authorize";
    /// let oauth = OAuth::authorization_code(page, "https://id.crm.example/token").issuer_identifier("https://id.crm.example");
    /// ```
    pub fn issuer_identifier(mut self, identifier: &str) -> Self {
        let Grant::AuthorizationCode { issuer, .. } = &mut self.grant else {
            return self.misplaced("issuer_identifier");
        };
        *issuer = Some(identifier.to_owned());
        self
    }

    /// The first refresh token, from a variable. For [`refresh_token`](OAuth::refresh_token).
    ///
    /// # A token that somebody fetched by hand
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::refresh_token("https://id.crm.example/token").refresh_token_env("CRM_REFRESH_TOKEN");
    /// ```
    pub fn refresh_token_env(mut self, variable: &str) -> Self {
        let Grant::RefreshToken { seed } = &mut self.grant else {
            return self.misplaced("refresh_token_env");
        };
        *seed = Some(Given::Variable(variable.to_owned()));
        self
    }

    /// The token that is exchanged, from a variable. For [`token_exchange`](OAuth::token_exchange).
    ///
    /// # The token that a platform mounts as a file
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// // WORKLOAD_TOKEN_FILE=/var/run/secrets/tokens/workload
    /// let oauth = OAuth::token_exchange("https://id.crm.example/token").subject_token_env("WORKLOAD_TOKEN");
    /// ```
    pub fn subject_token_env(mut self, variable: &str) -> Self {
        let Grant::TokenExchange { subject_token, .. } = &mut self.grant else {
            return self.misplaced("subject_token_env");
        };
        *subject_token = Some(Given::Variable(variable.to_owned()));
        self
    }

    /// What kind of token is exchanged: an access token unless set (RFC 8693 §3).
    ///
    /// # A JWT
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::token_exchange("https://id.crm.example/token").subject_token_kind("urn:ietf:params:oauth:token-type:jwt");
    /// ```
    pub fn subject_token_kind(mut self, kind: &str) -> Self {
        let Grant::TokenExchange { subject_kind, .. } = &mut self.grant else {
            return self.misplaced("subject_token_kind");
        };
        *subject_kind = kind.to_owned();
        self
    }

    /// The private key (PEM) of the statement, from a variable. For [`jwt_bearer`](OAuth::jwt_bearer).
    ///
    /// # A key of a connected app
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::jwt_bearer("https://id.crm.example/token").key_env("CRM_PRIVATE_KEY").issuer("client-1");
    /// ```
    pub fn key_env(self, variable: &str) -> Self {
        self.state("key_env", |statement| statement.key = Some(Given::Variable(variable.to_owned())))
    }

    /// The name under which the provider knows the key (`kid`).
    ///
    /// # One of several keys
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::jwt_bearer("https://id.crm.example/token").key_env("CRM_PRIVATE_KEY").key_id("2026-11");
    /// ```
    pub fn key_id(self, id: &str) -> Self {
        self.state("key_id", |statement| statement.key_id = Some(id.to_owned()))
    }

    /// Who makes the statement (`iss`); the client's id unless set.
    ///
    /// # A connected app
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::jwt_bearer("https://id.crm.example/token").key_env("CRM_PRIVATE_KEY").issuer("client-1");
    /// ```
    pub fn issuer(self, issuer: &str) -> Self {
        self.state("issuer", |statement| statement.issuer = Some(Given::Value(Secret::new(issuer))))
    }

    /// As [`issuer`](OAuth::issuer), from a variable.
    ///
    /// # A connected app
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::jwt_bearer("https://id.crm.example/token").key_env("CRM_PRIVATE_KEY").issuer_env("CRM_CLIENT_ID");
    /// ```
    pub fn issuer_env(self, variable: &str) -> Self {
        self.state("issuer_env", |statement| statement.issuer = Some(Given::Variable(variable.to_owned())))
    }

    /// For whom the token is (`sub`): the user that a service account acts for.
    ///
    /// # A user of the organisation
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::google_service_account_env("GOOGLE_CREDENTIALS").subject("robot@example.com");
    /// ```
    pub fn subject(mut self, subject: &str) -> Self {
        if let Grant::GoogleServiceAccount { subject: known, .. } = &mut self.grant {
            *known = Some(subject.to_owned());
            return self;
        }
        self.state("subject", |statement| statement.subject = Some(Given::Value(Secret::new(subject))))
    }

    /// As [`subject`](OAuth::subject) of a statement, from a variable.
    ///
    /// # A user of the organisation
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::jwt_bearer("https://id.crm.example/token").key_env("CRM_PRIVATE_KEY").subject_env("CRM_USER");
    /// ```
    pub fn subject_env(self, variable: &str) -> Self {
        self.state("subject_env", |statement| statement.subject = Some(Given::Variable(variable.to_owned())))
    }

    /// To whom the statement is made (`aud`); the token URL unless set.
    ///
    /// # An audience that is not the token URL
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::jwt_bearer("https://id.crm.example/token").statement_audience("https://login.crm.example");
    /// ```
    pub fn statement_audience(self, audience: &str) -> Self {
        self.state("statement_audience", |statement| statement.audience = Some(audience.to_owned()))
    }

    fn state(mut self, option: &'static str, change: impl FnOnce(&mut Statement)) -> Self {
        let Grant::JwtBearer(statement) = &mut self.grant else {
            return self.misplaced(option);
        };
        change(statement);
        self
    }

    fn misplaced(mut self, option: &'static str) -> Self {
        self.misplaced.get_or_insert(option);
        self
    }
}
