//! The fields of one record, as serde asks for them.

use std::fmt;

use serde::de::{
    Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::{BorrowedStrDeserializer, StrDeserializer},
};

/// Most of a field that an error shows, in bytes.
const SHOWN_BYTES_MAX: usize = 40;

/// One record.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    text: &'a str,
    ends: &'a [usize],
    names: Option<&'a [String]>,
    /// How many fields were read.
    at: usize,
}

impl<'a> Record<'a> {
    /// The fields, one behind the other in `fields`, and their names. `None`: one is not UTF-8.
    pub(super) fn new(fields: &'a [u8], ends: &'a [usize], names: Option<&'a [String]>) -> Option<Self> {
        let text = simdutf8::basic::from_utf8(fields).ok()?;
        ends.iter().all(|end| text.is_char_boundary(*end)).then_some(Self { text, ends, names, at: 0 })
    }

    pub(super) fn fields(self) -> impl Iterator<Item = &'a str> {
        (0..self.ends.len()).map(move |nth| self.field(nth).0)
    }

    fn field(&self, nth: usize) -> Field<'a> {
        let start = nth.checked_sub(1).map_or(0, |before| self.ends[before]);
        Field(&self.text[start..self.ends[nth]])
    }

    fn next(&mut self) -> Field<'a> {
        self.at += 1;
        self.field(self.at - 1)
    }

    /// The only field: what is no struct and no list is read from that.
    fn only(self) -> Result<Field<'a>, Unfit> {
        match self.ends.len() {
            1 => Ok(self.field(0)),
            fields => {
                Err(Unfit::new(format!("a record of {fields} fields is a struct, a map, a tuple or a list")))
            }
        }
    }
}

/// Why a record does not fit its type.
#[derive(Debug)]
pub(super) struct Unfit {
    field: Option<String>,
    problem: String,
}

impl Unfit {
    fn new(problem: impl Into<String>) -> Self {
        Self { field: None, problem: problem.into() }
    }

    /// Where it was.
    fn of(self, field: impl FnOnce() -> String) -> Self {
        Self { field: self.field.or_else(|| Some(field())), ..self }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "field {field}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl std::error::Error for Unfit {}

impl serde::de::Error for Unfit {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::new(problem.to_string())
    }
}

/// What a record of one field passes on to it.
macro_rules! of_the_only_field {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            self.only()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Record<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.names.is_some() { visitor.visit_map(self) } else { visitor.visit_seq(self) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_any(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, fields: usize, visitor: V) -> Result<V::Value, Unfit> {
        if fields < self.ends.len() {
            let problem = format!("has {} fields where {fields} were expected", self.ends.len());
            return Err(Unfit::new(problem));
        }
        visitor.visit_seq(self)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: usize,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_tuple(fields, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_some(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    of_the_only_field! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_identifier
    }
}

impl<'de> MapAccess<'de> for Record<'de> {
    type Error = Unfit;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        let names = self.names.unwrap_or_default();
        let Some(name) = names.get(self.at) else { return Ok(None) };
        let name: BorrowedStrDeserializer<'de, Unfit> = BorrowedStrDeserializer::new(name);
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        let name = self.names.and_then(|names| names.get(self.at));
        let field = self.next();
        seed.deserialize(field).map_err(|error| error.of(|| format!("{:?}", name.map_or("", |name| name))))
    }
}

impl<'de> SeqAccess<'de> for Record<'de> {
    type Error = Unfit;

    fn next_element_seed<T: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        if self.at == self.ends.len() {
            return Ok(None);
        }
        let field = self.next();
        let nth = self.at;
        seed.deserialize(field).map(Some).map_err(|error| error.of(|| nth.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.ends.len() - self.at)
    }
}

/// One field.
#[derive(Clone, Copy)]
struct Field<'a>(&'a str);

impl Field<'_> {
    fn is_no(&self, what: &str) -> Unfit {
        if self.0.is_empty() {
            return Unfit::new(format!("is empty, where {what} was expected: make it an Option"));
        }
        let shown = &self.0[..self.0.floor_char_boundary(SHOWN_BYTES_MAX)];
        Unfit::new(format!("{shown:?} is not {what}"))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $what:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            let number = self.0.trim_ascii().parse().map_err(|_| self.is_no($what))?;
            visitor.$visit(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for Field<'de> {
    type Error = Unfit;

    numbers! {
        deserialize_i8 visit_i8 "a whole number (i8)"
        deserialize_i16 visit_i16 "a whole number (i16)"
        deserialize_i32 visit_i32 "a whole number (i32)"
        deserialize_i64 visit_i64 "a whole number (i64)"
        deserialize_i128 visit_i128 "a whole number (i128)"
        deserialize_u8 visit_u8 "a whole number (u8)"
        deserialize_u16 visit_u16 "a whole number (u16)"
        deserialize_u32 visit_u32 "a whole number (u32)"
        deserialize_u64 visit_u64 "a whole number (u64)"
        deserialize_u128 visit_u128 "a whole number (u128)"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
        deserialize_char visit_char "one character"
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let text = self.0.trim_ascii();
        let value =
            [("true", true), ("false", false)].into_iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
        visitor.visit_bool(value.ok_or_else(|| self.is_no("true or false"))?.1)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_borrowed_bytes(self.0.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.0.is_empty() { visitor.visit_unit() } else { Err(self.is_no("nothing")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        let variant: StrDeserializer<'_, Unfit> = self.0.into_deserializer();
        visitor.visit_enum(variant)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { str string identifier seq tuple tuple_struct map struct }
}
