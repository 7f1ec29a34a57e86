//! Items of documents, whatever the chunks: against serde_json, and the published cases of JSONTestSuite.

use std::{fs, path::Path};

use bowline_client::stream::{Error, JsonItems, JsonLines, LEVELS_MAX, Split, Stopped, json_items};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json, value::RawValue};

/// What came out: items, and the error that ended them.
pub(crate) type Outcome<T> = (Vec<Result<T, Error>>, Option<Error>);

/// Feeds the text in chunks of these sizes, the last one again and again, and asks after each.
pub(crate) fn drive<S: Split, T>(
    mut splitter: S,
    text: &[u8],
    sizes: &[usize],
    mut next: impl FnMut(&mut S) -> Result<Option<T>, Error>,
) -> Outcome<T> {
    let mut items = vec![];
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(*sizes.last().unwrap()));
    let mut rest = text;
    loop {
        loop {
            match next(&mut splitter) {
                Ok(Some(item)) => items.push(Ok(item)),
                Ok(None) => break,
                Err(error) if error.is_item() => items.push(Err(error)),
                Err(error) => {
                    assert_eq!(next(&mut splitter).err().as_ref(), Some(&error), "an error stays");
                    return (items, Some(error));
                }
            }
        }
        if rest.is_empty() {
            splitter.end();
            while let Some(item) = next(&mut splitter).map_or_else(
                |error| if error.is_item() { Some(Err(error)) } else { None },
                |item| item.map(Ok),
            ) {
                items.push(item);
            }
            return (items, next(&mut splitter).err());
        }
        let (chunk, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        splitter.feed(Bytes::copy_from_slice(chunk));
        rest = after;
    }
}

fn read<T: DeserializeOwned>(path: &str, text: &[u8], sizes: &[usize]) -> Outcome<T> {
    drive(JsonItems::at(path).unwrap(), text, sizes, JsonItems::next_item)
}

fn split(path: &str, text: &[u8], sizes: &[usize]) -> Outcome<Bytes> {
    drive(JsonItems::at(path).unwrap(), text, sizes, JsonItems::next_bytes)
}

/// The error of a document, the same in all chunks, and how many items came before it.
fn error(path: &str, text: &[u8]) -> (usize, Error) {
    let (items, whole) = split(path, text, &[text.len().max(1)]);
    let error = whole.unwrap_or_else(|| panic!("{} was accepted", String::from_utf8_lossy(text)));
    for sizes in [&[1][..], &[2], &[3], &[7], &[16]] {
        assert_eq!(split(path, text, sizes), (items.clone(), Some(error.clone())), "chunks of {sizes:?}");
    }
    (items.len(), error)
}

/// The items of a good document, the same in all chunks.
fn items(path: &str, text: &str) -> Vec<Value> {
    let (whole, failed) = read::<Value>(path, text.as_bytes(), &[text.len()]);
    assert_eq!(failed, None, "{text}");
    for sizes in [&[1][..], &[2], &[3], &[7], &[16]] {
        assert_eq!(
            read(path, text.as_bytes(), sizes),
            (whole.clone(), None),
            "{text} in chunks of {sizes:?}"
        );
    }
    whole.into_iter().map(Result::unwrap).collect()
}

#[test]
fn yields_the_items_at_the_path_and_nothing_else() {
    let text = r#" {"total":3,"data":{"next":null,"items": [ {"id":1} , [2] ,3, "4" ,null ] ,"x":[{}]}, "z":-0.5e+3} "#;
    assert_eq!(items("data.items", text), [json!({"id": 1}), json!([2]), json!(3), json!("4"), json!(null)]);
    assert_eq!(items("/data/x", text), [json!({})]);
    assert_eq!(items("", "[1,2]"), [json!(1), json!(2)]);
    assert!(items("", "[]").is_empty());
    assert!(items("", " [ ] ").is_empty());
}

