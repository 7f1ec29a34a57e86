//! The part of a body that a workflow receives, found without building a tree of the rest.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::InputError;

/// The text of the value that `pointer` (RFC 6901) leads to.
///
/// All of the body is checked to be JSON. Of a name that an object has twice the last counts, as everywhere.
pub(super) fn find<'a>(body: &'a [u8], pointer: &str) -> Result<&'a RawValue, InputError> {
    let missing = || InputError::Missing { pointer: pointer.to_owned() };
    // Whole, because strings that are passed over are not looked into later.
    let text = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
    let names: Vec<String> = match pointer.split_once('/') {
        None if pointer.is_empty() => vec![],
        Some(("", rest)) => rest.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect(),
        None | Some(_) => return Err(missing()),
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let found = At(&names).deserialize(&mut json)?;
    json.end()?;
    found.ok_or_else(missing)
}

/// What is there when these names are followed.
struct At<'n>(&'n [String]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => serde::Deserialize::deserialize(from).map(Some),
            [_, ..] => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_next) = map.next_key_seed(Is(&self.0[0]))? {
            if is_next {
                found = map.next_value_seed(At(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted = index(&self.0[0]);
        let mut found = None;
        let mut place = 0;
        loop {
            let is_there = if wanted == Some(place) {
                let value = seq.next_element_seed(At(&self.0[1..]))?;
                let is_there = value.is_some();
                found = value.flatten();
                is_there
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !is_there {
                return Ok(found);
            }
            place += 1;
        }
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a name is this one.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// An array's index as RFC 6901 writes it: without sign and leading zeros.
fn index(name: &str) -> Option<usize> {
    let is_plain = name == "0" || !name.starts_with(['0', '+']);
    if is_plain { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What `Value` says to the same question.
    fn by_tree(body: &str, pointer: &str) -> Option<Value> {
        serde_json::from_str::<Value>(body).unwrap().pointer(pointer).cloned()
    }

    fn by_text(body: &str, pointer: &str) -> Option<Value> {
        find(body.as_bytes(), pointer).ok().map(|text| serde_json::from_str(text.get()).unwrap())
    }

    #[test]
    fn finds_what_a_tree_would_find() {
        let body = r#" {"data": {"object": {"id": "pi_1"}, "a/b": 1, "m~n": [10, {"x": null}, "s"]}, "": 2, "t": "text",
            "n": 1.5, "data2": true, "twice": {"x": 1}, "twice": {"y": 2}, "gone": {"x": 1}, "gone": 3,
            "\u0065scaped": "\ud83d\ude00"} "#;
        for pointer in [
            "",
            "/",
            "/data",
            "/data/object",
            "/data/object/id",
            "/data/object/id/x",
            "/data/a~1b",
            "/data/m~0n/0",
            "/data/m~0n/1/x",
            "/data/m~0n/01",
            "/data/m~0n/+1",
            "/data/m~0n/3",
            "/data/m~0n/-",
            "/data/m~0n/x",
            "data",
            "/t/x",
            "/n/0",
            "/data2/x",
            "/missing",
            "/missing/x",
            "/twice/x",
            "/twice/y",
            "/gone/x",
            "/gone",
            "/escaped",
            "/data/m~0n/1/x/y",
            "/data/m~0n/",
        ] {
            assert_eq!(by_text(body, pointer), by_tree(body, pointer), "{pointer:?}");
        }
    }

    #[test]
    fn refuses_what_is_not_json_even_beside_the_part() {
        for body in [&br#"{"a": 1, "b": }"#[..], br#"{"a": 1} x"#, b"", b"{\"a\": 1, \"b\": \"\xff\"}"] {
            assert!(matches!(find(body, "/a"), Err(InputError::NotJson(_))), "{body:?}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a~/\"\\\\é0-2]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab~/01]{0,2}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn finds_what_a_tree_would_find_anywhere(body in json(), pointer in "(/[ab~01]{0,2}){0,4}") {
            let body = body.to_string();
            prop_assert_eq!(by_text(&body, &pointer), by_tree(&body, &pointer));
        }
    }
}
