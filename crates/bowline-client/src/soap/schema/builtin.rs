//! The types that XML Schema has of itself (XML Schema 1.0 part 2, §3).

use std::sync::Arc;

use super::{Facets, Values};

/// A built-in type of single values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Builtin {
    /// Without its prefix.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// How its values are written, and what they are in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// JSON text as it is.
    Text,
    /// JSON text without white space around it, and no line breaks.
    Token,
    /// A JSON boolean.
    Boolean,
    /// JSON text with all its digits.
    Decimal,
    /// A JSON number within 64 bits, text beyond.
    Integer {
        min: i128,
        max: i128,
    },
    /// A JSON number; `INF`, `-INF` and `NaN` as text.
    Float,
    /// JSON text.
    Date,
    DateTime,
    Time,
    Duration,
    /// JSON text in base64.
    Base64,
    /// JSON text in hexadecimal digits.
    Hex,
    /// JSON text, `{namespace}local`.
    QName,
}

const fn integer(name: &'static str, min: i128, max: i128) -> Builtin {
    Builtin { name, kind: Kind::Integer { min, max } }
}

const fn of(name: &'static str, kind: Kind) -> Builtin {
    Builtin { name, kind }
}

const ALL: [Builtin; 45] = [
    of("string", Kind::Text),
    of("normalizedString", Kind::Text),
    of("anySimpleType", Kind::Text),
    of("anyAtomicType", Kind::Text),
    of("token", Kind::Token),
    of("language", Kind::Token),
    of("Name", Kind::Token),
    of("NCName", Kind::Token),
    of("NMTOKEN", Kind::Token),
    of("ID", Kind::Token),
    of("IDREF", Kind::Token),
    of("ENTITY", Kind::Token),
    of("anyURI", Kind::Token),
    of("NOTATION", Kind::QName),
    of("QName", Kind::QName),
    of("boolean", Kind::Boolean),
    of("decimal", Kind::Decimal),
    integer("integer", i128::MIN, i128::MAX),
    integer("nonPositiveInteger", i128::MIN, 0),
    integer("negativeInteger", i128::MIN, -1),
    integer("nonNegativeInteger", 0, i128::MAX),
    integer("positiveInteger", 1, i128::MAX),
    integer("long", i64::MIN as i128, i64::MAX as i128),
    integer("int", i32::MIN as i128, i32::MAX as i128),
    integer("short", i16::MIN as i128, i16::MAX as i128),
    integer("byte", i8::MIN as i128, i8::MAX as i128),
    integer("unsignedLong", 0, u64::MAX as i128),
    integer("unsignedInt", 0, u32::MAX as i128),
    integer("unsignedShort", 0, u16::MAX as i128),
    integer("unsignedByte", 0, u8::MAX as i128),
    of("float", Kind::Float),
    of("double", Kind::Float),
    of("date", Kind::Date),
    of("dateTime", Kind::DateTime),
    of("dateTimeStamp", Kind::DateTime),
    of("time", Kind::Time),
    of("duration", Kind::Duration),
    of("dayTimeDuration", Kind::Duration),
    of("yearMonthDuration", Kind::Duration),
    of("gYear", Kind::Token),
    of("gYearMonth", Kind::Token),
    of("gMonth", Kind::Token),
    of("gMonthDay", Kind::Token),
    of("gDay", Kind::Token),
    of("base64Binary", Kind::Base64),
];
const HEX: Builtin = of("hexBinary", Kind::Hex);

/// Built-in lists, and what is in them.
const LISTS: [(&str, &str); 3] = [("NMTOKENS", "NMTOKEN"), ("IDREFS", "IDREF"), ("ENTITIES", "ENTITY")];

impl Builtin {
    /// The built-in type with that name, or the list.
    pub(crate) fn named(local: &str) -> Option<Found> {
        if let Some((_, item)) = LISTS.iter().find(|(list, _)| *list == local) {
            return Self::single(item).map(Found::List);
        }
        Self::single(local).map(Found::One)
    }

    fn single(local: &str) -> Option<Self> {
        ALL.iter().chain([&HEX]).find(|builtin| builtin.name == local).copied()
    }
}

/// A built-in type.
pub(crate) enum Found {
    One(Builtin),
    List(Builtin),
}

impl Found {
    pub(crate) fn values(&self) -> Arc<Values> {
        let one = |builtin: &Builtin| Values::One { builtin: *builtin, facets: vec![] };
        Arc::new(match self {
            Self::One(builtin) => one(builtin),
            Self::List(item) => Values::List { item: Arc::new(one(item)), facets: Facets::default() },
        })
    }
}
