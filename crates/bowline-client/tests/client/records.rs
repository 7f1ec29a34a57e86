//! Records of CSV, whatever the chunks.

use std::collections::BTreeMap;

use bowline_client::stream::{CsvRecords, Error, Split};
use proptest::prelude::*;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::streaming::{Outcome, drive};

/// The records, the same in chunks of all sizes.
fn read<T: DeserializeOwned + PartialEq + std::fmt::Debug + Clone>(
    records: impl Fn() -> CsvRecords,
    text: &[u8],
) -> Outcome<T> {
    let whole = drive(records(), text, &[text.len().max(1)], CsvRecords::next_item);
    for size in [1, 2, 3, 7] {
        let parts = drive(records(), text, &[size], CsvRecords::next_item);
        assert_eq!(parts, whole, "{:?} in chunks of {size}", String::from_utf8_lossy(text));
    }
    whole
}

fn good<T: DeserializeOwned + PartialEq + std::fmt::Debug + Clone>(text: &str) -> Vec<T> {
    let (items, failed) = read(CsvRecords::new, text.as_bytes());
    assert_eq!(failed, None, "{text}");
    items.into_iter().map(Result::unwrap).collect()
}

fn told(records: impl Fn() -> CsvRecords, text: &[u8]) -> Vec<String> {
    let (items, failed) = read::<Value>(records, text);
    let failed = failed.into_iter().map(|error| error.to_string());
    items.into_iter().filter_map(Result::err).map(|error| error.to_string()).chain(failed).collect()
}

#[derive(Deserialize, PartialEq, Debug, Clone)]
struct Price {
    sku: String,
    price: f64,
    stock: Option<u32>,
    active: bool,
    kind: Kind,
}

#[derive(Deserialize, PartialEq, Debug, Clone)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Part,
    Set,
}

#[test]
fn records_are_read_by_the_names_of_the_header() {
    let text = "\u{feff}kind,sku,price,note,stock,active\r\npart,A-1, 9.5 ,,3,true\r\n\r\nset,\"A \"\"2\"\"\n,x\",1e3,n,,FALSE\n";
    assert_eq!(
        good::<Price>(text),
        [
            Price { sku: "A-1".into(), price: 9.5, stock: Some(3), active: true, kind: Kind::Part },
            Price { sku: "A \"2\"\n,x".into(), price: 1000.0, stock: None, active: false, kind: Kind::Set },
        ]
    );
}

#[test]
fn what_asks_for_nothing_receives_text() {
    assert_eq!(good::<Value>("id,name\n007,\n"), [json!({"id": "007", "name": ""})]);
    let map: Vec<BTreeMap<String, Option<String>>> = good("a,b\n1,\n");
    assert_eq!(map[0]["b"], None);
}

#[test]
fn records_without_a_header_are_read_by_position() {
    let plain = || CsvRecords::new().no_header().delimiter(b'\t').quote(b'\'');
    let (items, failed) = read::<(u32, String, Option<u8>)>(plain, b"1\ta\t\r2\t'b\tc'\t7");
    assert_eq!(failed, None);
    let items: Vec<_> = items.into_iter().map(Result::unwrap).collect();
    assert_eq!(items, [(1, "a".into(), None), (2, "b\tc".into(), Some(7))]);
    let (items, _) = read::<u32>(|| CsvRecords::new().no_header(), b"1\n2");
    assert_eq!(items, [Ok(1), Ok(2)]);
    let (items, _) = read::<Vec<String>>(|| CsvRecords::new().no_header(), b"a,b\nc");
    assert_eq!(items, [Ok(vec!["a".into(), "b".into()]), Ok(vec!["c".into()])]);
}

#[test]
fn a_record_that_does_not_fit_says_its_line_and_the_next_one_follows() {
    let text = "sku,price,stock,active,kind\nA,1,,true,part\n\"B\nB\",abc,,true,part\nC,1\nD,,,true,part\nE,1,-1,true,part\nF,1,,true,box\nG,1,,true,set";
    let (items, failed) = read::<Price>(CsvRecords::new, text.as_bytes());
    assert_eq!(failed, None);
    assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 2);
    let told: Vec<String> =
        items.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    assert_eq!(
        told,
        [
            r#"item 1, at byte 43, on line 3, does not fit: field "price": "abc" is not a number"#,
            "item 2, at byte 64, on line 5, has 2 fields where the header names 5",
            r#"item 3, at byte 68, on line 6, does not fit: field "price": is empty, where a number was expected: make it an Option"#,
            r#"item 4, at byte 82, on line 7, does not fit: field "stock": "-1" is not a whole number (u32)"#,
            r#"item 5, at byte 99, on line 8, does not fit: field "kind": unknown variant `box`, expected `part` or `set`"#,
        ]
    );
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["a,b", "1,2", "", "\"x", "y\",2", "1"].join(end);
        let told = told(CsvRecords::new, text.as_bytes());
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("on line 6,"), "{end:?}: {}", told[0]);
    }
}

#[test]
fn what_is_cut_within_quotes_ends_early() {
    let (items, failed) = read::<Value>(CsvRecords::new, b"a\n1\n\"2");
    assert_eq!(items.len(), 1);
    assert!(failed.unwrap().is_truncated());
    assert_eq!(good::<Value>("a\n1\n\"2\""), [json!({"a": "1"}), json!({"a": "2"})]);
}

#[test]
fn what_is_no_csv_is_refused() {
    assert_eq!(told(CsvRecords::new, b""), ["not CSV at byte 0: it is empty, where a header was expected"]);
    assert!(told(CsvRecords::new, b"a\n\xe9\n")[0].contains("on line 2, is not UTF-8"));
    assert!(told(CsvRecords::new, b"caf\xe9\n1\n")[0].starts_with("not UTF-8 at byte 0"));
    assert!(told(|| CsvRecords::new().no_header(), b"").is_empty());
    let wide = vec![b','; 70_000];
    let whole = drive(CsvRecords::new(), &wide, &[4096], CsvRecords::next_item::<Value>);
    assert!(whole.1.unwrap().to_string().contains("more than 65536 fields on line 1"));
}

#[test]
fn a_record_has_a_limit() {
    let small = || CsvRecords::new().item_bytes_max(8);
    assert_eq!(read::<Value>(small, b"a\n12345678\r\n\"123456\"").0.len(), 2);
    for text in [&b"a\n1\n123456789\n"[..], b"a\n1\n\"12\n45678", b"a\n1\n123456789"] {
        let (items, failed) = read::<Value>(small, text);
        assert_eq!(items.len(), 1);
        assert_eq!(failed, Some(Error::TooLarge { index: 1, offset: 4, bytes_max: 8 }));
    }
}

/// As a spreadsheet writes it.
fn write(records: &[Vec<String>], end: &str, quote_all: bool) -> String {
    let field = |field: &String| {
        if quote_all || field.is_empty() || field.contains([',', '"', '\r', '\n']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.clone()
        }
    };
    records.iter().map(|record| record.iter().map(field).collect::<Vec<_>>().join(",") + end).collect()
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        records in prop::collection::vec(prop::collection::vec("[a-zé\", \r\n;]{0,6}", 2..4), 0..6),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        quote_all: bool,
        size in 1_usize..20,
    ) {
        let text = write(&records, end, quote_all);
        let (items, failed) = drive(CsvRecords::new().no_header(), text.as_bytes(), &[size], CsvRecords::next_item::<Vec<String>>);
        prop_assert_eq!(failed, None);
        let items: Vec<_> = items.into_iter().map(Result::unwrap).collect();
        prop_assert_eq!(items, records);
    }
}
