//! Runs and their timelines, as the admin API shows them to any operator.

use std::{env, time::Duration};

use bowline_dashboard::{RunView, view::RunList};
use bowline_model::{Clock, RunId, SystemClock};
use reqwest::{Client, redirect};

use crate::Result;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// The admin API of the app in this process.
#[derive(Debug)]
pub(crate) struct Admin {
    client: Client,
    url: String,
}

impl Admin {
    pub(crate) fn of_environment() -> Result<Self> {
        let client = Client::builder()
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            .redirect(redirect::Policy::none())
            // Plain HTTP: needs no certificate authorities.
            .tls_certs_only([])
            .build()?;
        Ok(Self { client, url: format!("http://{}", env::var("BOWLINE_ADMIN")?) })
    }

    /// The page of all runs.
    pub(crate) fn page(&self) -> String {
        format!("{}/", self.url)
    }

    /// The page of one run.
    pub(crate) fn page_of(&self, run: RunId) -> String {
        format!("{}/runs/{run}", self.url)
    }

    /// Waits until the app is ready.
    pub(crate) async fn ready(&self) -> Result {
        let deadline = SystemClock.monotonic() + READY_WITHIN;
        loop {
            let asked = self.client.get(format!("{}/health/ready", self.url)).send().await;
            match asked.map(|answer| answer.status()) {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(_) | Err(_) if SystemClock.monotonic() < deadline => pause().await,
                Ok(status) => return Err(format!("the app is not ready: {status}").into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The newest runs, newest first.
    pub(crate) async fn runs(&self) -> Result<RunList> {
        let answer = self.client.get(format!("{}/api/runs?limit=200", self.url)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// One run with its timeline.
    pub(crate) async fn run(&self, run: RunId) -> Result<RunView> {
        let answer = self.client.get(format!("{}/api/runs/{run}", self.url)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}

/// Between two looks.
pub(crate) async fn pause() {
    SystemClock.sleep(LOOK_EVERY).await;
}
