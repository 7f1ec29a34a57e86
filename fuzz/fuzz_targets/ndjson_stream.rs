//! The values of lines of JSON that arrive in chunks: what the lines of the whole text are, each read alone.
//!
//! Input: the size of chunks, a line's end, the text.
#![no_main]

use bowline_client::stream::JsonLines;
use bowline_fuzz::{chunk_size, drive, lines};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const LINE_BYTES_MAX: usize = 1000;

fuzz_target!(|data: &[u8]| {
    let [size, text] = lines(data);
    let Some(size) = chunk_size(size) else { return };
    let new = || JsonLines::new().item_bytes_max(LINE_BYTES_MAX);
    let (items, failed) = drive::<_, Value>(new(), text, size);
    assert_eq!((&items, &failed), (&drive(new(), text, text.len()).0, &drive::<_, Value>(new(), text, text.len()).1));
    let mut expected = text.split(|byte| *byte == b'\n');
    for item in items {
        let line = expected.by_ref().map(without_return).find(|line| !is_blank(line)).expect("a line for each item");
        assert!(line.len() <= LINE_BYTES_MAX);
        let value = std::str::from_utf8(line).ok().and_then(|line| serde_json::from_str(line).ok());
        assert_eq!(item.ok(), value);
    }
    let left = expected.map(without_return).find(|line| !is_blank(line) || line.len() > LINE_BYTES_MAX);
    match failed {
        None => assert_eq!(left, None),
        Some(_) => assert!(left.is_some_and(|line| line.len() > LINE_BYTES_MAX)),
    }
});

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| b" \t\r".contains(byte)) && line.len() <= LINE_BYTES_MAX
}
