//! Values: from JSON as XML writes them, and back.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Number, Value};

use super::{
    CHAIN_MAX, Complex, Content, Facets, Resolved, Schemas, Simple, SimpleKind, TypeRef,
    builtin::{Builtin, Kind},
};
use crate::soap::xml::{self, is_space};

mod lexical;

use self::lexical::is_lexical;

/// What a value may be, with all bases merged.
pub(crate) enum Values {
    /// One value; the facets of every restriction on the way.
    One { builtin: Builtin, facets: Vec<Facets> },
    /// Values with spaces between them: an array in JSON.
    List { item: Arc<Values>, facets: Facets },
    /// A value of any of those: text in JSON.
    Union(Vec<Arc<Values>>),
}

impl Schemas {
    /// What a type's values may be.
    ///
    /// # Errors
    /// Says what about the type is not understood.
    pub(crate) fn values(&self, simple: &Simple) -> Result<Arc<Values>, String> {
        self.values_within(simple, 0)
    }

    fn values_within(&self, simple: &Simple, depth: usize) -> Result<Arc<Values>, String> {
        if let Some(known) = simple.values.get() {
            return known.clone();
        }
        // A type that is its own base would wait for itself inside the cell.
        let found = self.flatten_values(&simple.kind, depth);
        simple.values.get_or_init(|| found).clone()
    }

    fn flatten_values(&self, kind: &SimpleKind, depth: usize) -> Result<Arc<Values>, String> {
        match kind {
            SimpleKind::Restriction { base, facets } => {
                let base = self.values_of(base, depth)?;
                Ok(Arc::new(base.restricted(facets)))
            }
            SimpleKind::List(item) => {
                let item = self.values_of(item, depth)?;
                Ok(Arc::new(Values::List { item, facets: Facets::default() }))
            }
            SimpleKind::Union(members) => {
                let members = members.iter().map(|member| self.values_of(member, depth));
                Ok(Arc::new(Values::Union(members.collect::<Result<_, _>>()?)))
            }
            SimpleKind::Unsupported(what) => Err(what.clone()),
        }
    }

    fn values_of(&self, of: &TypeRef, depth: usize) -> Result<Arc<Values>, String> {
        if depth == CHAIN_MAX {
            return Err(format!(
                "more than {CHAIN_MAX} types are each based on the next: is one its own base?"
            ));
        }
        let named = match of {
            TypeRef::Named(name) => self.types.get(name),
            TypeRef::Inline(here) => Some(here),
        };
        match named {
            Some(super::Type::Simple(simple)) => self.values_within(simple, depth + 1),
            Some(super::Type::Complex(complex)) => self.values_of_complex(complex, depth + 1),
            None => match self.resolve(of)? {
                Resolved::Values(values) => Ok(values),
                Resolved::Any | Resolved::Complex(_) => Err(format!("{} is no type of values", of.shown())),
            },
        }
    }

    /// The value in a complex type that has one.
    pub(crate) fn values_of_complex(&self, complex: &Complex, depth: usize) -> Result<Arc<Values>, String> {
        let Content::Text { facets, inline } = &complex.content else {
            return Err("a type with children stands where a value is needed".into());
        };
        if let Some(inline) = inline {
            return Ok(Arc::new(self.values_of(inline, depth)?.restricted(facets)));
        }
        let base = complex.base.as_ref().ok_or("a simpleContent without a base")?;
        let base = self.values_of(&TypeRef::Named(base.name.clone()), depth)?;
        Ok(Arc::new(base.restricted(facets)))
    }
}

impl Values {
    fn restricted(&self, more: &Facets) -> Self {
        match self {
            Self::One { builtin, facets } => {
                let facets = facets.iter().chain([more]).cloned().collect();
                Self::One { builtin: *builtin, facets }
            }
            Self::List { item, .. } => Self::List { item: item.clone(), facets: more.clone() },
            // An enumeration over a union is rare; the members say what is right.
            Self::Union(members) => Self::Union(members.clone()),
        }
    }

