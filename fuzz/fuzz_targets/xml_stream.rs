//! The elements at a path of XML that arrives in chunks: what quick-xml finds there in the whole text.
//!
//! Input: the size of chunks, a line's end, the path, a line's end, the document.
#![no_main]

use bowline_client::stream::{Error, Split, XmlElements};
use bowline_fuzz::{chunk_size, drive, drive_with, lines};
use libfuzzer_sys::fuzz_target;
use quick_xml::{Reader, events::Event};

fuzz_target!(|data: &[u8]| {
    let [size, path, document] = lines(data);
    let Some(size) = chunk_size(size) else { return };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let Ok(elements) = XmlElements::at(path) else { return };
    let whole = || elements.anew();
    let (pieces, failed) = drive_with(whole(), document, size, XmlElements::next_bytes);
    let in_one_chunk = drive_with(whole(), document, document.len(), XmlElements::next_bytes);
    assert_eq!((&pieces, &failed), (&in_one_chunk.0, &in_one_chunk.1));
    let (items, failed_to_read) = drive::<_, serde_json::Value>(whole(), document, size);
    assert_eq!((items.len(), &failed_to_read), (pieces.len(), &failed));
    if failed.is_none() {
        let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|piece| piece.expect("bytes always fit").to_vec()).collect();
        let names: Vec<&str> =
            if path.starts_with('/') { return } else { path.split('.').collect() };
        assert_eq!(pieces, found_by_quick_xml(document, &names));
    }
    assert!(!matches!(failed, Some(Error::Item { .. } | Error::Path { .. } | Error::Syntax { .. })), "{failed:?}");
});

fn found_by_quick_xml(document: &[u8], names: &[&str]) -> Vec<Vec<u8>> {
    let text = std::str::from_utf8(document).expect("what was accepted is UTF-8");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    // Text that is skipped is not looked at.
    reader.config_mut().allow_dangling_amp = true;
    let (mut found, mut open, mut matched, mut start) = (vec![], 0, 0, 0);
    loop {
        let before = usize::try_from(reader.buffer_position()).expect("small");
        let event = reader.read_event().unwrap_or_else(|error| panic!("accepted, but {error}: {text:?}"));
        let after = usize::try_from(reader.buffer_position()).expect("small");
        match event {
            Event::Eof => return found,
            Event::Start(tag) => {
                if matched == open && open < names.len() && is_called(tag.name().into_inner(), names[open]) {
                    matched += 1;
                    start = before;
                }
                open += 1;
            }
            Event::Empty(tag) => {
                let fits = matched == open && open + 1 == names.len();
                if fits && is_called(tag.name().into_inner(), names[open]) {
                    found.push(text.as_bytes()[before..after].to_vec());
                }
            }
            Event::End(_) => {
                open -= 1;
                if matched > open {
                    if matched == names.len() {
                        found.push(text.as_bytes()[start..after].to_vec());
                    }
                    matched = open;
                }
            }
            _ => {}
        }
    }
}

fn is_called(name: impl AsRef<[u8]>, wanted: &str) -> bool {
    let name = name.as_ref();
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
    name == wanted.as_bytes() || (!wanted.contains(':') && local == wanted.as_bytes())
}
