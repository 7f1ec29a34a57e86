//! When a certificate ends (RFC 5280 §4.1): the one field of it that is read here, of clients' and of servers' own.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's validity, from its DER; `None` if it is no certificate.
pub fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (mut fields, _) = take(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        (_, fields) = skip(fields)?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, fields) = skip(fields)?;
    }
    let (validity, _) = take(fields, SEQUENCE)?;
    let (_, ends) = skip(validity)?;
    time(ends)
}

/// The content of the first element, which must be of that kind, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    (*der.first()? == tag).then(|| skip(der))?
}

/// The content of the first element, of whatever kind, and what follows it.
fn skip(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const LONG: u8 = 0x80;
    let (&first, rest) = der.get(1..)?.split_first()?;
    let (length, rest) = if first < LONG {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first - LONG))?;
        let fits = bytes.len() <= size_of::<u32>();
        let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        (fits.then_some(length)?, rest)
    };
    rest.split_at_checked(length)
}

fn time(der: &[u8]) -> Option<Timestamp> {
    let (text, _) = skip(der)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match *der.first()? {
        // Two digits of a year: 50 and above are of the last century.
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read_in_both_forms() {
        for (year, text) in
            [(2031, "2031-02-03T00:00:00Z"), (2049, "2049-02-03T00:00:00Z"), (2075, "2075-02-03T00:00:00Z")]
        {
            let mut own = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
            own.not_after = rcgen::date_time_ymd(year, 2, 3);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = own.self_signed(&key).unwrap();
            assert_eq!(not_after(certificate.der()), Some(text.parse().unwrap()));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let own = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let der = own.cert.der();
        for cut in 0..der.len().min(200) {
            let _ = not_after(&der[..cut]);
        }
        for bytes in [
            &b""[..],
            &[0x30],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        ] {
            assert_eq!(not_after(bytes), None);
        }
    }
}