    /// As people read it: `int`, `string (A | B)`.
    pub(crate) fn shown(&self) -> String {
        const SHOWN_MAX: usize = 8;
        match self {
            Self::One { builtin, facets } => {
                let Some(allowed) = facets.iter().rev().find(|facets| !facets.enumeration.is_empty()) else {
                    return builtin.name.to_owned();
                };
                let mut list: Vec<&str> = allowed.enumeration.iter().map(String::as_str).collect();
                let more = list.len() > SHOWN_MAX;
                list.truncate(SHOWN_MAX);
                format!("{} ({}{})", builtin.name, list.join(" | "), if more { " | …" } else { "" })
            }
            Self::List { item, .. } => format!("list of {}", item.shown()),
            Self::Union(members) => {
                let members: Vec<String> = members.iter().map(|member| member.shown()).collect();
                members.join(" or ")
            }
        }
    }

    /// The text of a value as XML writes it. `name` makes a prefixed name of `{namespace}local`.
    ///
    /// # Errors
    /// Says what was expected and what is there.
    pub(crate) fn text(
        &self,
        value: &Value,
        name: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<String, String> {
        match self {
            Self::One { builtin, facets } => {
                let text = one_text(*builtin, value, name)?;
                match xml::write::unwritable(&text) {
                    Some(bad) => {
                        Err(format!("holds the character U+{:04X}, which XML cannot carry", u32::from(bad)))
                    }
                    None => {
                        facets.iter().try_for_each(|facets| check(*builtin, facets, &text)).map(|()| text)
                    }
                }
            }
            Self::List { item, facets } => {
                let Value::Array(items) = value else {
                    return Err(format!("must be an array of {}, but is {}", item.shown(), shown(value)));
                };
                let (min, max) = (facets.length_min.unwrap_or(0), facets.length_max.unwrap_or(usize::MAX));
                if items.len() < min || items.len() > max {
                    return Err(format!("has {} values, but {} are wanted", items.len(), range(min, max)));
                }
                let mut texts = vec![];
                for one in items {
                    let text = item.text(one, name)?;
                    if text.is_empty() || text.contains(is_space) {
                        return Err(format!("holds {text:?}, which would not be one value of a list"));
                    }
                    texts.push(text);
                }
                Ok(texts.join(" "))
            }
            Self::Union(members) => {
                let fits = members.iter().find_map(|member| member.text(value, name).ok());
                fits.ok_or_else(|| format!("must be {}, but is {}", self.shown(), shown(value)))
            }
        }
    }

    /// The JSON of a text in XML. `name` makes `{namespace}local` of a prefixed name.
    ///
    /// # Errors
    /// Says what was expected and what is there.
    pub(crate) fn json(
        &self,
        text: &str,
        name: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Value, String> {
        match self {
            Self::One { builtin, .. } => one_json(*builtin, text, name),
            Self::List { item, .. } => {
                let items = text.split(is_space).filter(|part| !part.is_empty());
                items.map(|part| item.json(part, name)).collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Union(_) => Ok(Value::from(text)),
        }
    }
}

fn one_text(
    builtin: Builtin,
    value: &Value,
    name: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<String, String> {
    let wrong = || format!("must be {}, but is {}", builtin.name, shown(value));
    let text = match (builtin.kind, value) {
        (Kind::Boolean, Value::Bool(flag)) => return Ok(flag.to_string()),
        (Kind::Integer { .. }, Value::Number(number)) => integer_text(number).ok_or_else(wrong)?,
        (Kind::Decimal, Value::Number(number)) => match number.as_f64() {
            // Rust writes a float without an exponent, as xs:decimal wants it.
            Some(float) if number.is_f64() => float.to_string(),
            Some(_) | None => number.to_string(),
        },
        (Kind::Float, Value::Number(number)) => number.to_string(),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(wrong());
        }
    };
    if builtin.kind == Kind::QName {
        return name(&text);
    }
    if is_lexical(builtin.kind, &text) { Ok(text) } else { Err(wrong()) }
}

/// A whole number, even where it arrived as `3.0`; none beyond what a float holds exactly.
fn integer_text(number: &Number) -> Option<String> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if !number.is_f64() {
        return Some(number.to_string());
    }
    number
        .as_f64()
        .filter(|float| float.fract() == 0.0 && float.abs() < EXACT_MAX)
        .map(|float| float.to_string())
}

fn one_json(
    builtin: Builtin,
    text: &str,
    name: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Value, String> {
    if builtin.kind == Kind::Text {
        return Ok(text.into());
    }
    let text = text.trim_matches(is_space);
    let wrong = || {
        let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        format!("should be {}, but is {start:?}", builtin.name)
    };
    match builtin.kind {
        Kind::Boolean => match text {
            "true" | "1" => Ok(true.into()),
            "false" | "0" => Ok(false.into()),
            _ => Err(wrong()),
        },
        Kind::Integer { .. } if is_lexical(builtin.kind, text) => {
            let digits = text.strip_prefix('+').unwrap_or(text);
            let number =
                digits.parse::<i64>().map(Value::from).or_else(|_| digits.parse::<u64>().map(Value::from));
            Ok(number.unwrap_or_else(|_| digits.into()))
        }
        Kind::Integer { .. } => Err(wrong()),
        Kind::Float => match text {
            "INF" | "+INF" | "-INF" | "NaN" => Ok(text.trim_start_matches('+').into()),
            _ if is_lexical(Kind::Float, text) => {
                text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        },
        Kind::Decimal if !is_lexical(Kind::Decimal, text) => Err(wrong()),
        Kind::QName => name(text).map(Value::from),
        // Line breaks within base64 are only layout.
        Kind::Base64 => Ok(text.split(is_space).collect::<String>().into()),
        Kind::Text
        | Kind::Token
        | Kind::Decimal
        | Kind::Date
        | Kind::DateTime
        | Kind::Time
        | Kind::Duration
        | Kind::Hex => Ok(text.into()),
    }
}

fn check(builtin: Builtin, facets: &Facets, text: &str) -> Result<(), String> {
    if !facets.enumeration.is_empty() && !facets.enumeration.iter().any(|allowed| allowed == text) {
        let allowed: Vec<String> = facets.enumeration.iter().map(|allowed| format!("{allowed:?}")).collect();
        return Err(format!("must be one of {}, but is {text:?}", allowed.join(", ")));
    }
    let length = match builtin.kind {
        Kind::Hex => text.len() / 2,
        Kind::Base64 => {
            BASE64_STANDARD.decode(text.split(is_space).collect::<String>()).map_or(0, |bytes| bytes.len())
        }
        _ => text.chars().count(),
    };
    let (min, max) = (facets.length_min.unwrap_or(0), facets.length_max.unwrap_or(usize::MAX));
    if length < min || length > max {
        return Err(format!("has the length {length}, but {} is wanted", range(min, max)));
    }
    let number = |text: &str| text.parse::<f64>().ok();
    if let (Kind::Decimal | Kind::Integer { .. } | Kind::Float, Some(given)) = (builtin.kind, number(text)) {
        // Compared as floats: what differs less than they tell apart is left to the remote.
        let below = facets.min.as_deref().and_then(number).is_some_and(|min| given < min);
        let above = facets.max.as_deref().and_then(number).is_some_and(|max| given > max);
        if below || above {
            let (min, max) = (facets.min.as_deref().unwrap_or("any"), facets.max.as_deref().unwrap_or("any"));
            return Err(format!("is {text}, but must be from {min} to {max}"));
        }
    }
    Ok(())
}

fn range(min: usize, max: usize) -> String {
    match (min, max) {
        (min, max) if min == max => format!("{min}"),
        (min, usize::MAX) => format!("{min} or more"),
        (min, max) => format!("{min} to {max}"),
    }
}

const SHOWN_CHARS_MAX: usize = 40;

/// What is there, in a few words.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => format!("the boolean {flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => {
            let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            format!("the text {start:?}{}", if start.len() < text.len() { "…" } else { "" })
        }
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(name: &str) -> Arc<Values> {
        Builtin::named(name).unwrap().values()
    }

    fn text(name: &str, value: Value) -> Result<String, String> {
        values(name).text(&value, &mut |name| Ok(name.to_owned()))
    }

    fn json_of(name: &str, text: &str) -> Result<Value, String> {
        values(name).json(text, &|name| Ok(name.to_owned()))
    }

    #[test]
    fn json_becomes_what_xml_writes() {
        for (name, value, expected) in [
            ("string", json!(" a "), " a "),
            ("boolean", json!(true), "true"),
            ("int", json!(-7), "-7"),
            ("int", json!(3.0), "3"),
            ("int", json!("12"), "12"),
            ("unsignedLong", json!(u64::MAX), "18446744073709551615"),
            (
                "integer",
                json!("340282366920938463463374607431768211456"),
                "340282366920938463463374607431768211456",
            ),
            ("decimal", json!(1e21), "1000000000000000000000"),
            ("decimal", json!("19.90"), "19.90"),
            ("decimal", json!(0.1), "0.1"),
            ("double", json!(1.5), "1.5"),
            ("double", json!("-INF"), "-INF"),
            ("date", json!("2024-02-29"), "2024-02-29"),
            ("date", json!("2024-02-29+01:00"), "2024-02-29+01:00"),
            ("dateTime", json!("2024-02-29T23:59:59.125Z"), "2024-02-29T23:59:59.125Z"),
            ("dateTime", json!("2024-02-29T23:59:59"), "2024-02-29T23:59:59"),
            ("time", json!("12:00:00-05:00"), "12:00:00-05:00"),
            ("duration", json!("P1DT2H"), "P1DT2H"),
            ("base64Binary", json!("aGk="), "aGk="),
            ("hexBinary", json!("00fF"), "00fF"),
            ("NMTOKENS", json!(["a", "b"]), "a b"),
        ] {
            assert_eq!(text(name, value.clone()).as_deref(), Ok(expected), "{name} {value}");
        }
    }

    #[test]
    fn what_is_of_another_type_is_told() {
        for (name, value) in [
            ("boolean", json!("yes")),
            ("int", json!("two")),
            ("int", json!(1.5)),
            ("int", json!(2_147_483_648_i64)),
            ("unsignedByte", json!(-1)),
            ("positiveInteger", json!(0)),
            ("integer", json!(1e300)),
            ("string", json!(1)),
            ("string", json!(["a"])),
            ("decimal", json!("1e3")),
            ("decimal", json!("")),
            ("double", json!("inf")),
            ("date", json!("29.02.2024")),
            ("date", json!("2024-13-01")),
            ("dateTime", json!("2024-02-29 10:00:00")),
            ("dateTime", json!("2024-02-29")),
            ("time", json!("25:00:00")),
            ("duration", json!("1 day")),
            ("base64Binary", json!("a")),
            ("hexBinary", json!("0")),
            ("token", json!(" a")),
            ("NMTOKENS", json!("a b")),
            ("NMTOKENS", json!(["a b"])),
        ] {
            assert!(text(name, value.clone()).is_err(), "{name} {value}");
        }
        assert_eq!(text("int", json!("two")).unwrap_err(), "must be int, but is the text \"two\"");
        assert!(text("string", json!("a\u{b}")).unwrap_err().contains("U+000B"));
    }

    #[test]
    fn xml_becomes_the_json_of_its_type() {
        for (name, given, expected) in [
            ("string", " a ", json!(" a ")),
            ("token", " a ", json!("a")),
            ("boolean", " 1 ", json!(true)),
            ("long", "-9223372036854775808", json!(i64::MIN)),
            ("int", "+7", json!(7)),
            ("unsignedLong", "18446744073709551615", json!(u64::MAX)),
            ("integer", "18446744073709551616", json!("18446744073709551616")),
            ("decimal", "19.90", json!("19.90")),
            ("double", "1e3", json!(1000.0)),
            ("double", "INF", json!("INF")),
            ("base64Binary", "aG\n k=", json!("aGk=")),
            ("NMTOKENS", " a\n b ", json!(["a", "b"])),
        ] {
            assert_eq!(json_of(name, given), Ok(expected), "{name} {given}");
        }
        for (name, given) in [
            ("boolean", "yes"),
            ("int", ""),
            ("int", "1.5"),
            ("double", "inf"),
            ("decimal", "1e3"),
            ("byte", "300"),
        ] {
            assert!(json_of(name, given).is_err(), "{name} {given}");
        }
    }
}
