//! The records of CSV that arrives in chunks: what a reader finds that looks at one byte after the other.
//!
//! Input: the size of chunks, a line's end, the text.
#![no_main]

use bowline_client::stream::CsvRecords;
use bowline_fuzz::{chunk_size, drive, lines};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [size, text] = lines(data);
    let Some(size) = chunk_size(size) else { return };
    let new = || CsvRecords::new().no_header();
    let (items, failed) = drive::<_, Vec<String>>(new(), text, size);
    assert_eq!((&items, &failed), (&drive(new(), text, text.len()).0, &drive::<_, Vec<String>>(new(), text, text.len()).1));
    // By names: the same, whatever the names are.
    let named = || drive::<_, serde_json::Value>(CsvRecords::new(), text, size);
    assert_eq!(named(), drive(CsvRecords::new(), text, text.len()));

    let (records, is_cut) = read(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
    assert_eq!(failed.as_ref().is_some_and(|error| error.is_truncated()), is_cut, "{failed:?}");
    assert_eq!(items.len(), records.len());
    for (item, record) in items.into_iter().zip(records) {
        let record: Option<Vec<String>> = record.into_iter().map(|field| String::from_utf8(field).ok()).collect();
        assert_eq!(item.ok(), record);
    }
});

enum Place {
    /// Before a field; `true`: before a record.
    Before(bool),
    Plain,
    Quoted,
    /// Behind a quote within quotes.
    Quote,
}

/// All records, and whether the text ends within quotes.
fn read(text: &[u8]) -> (Vec<Vec<Vec<u8>>>, bool) {
    let (mut records, mut record, mut field) = (vec![], vec![], vec![]);
    let mut place = Place::Before(true);
    for &byte in text {
        place = match (place, byte) {
            (Place::Before(true), b'\r' | b'\n') => Place::Before(true),
            (Place::Before(_), b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quote, b'"') => {
                field.push(b'"');
                Place::Quoted
            }
            (Place::Quoted, byte) => {
                field.push(byte);
                Place::Quoted
            }
            (_, b',') => {
                record.push(std::mem::take(&mut field));
                Place::Before(false)
            }
            (_, b'\r' | b'\n') => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
                Place::Before(true)
            }
            (_, byte) => {
                field.push(byte);
                Place::Plain
            }
        };
    }
    match place {
        Place::Before(true) => {}
        Place::Quoted => return (records, true),
        Place::Before(false) | Place::Plain | Place::Quote => {
            record.push(field);
            records.push(record);
        }
    }
    (records, false)
}
