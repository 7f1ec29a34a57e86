//! How an Api gets its tokens, as its author says it.

use std::fmt;

use bowline_model::Secret;

mod options;

/// OAuth 2.0: how an Api gets the tokens that it sends as `Authorization: Bearer`.
///
/// | Grant | For |
/// |---|---|
/// | [`client_credentials`](OAuth::client_credentials) | the program acts for itself |
/// | [`authorization_code`](OAuth::authorization_code) | somebody gives consent on a page; always with PKCE (S256) and `state` |
/// | [`refresh_token`](OAuth::refresh_token) | as before, and the first refresh token comes from a variable |
/// | [`jwt_bearer`](OAuth::jwt_bearer) | a signed statement (RFC 7523) |
/// | [`google_service_account_env`](OAuth::google_service_account_env) | the same, from Google's key file |
/// | [`token_exchange`](OAuth::token_exchange) | a token for another token (RFC 8693) |
///
/// Tokens are renewed before they end, in the background, one renewal at a time per account, in the process and between
/// nodes. Every variable can also be given as `NAME_FILE`, the path of a file, which is read again when it changes.
///
/// # A program that acts for itself
/// ```
/// use bowline_client::{Api, OAuth};
/// use bowline_model::Variables;
///
/// let variables = Variables::new(|name| match name {
///     "CRM_CLIENT_ID" => Some("client-1".into()),
///     _ => None,
/// });
/// let crm = Api::with_variables("crm", variables.clone()).base_url("https://api.crm.example").oauth(
///     OAuth::client_credentials("https://id.crm.example/oauth/token")
///         .client_env("CRM_CLIENT_ID", "CRM_CLIENT_SECRET")
///         .scope("contacts.read contacts.write"),
/// );
/// assert_eq!(variables.problems()[0].0, "CRM_CLIENT_SECRET");
/// ```
///
/// # Durability
/// Tokens are kept sealed in the [`Vault`](crate::Vault)'s store. A refresh token that a provider rotated is on disk
/// before the new access token is used: a crash just after loses nothing. A crash between the provider's answer and the
/// disk loses the new refresh token; the old one is tried, which most providers still take for a while.
#[derive(Clone)]
pub struct OAuth {
    pub(crate) grant: Grant,
    pub(crate) token_url: Place,
    pub(crate) client: Option<Client>,
    pub(crate) in_body: bool,
    pub(crate) scope: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) authorize_parameters: Vec<(String, String)>,
    /// The first option that its grant does not have.
    pub(crate) misplaced: Option<&'static str>,
}

/// What is asked with.
#[derive(Clone)]
pub(crate) enum Grant {
    ClientCredentials,
    RefreshToken { seed: Option<Given> },
    AuthorizationCode { authorize_url: Place, issuer: Option<String> },
    JwtBearer(Statement),
    GoogleServiceAccount { file: Given, subject: Option<String> },
    TokenExchange { subject_token: Option<Given>, subject_kind: String },
}

/// A signed statement.
#[derive(Clone, Default)]
pub(crate) struct Statement {
    pub(crate) key: Option<Given>,
    pub(crate) key_id: Option<String>,
    pub(crate) issuer: Option<Given>,
    pub(crate) subject: Option<Given>,
    pub(crate) audience: Option<String>,
}

/// A URL in the code, and the variable that goes before it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) variable: Option<String>,
}

/// A value that is given in the code, or by a variable.
#[derive(Clone)]
pub(crate) enum Given {
    Value(Secret),
    Variable(String),
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: Given,
    pub(crate) proof: Proof,
}

/// How the client proves itself.
#[derive(Clone)]
pub(crate) enum Proof {
    Secret(Given),
    /// A signed statement (RFC 7523 §2.2): `private_key_jwt`.
    Key(Given),
    /// A public client: it cannot keep a secret.
    None,
}

/// The type of a token that is an access token (RFC 8693 §3).
const ACCESS_TOKEN_KIND: &str = "urn:ietf:params:oauth:token-type:access_token";

impl OAuth {
    fn new(grant: Grant, token_url: &str) -> Self {
        Self {
            grant,
            token_url: Place { url: token_url.to_owned(), variable: None },
            client: None,
            in_body: false,
            scope: None,
            audience: None,
            parameters: vec![],
            authorize_parameters: vec![],
            misplaced: None,
        }
    }

