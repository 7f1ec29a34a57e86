//! How values of the built-in types are written (XML Schema 1.0 part 2, §3).

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::soap::{schema::builtin::Kind, xml::is_space};

/// Whether the text is written as the type wants it.
pub(super) fn is_lexical(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Text | Kind::QName => true,
        Kind::Token => text.trim_matches(is_space) == text && !text.contains(['\n', '\r', '\t']),
        Kind::Boolean => matches!(text, "true" | "false" | "1" | "0"),
        Kind::Decimal => is_decimal(text),
        Kind::Integer { min, max } => {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && in_range(text, min, max)
        }
        Kind::Float => {
            let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let digits = !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit());
            matches!(text, "INF" | "-INF" | "NaN") || is_decimal(mantissa) && digits
        }
        Kind::Date => split_zone(text).is_some_and(is_date),
        Kind::Time => split_zone(text).is_some_and(is_time),
        Kind::DateTime => split_zone(text)
            .and_then(|text| text.split_once('T'))
            .is_some_and(|(date, time)| is_date(date) && is_time(time)),
        Kind::Duration => {
            let rest = text.strip_prefix('-').unwrap_or(text);
            rest.strip_prefix('P').is_some_and(|rest| {
                rest.ends_with(|c: char| c.is_ascii_uppercase() && c != 'T')
                    && rest.chars().all(|c| c.is_ascii_digit() || "YMDTHS.".contains(c))
            })
        }
        Kind::Base64 => {
            let packed: String = text.split(is_space).collect();
            BASE64_STANDARD.decode(packed).is_ok()
        }
        Kind::Hex => hex::decode(text).is_ok(),
    }
}

/// Beyond 128 bits only the sign matters: no bound of a built-in type is that large.
fn in_range(text: &str, min: i128, max: i128) -> bool {
    match text.parse::<i128>() {
        Ok(number) => (min..=max).contains(&number),
        Err(_) if text.starts_with('-') => min == i128::MIN,
        Err(_) => max == i128::MAX,
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(part) && !(whole.is_empty() && part.is_empty())
}

/// Takes a time zone off the end; `None` if it is none.
fn split_zone(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_suffix('Z') {
        return Some(rest);
    }
    let Some(at) = text.len().checked_sub("+00:00".len()).filter(|at| text.is_char_boundary(*at)) else {
        return Some(text);
    };
    let (rest, zone) = text.split_at(at);
    // In a date without a zone, a dash stands before two digits too; but no colon follows.
    match zone.strip_prefix(['+', '-']).filter(|zone| zone.contains(':')) {
        Some(zone) => numbers(zone, ':', &[(0, 14), (0, 59)]).then_some(rest),
        None => Some(text),
    }
}

fn is_date(text: &str) -> bool {
    const YEAR_DIGITS_MIN: usize = 4;
    let text = text.strip_prefix('-').unwrap_or(text);
    let Some((year, rest)) = text.split_once('-') else { return false };
    let digits = year.len() >= YEAR_DIGITS_MIN && year.bytes().all(|byte| byte.is_ascii_digit());
    digits && numbers(rest, '-', &[(1, 12), (1, 31)])
}

fn is_time(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    numbers(whole, ':', &[(0, 24), (0, 59), (0, 60)])
        && !part.is_empty()
        && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether these are two-digit numbers within those ranges.
fn numbers(text: &str, separator: char, ranges: &[(u8, u8)]) -> bool {
    let mut parts = text.split(separator);
    let fit = ranges.iter().all(|(min, max)| {
        parts.next().is_some_and(|part| {
            part.len() == 2
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && part.parse::<u8>().is_ok_and(|number| (min..=max).contains(&&number))
        })
    });
    fit && parts.next().is_none()
}