#[test]
fn names_are_compared_as_they_are_read_not_as_they_are_written() {
    let text = r#"{"\u0069tem":[0],"item":{},"i\u0074\u0065ms":[1],"d.o\/t":[2],"é😀":[3],"\u00e9\ud83d\ude01":[4],"":[5]}"#;
    assert_eq!(items("items", text), [json!(1)]);
    assert_eq!(items("/d.o~1t", text), [json!(2)]);
    assert_eq!(items("é😀", text), [json!(3)]);
    assert_eq!(items("é😁", text), [json!(4)]);
    assert_eq!(items("/", text), [json!(5)]);
}

#[test]
fn a_path_that_leads_nowhere_says_what_is_there() {
    let (_, missing) = error("data.items", br#"{"data":{"results":[1],"next":2}}"#);
    assert_eq!(
        missing.to_string(),
        r#"nothing at "data.items": what is at "data", up to byte 31, has results, next"#
    );
    let (_, missing) = error("items", b"{}");
    assert_eq!(missing.to_string(), r#"nothing at "items": the document, up to byte 1, has no names"#);
    let (_, other) = error("data.items", br#"{"data":[{"items":[]}]}"#);
    assert_eq!(
        other.to_string(),
        r#"what is at "data" is an array (at byte 8), where an object was expected"#
    );
    for (value, found) in
        [("{}", "an object"), ("\"x\"", "a string"), ("7", "a number"), ("true", "a boolean")]
    {
        let (_, other) = error("", value.as_bytes());
        assert_eq!(
            other.to_string(),
            format!("the document is {found} (at byte 0), where an array was expected")
        );
    }
}

#[test]
fn a_name_of_the_path_that_occurs_twice_is_an_error() {
    let (before, repeated) = error("a.b", br#"{"a":{"b":[1,2],"b":[3]}}"#);
    assert_eq!((before, repeated), (2, Error::Repeated { at: "a.b".to_owned(), offset: 19 }));
    let (_, repeated) = error("a.b", br#"{"a":{"b":[]},"\u0061":7}"#);
    assert!(matches!(repeated, Error::Repeated { at, .. } if at == "a"));
    // Beside the path and within items JSON leaves it open.
    assert_eq!(items("a", r#"{"x":1,"x":2,"a":[{"y":1,"y":2}]}"#).len(), 1);
}

#[test]
fn a_document_that_is_cut_off_anywhere_is_never_accepted() {
    let text = r#"{"é":"\u00e9\n😀","n":[-1.5e3,true],"data":{"items":[{"a":"é"},12,"x"],"more":null}}"#;
    for end in 0..text.len() {
        let (before, cut) = error("data.items", &text.as_bytes()[..end]);
        assert!(cut.is_truncated(), "{cut}");
        assert!(cut.to_string().contains(&format!("ends early, after {end} bytes")), "{cut}");
        assert!(before <= 3);
    }
}

#[test]
fn an_error_says_where_and_what_was_expected() {
    for (text, says) in [
        (&br#"{"a" 1}"#[..], "not JSON at byte 5: `1` where `:` was expected"),
        (br#"{"a":01}"#, "not JSON at byte 6: `1` where `,` or `}` was expected"),
        (br#"{"a":-x}"#, "not JSON at byte 6: `x` where a digit was expected"),
        (
            br#"{"a":"\x"}"#,
            "not JSON at byte 7: `x` where one of `\"\\/bfnrtu` behind a backslash was expected",
        ),
        (b"{\"a\":\"\n\"}", "byte 0x0A where `\"` or a character that is not a control character"),
        (b"{\"a\":\"\xFF\"}", "not UTF-8 at byte 6"),
        (br#"{"items":[1 2]}"#, "not JSON at byte 12: `2` where `,` or `]` was expected"),
        (br#"{"items":[1,]}"#, "not JSON at byte 12: `]` where a value was expected"),
        (br#"{"items":[]]}"#, "not JSON at byte 11: `]` where `,` or `}` was expected"),
        (br#"{"items":[]},"#, "not JSON at byte 12: `,` where nothing more was expected"),
        (b"\xEF\xBB\xBF{}", "not JSON at byte 0: byte 0xEF where a value was expected"),
    ] {
        let (_, error) = error("items", text);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn an_item_that_does_not_fit_does_not_hide_the_others() {
    let text = br#"[{"id":1},{"id":"two"},[1,[2]],4,{"id":5}]"#;
    #[derive(serde::Deserialize)]
    struct Item {
        id: u8,
    }
    for size in 1..=text.len() {
        let (items, failed) = read::<Item>("", text, &[size]);
        assert_eq!(failed, None);
        let shown: Vec<_> =
            items.iter().map(|item| item.as_ref().map(|item| item.id).map_err(ToString::to_string)).collect();
        assert_eq!(shown[0], Ok(1));
        assert!(
            shown[1]
                .as_ref()
                .unwrap_err()
                .starts_with("item 1, at byte 10, does not fit: invalid type: string")
        );
        assert!(shown[2].is_err() && shown[3].is_err());
        assert_eq!(shown[4], Ok(5), "{size}");
    }
}

#[test]
fn an_item_as_large_as_the_limit_is_read_and_a_larger_one_is_not() {
    for item in [r#""12345678""#, "1234567890", "[[[[[]]]]]"] {
        let text = format!("[1,{item},{item} ]");
        for size in 1..=text.len() {
            let limited = |max| JsonItems::at("").unwrap().item_bytes_max(max);
            let read = |max| drive(limited(max), text.as_bytes(), &[size], JsonItems::next_item::<Value>);
            let split = |max| drive(limited(max), text.as_bytes(), &[size], JsonItems::next_bytes);
            assert_eq!((read(10).0.len(), read(10).1), (3, None));
            assert_eq!((split(10).0.len(), split(10).1), (3, None));
            let too_large = Error::TooLarge { index: 1, offset: 3, bytes_max: 9 };
            assert_eq!((read(9).0.len(), read(9).1), (1, Some(too_large.clone())), "{size}");
            assert_eq!((split(9).0.len(), split(9).1), (1, Some(too_large)));
        }
    }
}

#[test]
fn what_stands_beyond_the_limit_of_an_item_is_not_looked_at() {
    let text = b"[1,\"23456789012345678\x01\"]";
    for size in 1..=text.len() {
        let limited = JsonItems::at("").unwrap().item_bytes_max(10);
        let (items, failed) = drive(limited, text, &[size], JsonItems::next_item::<Value>);
        let too_large = Error::TooLarge { index: 1, offset: 3, bytes_max: 10 };
        assert_eq!((items.len(), failed), (1, Some(too_large)), "{size}");
    }
}

#[test]
fn what_is_skipped_may_be_nested_so_deep_and_no_deeper() {
    let nested = |levels: usize| format!(r#"{{"x":{}{},"a":[1]}}"#, "[".repeat(levels), "]".repeat(levels));
    assert_eq!(items("a", &nested(LEVELS_MAX - 1)), [json!(1)]);
    let (_, deep) = error("a", nested(LEVELS_MAX).as_bytes());
    assert_eq!(deep, Error::TooDeep { offset: 5 + 127, levels_max: LEVELS_MAX });
}

#[test]
fn an_item_that_lies_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from(r#"["one","two"]"#);
    let mut items = JsonItems::at("").unwrap();
    items.feed(chunk.clone());
    let item = items.next_bytes().unwrap().unwrap();
    assert_eq!(item.as_ptr(), chunk[1..].as_ptr());
}

#[test]
fn a_million_chunks_of_a_byte_take_no_longer_than_their_bytes() {
    // Were anything read again for each chunk, this would be 10^12 steps.
    let text = format!(r#"{{"skipped":"{}","items":["{0}"]}}"#, "x".repeat(1_000_000));
    let (items, failed) = split("items", text.as_bytes(), &[1]);
    assert_eq!((items[0].as_ref().unwrap().len(), failed), (1_000_002, None));
}

/// The published cases, by name.
fn cases() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/json_test_suite/test_parsing");
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    cases.sort();
    assert_eq!(cases.len(), 318);
    cases
}

/// Everything that must hold for a text as an item, and beside the items.
fn agrees_with_serde(name: &str, text: &[u8], sizes: &[usize]) -> (bool, bool) {
    let as_item = [b"{\"a\":[0,", text, b",1]}"].concat();
    let beside = [b"{\"x\":", text, b",\"a\":[1]}"].concat();

    let by_serde = serde_json::from_slice::<Vec<Box<RawValue>>>(&as_item[5..as_item.len() - 1]);
    let (found, failed) = split("a", &as_item, sizes);
    let is_utf8 = std::str::from_utf8(text).is_ok();
    assert_eq!(failed.is_none(), by_serde.is_ok() && is_utf8, "{name}: {failed:?}, serde_json: {by_serde:?}");
    if let (None, Ok(by_serde)) = (&failed, &by_serde) {
        let found: Vec<_> =
            found.iter().map(|item| std::str::from_utf8(item.as_ref().unwrap()).unwrap()).collect();
        assert_eq!(found, by_serde.iter().map(|item| item.get()).collect::<Vec<_>>(), "{name}");
    }

    let by_serde = serde_json::from_slice::<Vec<Value>>(&as_item[5..as_item.len() - 1]);
    let (read, failed_to_read) = read::<Value>("a", &as_item, sizes);
    assert_eq!(failed_to_read, failed, "{name}");
    let all: Result<Vec<_>, _> = read.into_iter().collect();
    match (by_serde, all) {
        (Ok(by_serde), Ok(all)) if failed.is_none() => assert_eq!(all, by_serde, "{name}"),
        (Ok(by_serde), all) => panic!("{name}: {all:?}, {failed:?}, serde_json: {by_serde:?}"),
        (Err(by_serde), Ok(all)) => assert!(failed.is_some(), "{name}: {all:?}, serde_json: {by_serde}"),
        (Err(_), Err(_)) => {}
    }

    let skips = |text: &[u8]| serde_json::from_slice::<serde_json::Map<String, Value>>(text).is_ok();
    let ignores = serde_json::from_slice::<std::collections::HashMap<String, IgnoredAny>>(&beside).is_ok();
    let (_, failed_beside) = split("a", &beside, sizes);
    match &failed_beside {
        None => assert!(ignores && is_utf8, "{name}"),
        Some(Error::TooDeep { .. }) => assert!(!skips(&beside), "{name}"),
        Some(error) => assert!(!ignores || !is_utf8, "{name}: {error}"),
    }
    (failed.is_none(), failed_beside.is_none())
}

#[test]
fn agrees_with_the_published_cases_as_items_and_beside_them() {
    let mut free = vec![];
    for (name, text) in cases() {
        for sizes in [&[1][..], &[3, 2], &[1 << 20]] {
            let accepted = agrees_with_serde(&name, &text, sizes);
            match name.as_bytes()[0] {
                b'y' => assert_eq!(accepted, (true, true), "{name}"),
                b'n' => assert_eq!(accepted, (false, false), "{name}"),
                b'i' if accepted.0 || accepted.1 => free.push((name.clone(), accepted)),
                b'i' => {}
                _ => panic!("{name}"),
            }
        }
    }
    free.dedup();
    // Where either is right: numbers of any size are numbers, and half a pair of surrogates is an escape. What they
    // mean is up to an item's type. (A double and a String cannot hold them: see `agrees_with_serde`.) Texts that are
    // not UTF-8 are refused, a byte order mark too; 500 brackets are too deep to be skipped, in an item they are not.
    let both = |name: &&(String, _)| name.1 == (true, true);
    assert_eq!(free.iter().filter(both).filter(|(name, _)| name.starts_with("i_number_")).count(), 10);
    assert_eq!(free.iter().filter(both).filter(|(name, _)| name.starts_with("i_string_")).count(), 9);
    assert_eq!(free.iter().filter(both).filter(|(name, _)| name.starts_with("i_object_")).count(), 1);
    let others: Vec<_> = free.iter().filter(|case| !both(case)).map(|(name, _)| name.as_str()).collect();
    assert_eq!(others, ["i_structure_500_nested_arrays.json"]);
}

#[test]
fn a_bracket_closes_only_its_own_kind() {
    for (text, good) in
        [("[1]", true), (r#"{"x":1}"#, true), ("[1}", false), (r#"{"x":1]"#, false), (r#"[{"x":[1}]"#, false)]
    {
        for size in 1..=text.len() {
            assert_eq!(agrees_with_serde(text, text.as_bytes(), &[size]), (good, good), "{text}");
        }
    }
}

#[test]
fn agrees_with_the_published_cases_as_whole_documents() {
    for (name, text) in cases() {
        for size in [1, 3, 1 << 20] {
            let by_serde = serde_json::from_slice::<Value>(&text);
            let (items, failed) = read::<Value>("", &text, &[size]);
            match (by_serde, failed) {
                (Ok(Value::Array(values)), None) => {
                    assert_eq!(items.into_iter().map(Result::unwrap).collect::<Vec<_>>(), values, "{name}");
                }
                (Ok(value), failed) => {
                    assert!(
                        !value.is_array() && matches!(failed, Some(Error::Other { .. })),
                        "{name}: {failed:?}"
                    );
                }
                // Of good syntax, and more than a double, a String or 128 levels can hold.
                (Err(_), None) => {
                    assert!(name.starts_with("i_") && items.iter().any(Result::is_err), "{name}")
                }
                (Err(_), Some(_)) => assert!(!name.starts_with("y_"), "{name}"),
            }
        }
    }
}

#[tokio::test]
async fn a_stream_of_chunks_becomes_a_stream_of_items() {
    let chunks = |chunks: &[&'static str]| {
        stream::iter(chunks.to_vec()).map(|chunk| Ok::<_, &str>(Bytes::from(chunk)))
    };
    let all: Vec<_> =
        json_items::<u8, _, _>(chunks(&["", "[1", "2,", "\"x\"", ",3]"]), "").unwrap().collect().await;
    assert_eq!((&all[0], &all[2], all.len()), (&Ok(12), &Ok(3), 3));
    assert!(all[1].as_ref().unwrap_err().is_item());

    let all: Vec<_> = json_items::<u8, _, _>(chunks(&["[1,2"]), "").unwrap().collect().await;
    assert_eq!(all[0], Ok(1));
    assert!(matches!(&all[1], Err(Stopped::Content(error)) if error.is_truncated()));
    assert_eq!(all.len(), 2);

    let broken = chunks(&["[1,2"]).chain(stream::iter([Err("reset")]));
    let all: Vec<_> = json_items::<u8, _, _>(broken, "").unwrap().collect().await;
    assert_eq!(all, [Ok(1), Err(Stopped::Source("reset"))]);
}

#[tokio::test]
async fn an_item_is_yielded_before_the_next_chunk_is_asked_for() {
    let endless = stream::iter([Ok::<_, &str>(Bytes::from("[1,2,"))]).chain(stream::pending());
    let items: Vec<_> = json_items::<u8, _, _>(endless, "").unwrap().take(2).collect().await;
    assert_eq!(items, [Ok(1), Ok(2)]);
}

fn lines(text: &[u8], size: usize) -> Outcome<Value> {
    drive(JsonLines::new(), text, &[size], JsonLines::next_item)
}

#[test]
fn lines_end_with_either_end_and_the_last_one_with_none() {
    let text = "{\"a\":1}\n\r\n \t\n[2]\r\n\"\\n é\"\n  3  \n\n4".as_bytes();
    for size in 1..=text.len() {
        let (found, failed) = lines(text, size);
        let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
        assert_eq!(
            (found, failed),
            (vec![json!({"a": 1}), json!([2]), json!("\n é"), json!(3), json!(4)], None)
        );
    }
    assert_eq!(lines(b"", 1), (vec![], None));
    assert_eq!(lines(b"\n\n", 1), (vec![], None));
}

#[test]
fn a_bad_line_does_not_hide_the_others() {
    let text = b"1\n{\"a\":\n\n\"\xFF\"\n[1] 2\n5";
    for size in 1..=text.len() {
        let (found, failed) = lines(text, size);
        assert_eq!((found.len(), failed), (5, None));
        assert_eq!((&found[0], &found[4]), (&Ok(json!(1)), &Ok(json!(5))));
        assert!(matches!(&found[1], Err(Error::Item { index: 1, offset: 2, .. })), "{:?}", found[1]);
        assert!(matches!(&found[2], Err(Error::Item { index: 2, offset: 9, .. })), "{:?}", found[2]);
        assert!(matches!(&found[3], Err(Error::Item { index: 3, offset: 13, .. })), "{:?}", found[3]);
    }
}

#[test]
fn a_line_as_long_as_the_limit_is_read_and_a_longer_one_is_not() {
    for end in ["\n", "\r\n", ""] {
        let text = format!("1\n\"12345678\"{end}");
        for size in 1..=text.len() {
            let read = |max| {
                let lines = JsonLines::new().item_bytes_max(max);
                drive(lines, text.as_bytes(), &[size], JsonLines::next_item::<Value>)
            };
            assert_eq!((read(10).0.len(), read(10).1), (2, None));
            let too_large = Error::TooLarge { index: 1, offset: 2, bytes_max: 9 };
            assert_eq!((read(9).0.len(), read(9).1), (1, Some(too_large)), "{size} {end:?}");
        }
    }
}

/// Any JSON value, odd texts included.
fn value() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![".{0,12}", "[a\"\\\\\n\u{1}é😀 ]{0,20}", "[a-z ]{30,60}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        prop::collection::vec(1..4_usize, 1..4),
        prop::collection::vec(1..200_usize, 1..50),
        Just(vec![1 << 20])
    ]
}

proptest! {
    #[test]
    fn any_document_in_any_chunks_yields_the_items_of_serde_json(
        given in prop::collection::vec(value(), 0..12),
        (before, after) in (value(), value()),
        pretty: bool,
        sizes in sizes(),
    ) {
        let document = json!({"a": before, "data": {"b": 1, "items": given, "z": after}, "zz": [after]});
        let text = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) }.unwrap();
        // Numbers that need a round trip: what serde_json reads is what must come out.
        let tree: Value = serde_json::from_slice(&text).unwrap();
        let wanted: Vec<_> = tree["data"]["items"].as_array().unwrap().iter().cloned().map(Ok).collect();
        prop_assert_eq!(read::<Value>("data.items", &text, &sizes), (wanted, None));
        let (pieces, failed) = split("data.items", &text, &sizes);
        prop_assert_eq!(failed, None);
        let reread: Vec<Value> = pieces.iter().map(|piece| serde_json::from_slice(piece.as_ref().unwrap()).unwrap()).collect();
        prop_assert_eq!(&reread, tree["data"]["items"].as_array().unwrap());
    }

    #[test]
    fn a_document_with_a_changed_byte_is_refused_exactly_if_serde_json_refuses_it(
        given in value(),
        place: prop::sample::Index,
        byte in prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}[]:,0-.eE+ \n\x01tfnu"[..])],
        sizes in sizes(),
    ) {
        let mut text = serde_json::to_vec(&given).unwrap();
        let place = place.index(text.len());
        text[place] = byte;
        agrees_with_serde(&String::from_utf8_lossy(&text), &text, &sizes);
    }
}
