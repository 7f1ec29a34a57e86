//! Logs: to standard error, for people or for machines.

mod json;

use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use self::json::JsonLines;
use crate::config::{Config, LogForm};

/// Installs the process's subscriber, unless the program around the app has its own.
pub(crate) fn init(config: &Config) {
    let form = match config.log {
        LogForm::Pretty => fmt::layer().compact().with_target(false).with_writer(std::io::stderr).boxed(),
        LogForm::Json => JsonLines::new(std::io::stderr).boxed(),
    };
    // An error means that a subscriber is there already: it is the one to use.
    let _ = tracing_subscriber::registry().with(form.with_filter_of(&config.log_level)).try_init();
}

trait WithFilter {
    fn with_filter_of(self, level: &str) -> Box<dyn Layer<Registry> + Send + Sync>;
}

impl WithFilter for Box<dyn Layer<Registry> + Send + Sync> {
    /// A plain level is a comparison; directives are looked up at every span.
    fn with_filter_of(self, level: &str) -> Self {
        match level.parse::<LevelFilter>() {
            Ok(level) => self.with_filter(level).boxed(),
            Err(_) => {
                self.with_filter(EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"))).boxed()
            }
        }
    }
}
