//! What the door has to fetch: certificates of senders, and the addresses that confirm a subscription.

use bowline_ingress::{Fetch, FetchError, fetch::FETCH_MAX, fetch::FETCHED_BYTES_MAX};
use bowline_model::BoxFuture;
use bytes::Bytes;
use reqwest::{Client, Url, redirect};

/// Asks over HTTPS, follows no redirect, and believes no proxy's word of another host.
pub(crate) struct Certificates {
    client: Result<Client, String>,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let client = Client::builder()
            .timeout(FETCH_MAX)
            .connect_timeout(FETCH_MAX)
            .redirect(redirect::Policy::none())
            .https_only(true)
            .build();
        Self { client: client.map_err(|error| error.to_string()) }
    }

    async fn fetch(&self, url: &str) -> Result<Bytes, FetchError> {
        let client = self
            .client
            .as_ref()
            .map_err(|error| FetchError::new(format!("cannot set up an HTTP client: {error}")))?;
        let url = Url::parse(url).map_err(|_| FetchError::new("it is no URL"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        // Without the URL: what confirms a subscription is a secret.
        let failed = |error: reqwest::Error| FetchError::new(format!("{host}: {}", error.without_url()));
        let mut response = client.get(url).send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            return Err(FetchError::new(format!("{host} answered {status}")));
        }
        let mut read = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            read.extend_from_slice(&piece);
            if read.len() > FETCHED_BYTES_MAX {
                return Err(FetchError::new(format!("{host} answered more than {FETCHED_BYTES_MAX} bytes")));
            }
        }
        Ok(read.into())
    }
}

impl Fetch for Certificates {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(self.fetch(url))
    }
}
