//! What goes on beside the runs: old history leaves the store.

use std::{sync::Arc, time::Duration};

use bowline_model::Clock;
use bowline_store::Store;
use tokio::sync::watch;

/// How often what retention no longer keeps is looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// The pause between two pieces of tidying, so that accepting comes first.
const TIDY_PAUSE: Duration = Duration::from_millis(50);

/// Removes what retention no longer keeps, until the app stops.
pub(crate) async fn tidy(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    retention: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let now = clock.now();
        let before = now.checked_sub(retention).unwrap_or(jiff::Timestamp::MIN);
        let pause = match store.tidy(before, now).await {
            Ok(true) => TIDY_PAUSE,
            Ok(false) => TIDY_EVERY,
            Err(error) => {
                tracing::warn!(%error, "old runs could not be removed; tried again in a minute");
                TIDY_EVERY
            }
        };
        tokio::select! {
            () = clock.sleep(pause) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}
