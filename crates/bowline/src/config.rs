//! Configuration from the environment, every problem of it named at once.
//!
//! | Variable | Default | What |
//! |---|---|---|
//! | `BOWLINE_LISTEN` | `127.0.0.1:8080`; with `PORT` set, `0.0.0.0:$PORT` | where webhooks come in |
//! | `BOWLINE_PUBLIC_URL` | none | where senders reach the app, e.g. `https://hooks.example.com`, with the prefix that a proxy takes off: for providers that sign the URL |
//! | `BOWLINE_ADMIN` | `127.0.0.1:8081` | the admin API and the health checks |
//! | `BOWLINE_TLS_CERT`, `BOWLINE_TLS_KEY` | none | files in PEM, a chain and its key: webhooks come in by TLS, and only so. Both or neither; read anew when they change. The admin address never speaks TLS |
//! | `BOWLINE_TRUSTED_PROXIES` | none said | the proxies in front, addresses and ranges separated by commas, as `10.0.0.0/8`; or `none`. What they say of a client (`X-Forwarded-For` or `Forwarded`, which they must set themselves) is believed. Needed by routes with `allow_ips`; once it is said, each client is limited in connections and requests |
//! | `BOWLINE_ALERT_URL` | none | a chat's hook that is told of dead letters and of refused credentials; a secret as a whole |
//! | `BOWLINE_ADMIN_URL` | none | where people reach the admin pages: for links in alerts, and for providers that send them back there after a consent |
//! | `BOWLINE_TOKEN_KEY` | none | the key that tokens are sealed with in the store (`openssl rand -base64 32`); needed by Apis whose tokens must outlive the process. Several, separated by commas: the first seals, all open. `BOWLINE_TOKEN_KEY_FILE` names a file with it |
//! | `BOWLINE_STORE` | `sqlite:bowline.db` | the store; `?reserve_mib=64` is the disk space that accepting leaves free |
//! | `BOWLINE_CHECK_JOURNALS` | `off` | `on`: `serve` begins nothing if a run under way would not fit this build, as `check --journals` finds it, and says which |
//! | `BOWLINE_LOG` | `pretty` on a terminal, else `json` | the form of the logs |
//! | `BOWLINE_LOG_LEVEL` | `info` | which logs: a level, or directives as `bowline_client=debug,info` |

use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, sync::Arc};

use bowline_ingress::{Tls, TlsError, TrustedProxies};
use bowline_model::{SystemClock, Variables};
use bowline_store::sqlite::{SqliteOptions, Synchronous};

use crate::{alerts::AlertConfig, guard};

/// Names the file of the certificate chain.
pub(crate) const TLS_CERT_VARIABLE: &str = "BOWLINE_TLS_CERT";
/// Names the file of its key.
pub(crate) const TLS_KEY_VARIABLE: &str = "BOWLINE_TLS_KEY";

/// An app's configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Without a slash at its end.
    pub(crate) public_url: Option<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) proxies: Option<TrustedProxies>,
    pub(crate) store: StoreConfig,
    pub(crate) alerts: AlertConfig,
    pub(crate) log: LogForm,
    pub(crate) log_level: String,
    /// Whether runs under way must fit before anything is begun.
    pub(crate) check_journals: bool,
}

/// Where the store is, and its options.
#[derive(Debug, Clone)]
pub(crate) struct StoreConfig {
    pub(crate) path: PathBuf,
    pub(crate) options: SqliteOptions,
}

/// The form of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogForm {
    Pretty,
    Json,
}

impl Config {
    /// Reads the configuration; what is wrong is recorded in `variables`, and its default stands in.
    pub(crate) fn read(variables: &Variables) -> Self {
        Self {
            listen: listen(variables),
            admin: address(variables, "BOWLINE_ADMIN", "127.0.0.1:8081"),
            public_url: public_url(variables),
            tls: tls(variables),
            proxies: guard::trusted_proxies(variables),
            store: store(variables),
            alerts: AlertConfig::read(variables),
            log: log(variables),
            log_level: log_level(variables),
            check_journals: check_journals(variables),
        }
    }
}

fn listen(variables: &Variables) -> SocketAddr {
    let default = match (variables.get("BOWLINE_LISTEN"), variables.get("PORT")) {
        (None, Some(port)) => match port.parse::<u16>() {
            Ok(port) => return SocketAddr::from(([0, 0, 0, 0], port)),
            Err(_) => {
                variables.problem("PORT", format!("is not a port: {port:?}; write a number from 1 to 65535"));
                "127.0.0.1:8080"
            }
        },
        _ => "127.0.0.1:8080",
    };
    address(variables, "BOWLINE_LISTEN", default)
}

/// The variable that says where senders reach the app.
pub(crate) const PUBLIC_URL_VARIABLE: &str = "BOWLINE_PUBLIC_URL";
/// Where senders reach an app under test.
const PUBLIC_URL_IN_TESTS: &str = "https://app.test";

impl Config {
    /// Where this program is reached from outside: as it was told, or as it listens.
    pub(crate) fn reached_at(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}", self.listen)
        })
    }
}

