//! The items of an array in a document that arrives in chunks: what a tree of the whole document has there, whatever
//! the chunks.
//!
//! Input: the size of chunks, a line's end, the path, a line's end, the document.
#![no_main]

use bowline_client::stream::{Error, JsonItems, Split};
use bowline_fuzz::lines;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;

type Outcome<T> = (Vec<Result<T, Error>>, Option<Error>);

fuzz_target!(|data: &[u8]| {
    let [size, path, document] = lines(data);
    let Some(size) = std::str::from_utf8(size).ok().and_then(|size| size.parse::<usize>().ok()) else {
        return;
    };
    let Ok(path) = std::str::from_utf8(path) else { return };
    if JsonItems::at(path).is_err() {
        return;
    }
    let (items, failed) = drive(path, document, size, JsonItems::next_item::<Value>);
    let (pieces, failed_to_split) = drive(path, document, size, JsonItems::next_bytes);
    let in_one_chunk = drive(path, document, document.len(), JsonItems::next_item::<Value>);
    assert_eq!((&items, &failed), (&in_one_chunk.0, &in_one_chunk.1));
    assert_eq!(failed, failed_to_split);
    assert_eq!(items.len(), pieces.len());
    for (item, piece) in items.iter().zip(&pieces) {
        let piece = piece.as_ref().expect("bytes always fit");
        assert_eq!(item.as_ref().ok(), serde_json::from_slice(piece).ok().as_ref());
    }
    agrees_with_the_tree(path, document, &items, failed.as_ref());
});

fn agrees_with_the_tree(path: &str, document: &[u8], items: &[Result<Value, Error>], failed: Option<&Error>) {
    let is_json =
        std::str::from_utf8(document).is_ok() && serde_json::from_slice::<IgnoredAny>(document).is_ok();
    let tree = serde_json::from_slice::<Value>(document);
    let pointer = match path {
        "" => String::new(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{}", path.replace('~', "~0").replace('/', "~1").replace('.', "/")),
    };
    match failed {
        None => {
            assert!(is_json);
            // What has no value (numbers beyond all bounds, halves of characters) has no tree.
            if let Ok(tree) = tree {
                let items: Vec<_> =
                    items.iter().map(|item| item.clone().expect("it is in the tree")).collect();
                assert_eq!(tree.pointer(&pointer), Some(&Value::Array(items)));
            }
        }
        Some(Error::Syntax { .. } | Error::Truncated { .. } | Error::NotUtf8 { .. }) => assert!(!is_json),
        Some(Error::TooDeep { .. }) => assert!(tree.is_err()),
        // A tree takes the last of two; and an index of an array for a name.
        Some(Error::Missing { .. } | Error::Other { .. } | Error::Repeated { .. }) => {}
        Some(Error::TooLarge { .. } | Error::Path { .. } | Error::Item { .. }) => panic!("{failed:?}"),
        Some(other) => panic!("{other:?}"),
    }
}

fn drive<T>(
    path: &str,
    document: &[u8],
    size: usize,
    next: impl Fn(&mut JsonItems) -> Result<Option<T>, Error>,
) -> Outcome<T> {
    let mut splitter = JsonItems::at(path).expect("a path");
    let (mut items, mut chunks, mut ended) = (vec![], document.chunks(size.max(1)), false);
    loop {
        match next(&mut splitter) {
            Ok(Some(item)) => items.push(Ok(item)),
            Err(error) if error.is_item() => items.push(Err(error)),
            Err(error) => return (items, Some(error)),
            Ok(None) if ended => return (items, None),
            Ok(None) => match chunks.next() {
                Some(chunk) => splitter.feed(Bytes::copy_from_slice(chunk)),
                None => {
                    splitter.end();
                    ended = true;
                }
            },
        }
    }
}
