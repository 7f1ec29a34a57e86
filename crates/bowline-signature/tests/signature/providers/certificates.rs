//! Certificates of senders, made here.

use std::sync::LazyLock;

use bowline_signature::CertifiedKey;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};

/// A private key and its certificate, in PEM.
pub(super) struct Made {
    pub(super) key: String,
    pub(super) certificate: String,
}

/// Of that name, valid from the first day to the second.
pub(super) fn make(name: &str, from: (i32, u8, u8), until: (i32, u8, u8)) -> Made {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    of(&pair, name, from, until)
}

pub(super) fn of(pair: &KeyPair, name: &str, from: (i32, u8, u8), until: (i32, u8, u8)) -> Made {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(until.0, until.1, until.2);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(pair).unwrap().pem();
    Made { key: pair.serialize_pem(), certificate }
}

pub(super) static SNS: LazyLock<[Made; 3]> =
    LazyLock::new(|| std::array::from_fn(|_| make("sns.amazonaws.com", (2020, 1, 1), (2040, 1, 1))));
pub(super) static PAYPAL: LazyLock<Made> =
    LazyLock::new(|| make("messageverificationcerts.paypal.com", (2020, 1, 1), (2040, 1, 1)));

impl Made {
    pub(super) fn at(&self, url: &str) -> CertifiedKey {
        CertifiedKey::new(url, &self.key, &self.certificate).unwrap()
    }
}
