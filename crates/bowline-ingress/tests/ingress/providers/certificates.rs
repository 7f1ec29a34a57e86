//! What PayPal and AWS publish, made here, and who fetches it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use bowline_ingress::{Fetch, FetchError, Provider, Route};
use bowline_model::BoxFuture;
use bowline_signature::CertifiedKey;
use bytes::Bytes;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd};

use crate::{
    site::{Plan, Site, plan},
    visit::PATH,
};

static PAIR: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap());

/// A certificate of that name, valid until that year, in PEM; with the key that it is for.
pub(super) fn certificate(name: &str, until: i32, url: &str) -> (CertifiedKey, String) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let certificate = params.self_signed(&*PAIR).unwrap().pem();
    (CertifiedKey::new(url, PAIR.serialize_pem(), &certificate).unwrap(), certificate)
}

/// What stands at some addresses, and which were asked for.
#[derive(Default)]
pub(super) struct Web {
    pub(super) pages: HashMap<String, String>,
    pub(super) asked: Mutex<Vec<String>>,
}

impl Web {
    pub(super) fn of(url: &str, page: &str) -> Arc<Self> {
        Arc::new(Self { pages: [(url.to_owned(), page.to_owned())].into(), ..Self::default() })
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Fetch for Web {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        self.asked.lock().unwrap().push(url.to_owned());
        let page = self.pages.get(url).map(|page| Bytes::from(page.clone()));
        Box::pin(async move { page.ok_or_else(|| FetchError::new("nothing stands there")) })
    }
}

pub(super) async fn open(provider: Arc<dyn Provider>, web: Arc<Web>) -> Site {
    let route = Route::new(PATH, provider).on("*", "flow".into());
    Plan { routes: vec![route], fetch: Some(web), ..plan() }.open().await
}
