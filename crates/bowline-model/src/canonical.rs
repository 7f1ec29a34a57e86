//! JSON bodies whose bytes depend on their value only.
//!
//! A body's hash is compared when a run is recovered, in another process, where a `HashMap` has another order. So
//! the keys of all objects are sorted. Everything else stays as serde_json wrote it: numbers keep their digits.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

/// Encodes a value with the keys of all its objects sorted.
///
/// # Errors
/// If the value's `Serialize` fails, e.g. for a map whose keys are not strings.
pub fn to_json<B: Serialize + ?Sized>(value: &B) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::value::to_raw_value(value)?;
    let mut sorted = Vec::with_capacity(json.get().len());
    sort_into(&json, &mut sorted)?;
    Ok(sorted)
}

/// Reads one level at a time. `Value` would be simpler, but rounds what does not fit 64 bits.
fn sort_into(json: &RawValue, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match json.get().trim_start().as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json.get())?;
            out.push(b'{');
            for (nth, (name, value)) in fields.into_iter().enumerate() {
                if nth > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, &name)?;
                out.push(b':');
                sort_into(value, out)?;
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json.get())?;
            out.push(b'[');
            for (nth, item) in items.into_iter().enumerate() {
                if nth > 0 {
                    out.push(b',');
                }
                sort_into(item, out)?;
            }
            out.push(b']');
        }
        Some(_) | None => out.extend_from_slice(json.get().trim().as_bytes()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn json(value: &impl Serialize) -> String {
        String::from_utf8(to_json(value).unwrap()).unwrap()
    }

    #[test]
    fn equal_maps_give_equal_bytes_in_any_order() {
        let names: Vec<String> = (0..50).map(|n| format!("field {n}")).collect();
        let map = |names: &mut dyn Iterator<Item = &String>| -> HashMap<String, HashMap<String, u8>> {
            names.map(|name| (name.clone(), HashMap::from([("b".into(), 1), ("a".into(), 2)]))).collect()
        };
        // Each HashMap has its own random order, so two of them stand for two processes.
        assert_eq!(json(&map(&mut names.iter())), json(&map(&mut names.iter().rev())));
    }

    #[test]
    fn sorts_at_every_depth_and_keeps_values_as_written() {
        #[derive(Serialize)]
        struct Order {
            z: f32,
            a: Vec<HashMap<&'static str, u128>>,
            m: Option<&'static str>,
        }
        let order = Order { z: 0.1, a: vec![HashMap::from([("y", u128::MAX), ("x", 1)])], m: Some("a\"b\n") };
        assert_eq!(
            json(&order),
            r#"{"a":[{"x":1,"y":340282366920938463463374607431768211455}],"m":"a\"b\n","z":0.1}"#
        );
        assert_eq!(json(&"text"), "\"text\"");
        assert_eq!(json(&[0; 0]), "[]");
    }
}
