//! Logs: to standard error, for people or for machines.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{Config, LogForm};

/// Installs the process's subscriber, unless the program around the app has its own.
pub(crate) fn init(config: &Config) {
    let filter = EnvFilter::try_new(&config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match config.log {
        LogForm::Pretty => {
            registry.with(fmt::layer().compact().with_target(false).with_writer(std::io::stderr)).try_init()
        }
        LogForm::Json => registry
            .with(
                fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(std::io::stderr),
            )
            .try_init(),
    };
    // An error means that a subscriber is there already: it is the one to use.
    let _ = installed;
}