/// A provider signs the text that it was given: nothing of it is normalised but the slash at its end.
pub(crate) fn public_url(variables: &Variables) -> Option<String> {
    let stand_in = || variables.is_testing().then(|| PUBLIC_URL_IN_TESTS.to_owned());
    let text = variables.get(PUBLIC_URL_VARIABLE).or_else(stand_in)?;
    let url = reqwest::Url::parse(&text).ok();
    let is_fine = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if !is_fine {
        let problem =
            format!("is not a URL that senders send to: {text:?}; write one as https://hooks.example.com");
        variables.problem(PUBLIC_URL_VARIABLE, problem);
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn address(variables: &Variables, name: &str, default: &str) -> SocketAddr {
    let text = variables.get(name).unwrap_or_else(|| default.to_owned());
    text.parse().unwrap_or_else(|_| {
        variables.problem(name, format!("is not an address: {text:?}; write one as {default}"));
        default.parse().expect("defaults are addresses")
    })
}

fn tls(variables: &Variables) -> Option<Tls> {
    let (certificate, key) = match (variables.get(TLS_CERT_VARIABLE), variables.get(TLS_KEY_VARIABLE)) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            variables
                .problem(TLS_KEY_VARIABLE, format!("is not set: the file of the key of {TLS_CERT_VARIABLE}"));
            return None;
        }
        (None, Some(_)) => {
            variables.problem(
                TLS_CERT_VARIABLE,
                format!("is not set: the file of the chain of {TLS_KEY_VARIABLE}"),
            );
            return None;
        }
        (None, None) => return None,
    };
    // Certificates end by the machine's clock, as their clients see it.
    match Tls::from_files(certificate, key, Arc::new(SystemClock)) {
        Ok(tls) => Some(tls),
        Err(TlsError::Certificate(what)) => {
            variables.problem(TLS_CERT_VARIABLE, format!("is of no use: {what}"));
            None
        }
        Err(TlsError::Key(what)) => {
            variables.problem(TLS_KEY_VARIABLE, format!("is of no use: {what}"));
            None
        }
    }
}

fn store(variables: &Variables) -> StoreConfig {
    const NAME: &str = "BOWLINE_STORE";
    let text = variables.get(NAME).unwrap_or_else(|| "sqlite:bowline.db".to_owned());
    let mut config = StoreConfig { path: PathBuf::from("bowline.db"), options: SqliteOptions::default() };
    let Some(rest) = text.strip_prefix("sqlite:") else {
        variables.problem(NAME, format!("is not a store: {text:?}; write sqlite:PATH, as sqlite:bowline.db"));
        return config;
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() {
        variables.problem(NAME, "names no file; write sqlite:PATH, as sqlite:bowline.db");
    } else {
        config.path = PathBuf::from(path);
        let folder = config.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            variables
                .problem(NAME, format!("names a file in a folder that is not there: {}", folder.display()));
        }
    }
    for option in query.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("reserve_mib", mib)) if mib.parse::<u32>().is_ok() => {
                let mib: u64 = mib.parse().expect("just parsed as a smaller number");
                config.options.disk_free_bytes_min = mib << 20;
            }
            Some(("synchronous", "full")) => config.options.synchronous = Synchronous::Full,
            Some(("synchronous", "off")) => config.options.synchronous = Synchronous::Off,
            _ => variables.problem(
                NAME,
                format!(
                    "has an unknown option: {option:?}; there are reserve_mib=N and synchronous=full|off"
                ),
            ),
        }
    }
    config
}

fn check_journals(variables: &Variables) -> bool {
    match variables.get("BOWLINE_CHECK_JOURNALS").as_deref() {
        None | Some("off") => false,
        Some("on") => true,
        Some(_) => {
            variables.problem("BOWLINE_CHECK_JOURNALS", "is neither on nor off");
            true
        }
    }
}

fn log_level(variables: &Variables) -> String {
    const NAME: &str = "BOWLINE_LOG_LEVEL";
    let level = variables.get(NAME).unwrap_or_else(|| "info".to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
        variables.problem(
            NAME,
            format!("cannot be read: {error}; write a level as info, or bowline_client=debug,info"),
        );
    }
    level
}

fn log(variables: &Variables) -> LogForm {
    match variables.get("BOWLINE_LOG").as_deref() {
        Some("pretty") => LogForm::Pretty,
        Some("json") => LogForm::Json,
        None if std::io::stderr().is_terminal() => LogForm::Pretty,
        None => LogForm::Json,
        Some(other) => {
            variables
                .problem("BOWLINE_LOG", format!("is not a form of logs: {other:?}; write pretty or json"));
            LogForm::Json
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(set: &[(&str, &str)], name: &str, what: &str) {
        let set: Vec<(String, String)> =
            set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let variables = Variables::new(move |asked| {
            set.iter().find(|(name, _)| name == asked).map(|(_, value)| value.clone())
        });
        Config::read(&variables);
        let problems = variables.problems();
        let told = problems.iter().find(|(wrong, _)| wrong == name).map(|(_, told)| told.as_str());
        assert!(told.is_some_and(|told| told.contains(what)), "{name} {what}: {problems:?}");
    }

    #[test]
    fn a_certificate_comes_with_its_key_and_both_are_files() {
        check(&[("BOWLINE_TLS_CERT", "a.pem")], "BOWLINE_TLS_KEY", "is not set");
        check(&[("BOWLINE_TLS_KEY", "a.pem")], "BOWLINE_TLS_CERT", "is not set");
        let nowhere = [("BOWLINE_TLS_CERT", "/nowhere/a.pem"), ("BOWLINE_TLS_KEY", "/nowhere/b.pem")];
        check(&nowhere, "BOWLINE_TLS_CERT", "is of no use: /nowhere/a.pem cannot be read");
    }
}