    /// The program acts for itself (RFC 6749 §4.4).
    ///
    /// # A machine's own access
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").client_env("CRM_ID", "CRM_SECRET");
    /// ```
    pub fn client_credentials(token_url: &str) -> Self {
        Self::new(Grant::ClientCredentials, token_url)
    }

    /// Begins with a refresh token of a variable (RFC 6749 §6): see
    /// [`refresh_token_env`](OAuth::refresh_token_env). What the provider gives in its place is kept; a new value of the
    /// variable goes before what is kept.
    ///
    /// # A refresh token that somebody fetched by hand
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::refresh_token("https://identity.xero.com/connect/token")
    ///     .client_env("XERO_CLIENT_ID", "XERO_CLIENT_SECRET")
    ///     .refresh_token_env("XERO_REFRESH_TOKEN");
    /// ```
    pub fn refresh_token(token_url: &str) -> Self {
        Self::new(Grant::RefreshToken { seed: None }, token_url)
    }

    /// Somebody gives consent on the provider's page (RFC 6749 §4.1), once per account: [`Consent`](crate::Consent).
    /// Always with PKCE (S256) and a `state` that is used once.
    ///
    /// # An account that a person connects
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::authorization_code(
    ///     "https://accounts.google.com/o/oauth2/v2/auth",
    ///     "https://oauth2.googleapis.com/token",
    /// )
    /// .client_env("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET")
    /// .scope("https://www.googleapis.com/auth/calendar")
    /// .authorize_parameter("access_type", "offline");
    /// ```
    pub fn authorization_code(authorize_url: &str, token_url: &str) -> Self {
        let authorize_url = Place { url: authorize_url.to_owned(), variable: None };
        Self::new(Grant::AuthorizationCode { authorize_url, issuer: None }, token_url)
    }

    /// A statement that is signed with a private key (RFC 7523 §2.1).
    ///
    /// # A connected app of Salesforce
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::jwt_bearer("https://login.salesforce.com/services/oauth2/token")
    ///     .key_env("SALESFORCE_KEY")
    ///     .issuer_env("SALESFORCE_CLIENT_ID")
    ///     .subject("robot@example.com")
    ///     .statement_audience("https://login.salesforce.com");
    /// ```
    pub fn jwt_bearer(token_url: &str) -> Self {
        Self::new(Grant::JwtBearer(Statement::default()), token_url)
    }

    /// A service account of Google: the variable holds the content of its key file (JSON), or `NAME_FILE` its path.
    ///
    /// # A service account that reads sheets
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// let oauth = OAuth::google_service_account_env("GOOGLE_CREDENTIALS")
    ///     .scope("https://www.googleapis.com/auth/spreadsheets.readonly");
    /// ```
    pub fn google_service_account_env(variable: &str) -> Self {
        let file = Given::Variable(variable.to_owned());
        Self::new(Grant::GoogleServiceAccount { file, subject: None }, "")
    }

    /// A token in place of another one (RFC 8693): see [`subject_token_env`](OAuth::subject_token_env).
    ///
    /// # The token that a platform mounts as a file, for one of the cloud
    /// ```
    /// use bowline_client::OAuth;
    ///
    /// // WORKLOAD_TOKEN_FILE=/var/run/secrets/tokens/workload
    /// let oauth = OAuth::token_exchange("https://sts.example.com/token")
    ///     .subject_token_env("WORKLOAD_TOKEN")
    ///     .subject_token_kind("urn:ietf:params:oauth:token-type:jwt")
    ///     .audience("storage");
    /// ```
    pub fn token_exchange(token_url: &str) -> Self {
        let subject_kind = ACCESS_TOKEN_KIND.to_owned();
        Self::new(Grant::TokenExchange { subject_token: None, subject_kind }, token_url)
    }
}

impl Grant {
    /// Its name, for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::ClientCredentials => "client credentials",
            Self::RefreshToken { .. } => "refresh token",
            Self::AuthorizationCode { .. } => "authorization code",
            Self::JwtBearer(_) => "JWT bearer",
            Self::GoogleServiceAccount { .. } => "Google service account",
            Self::TokenExchange { .. } => "token exchange",
        }
    }
}

/// Shows the grant and the token URL.
impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuth({} from {})", self.grant.name(), self.token_url.url)
    }
}
