use async_compression::{
    Level,
    codecs::{
        BrotliEncoder, Encode, GzipEncoder, ZstdEncoder, brotli::params::EncoderParams,
        flate::params::FlateEncoderParams,
    },
    zstd::CParameter,
};

use super::*;

const LARGE: u64 = 1 << 40;

fn head(encoding: &str) -> HeaderMap {
    [(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap())].into_iter().collect()
}

fn run(mut encoder: impl Encode, text: &[u8]) -> Vec<u8> {
    let mut all = vec![];
    let mut input = PartialBuffer::new(text);
    let mut finished = false;
    while !finished {
        let mut output = PartialBuffer::new(vec![0; 64 * 1024]);
        if input.unwritten().is_empty() {
            finished = encoder.finish(&mut output).unwrap();
        } else {
            encoder.encode(&mut input, &mut output).unwrap();
        }
        all.extend_from_slice(output.written());
    }
    all
}

fn gzip(text: &[u8]) -> Vec<u8> {
    run(GzipEncoder::new(FlateEncoderParams::from(Level::Best)), text)
}

fn brotli(text: &[u8]) -> Vec<u8> {
    run(BrotliEncoder::new(EncoderParams::default().quality(Level::Precise(5))), text)
}

fn zstd(text: &[u8]) -> Vec<u8> {
    run(ZstdEncoder::new(3), text)
}

/// What comes of the body in chunks of that size: what was decoded, and what is wrong with it.
fn drive(encoding: &str, body: &[u8], size: usize, bytes_max: u64) -> (Vec<u8>, Option<Undecodable>) {
    let mut decoder = Decoder::new(&head(encoding), bytes_max).unwrap();
    let (mut all, mut chunks, mut ended) = (vec![], body.chunks(size), false);
    loop {
        match decoder.piece() {
            Ok(Some(piece)) => all.extend_from_slice(&piece),
            Err(error) => return (all, Some(error)),
            Ok(None) if ended => return (all, None),
            Ok(None) => match chunks.next() {
                Some(chunk) => decoder.feed(Bytes::copy_from_slice(chunk)),
                None => {
                    decoder.end();
                    ended = true;
                }
            },
        }
    }
}

fn decoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    let (whole, failed) = drive(encoding, body, body.len().max(1), LARGE);
    assert_eq!(failed, None, "{encoding}");
    for size in [1, 2, 7, 1000] {
        assert_eq!(
            drive(encoding, body, size, LARGE),
            (whole.clone(), None),
            "{encoding} in chunks of {size}"
        );
    }
    whole
}

/// Text that compresses as documents do, and is longer than a piece.
fn text() -> Vec<u8> {
    (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect()
}

fn encoders() -> [(&'static str, Vec<u8>); 3] {
    [("gzip", gzip(&text())), ("br", brotli(&text())), ("zstd", zstd(&text()))]
}

#[test]
fn a_body_is_what_was_encoded_whatever_the_chunks() {
    for (encoding, body) in encoders() {
        assert_eq!(decoded(encoding, &body), text(), "{encoding}");
    }
    assert_eq!(decoded("identity", b"as it is"), b"as it is");
    assert_eq!(decoded("X-GZip", &gzip(b"")), b"");
}

#[test]
fn lists_are_undone_from_their_end() {
    assert_eq!(decoded("gzip, br", &brotli(&gzip(&text()))), text());
    assert_eq!(decoded("br,identity , zstd", &zstd(&brotli(&text()))), text());
    let mut two = head("gzip");
    two.append(CONTENT_ENCODING, HeaderValue::from_static("zstd"));
    let mut decoder = Decoder::new(&two, LARGE).unwrap();
    decoder.feed(zstd(&gzip(b"two headers")).into());
    assert_eq!(decoder.piece().unwrap().unwrap(), "two headers");
}

#[test]
fn members_and_frames_follow_each_other() {
    assert_eq!(decoded("gzip", &[gzip(b"a"), gzip(b""), gzip(b"b")].concat()), b"ab");
    assert_eq!(decoded("zstd", &[zstd(b"a"), zstd(b"b")].concat()), b"ab");
}

#[test]
fn no_body_at_all_is_empty() {
    for encoding in ["gzip", "br", "zstd", "gzip, br"] {
        assert_eq!(drive(encoding, b"", 1, LARGE), (vec![], None));
    }
}

#[test]
fn a_body_cut_anywhere_ends_early() {
    for (encoding, body) in
        [("gzip", gzip(b"hello hello")), ("br", brotli(b"hello hello")), ("zstd", zstd(b"hello hello"))]
    {
        for end in 1..body.len() {
            let (_, failed) = drive(encoding, &body[..end], 3, LARGE);
            assert!(
                failed.as_ref().is_some_and(Undecodable::is_truncated),
                "{encoding} cut at {end}: {failed:?}"
            );
        }
    }
    let outer = brotli(&gzip(b"hello")[..15]);
    assert_eq!(drive("gzip, br", &outer, 100, LARGE).1, Some(Undecodable::Truncated { encoding: "gzip" }));
}

#[test]
fn what_follows_is_no_part_of_a_body() {
    for (encoding, body) in [("gzip", gzip(b"hello")), ("br", brotli(b"hello")), ("zstd", zstd(b"hello"))] {
        for tail in [&b"<!-- cached -->"[..], b"\0\0\0\0"] {
            let (_, failed) = drive(encoding, &[&body[..], tail].concat(), 4, LARGE);
            assert!(failed.is_some(), "{encoding} and {tail:?}");
        }
    }
    let told = drive("br", &[brotli(b"hello"), b"x".to_vec()].concat(), 100, LARGE).1.unwrap().to_string();
    assert_eq!(told, "goes on after its brotli is complete");
}

#[test]
fn damage_is_seen() {
    let body = gzip(&text());
    // The checksum, and the length behind it.
    for at in [body.len() - 8, body.len() - 1] {
        let mut damaged = body.clone();
        damaged[at] ^= 1;
        let failed = drive("gzip", &damaged, 1000, LARGE).1.unwrap();
        assert!(failed.to_string().starts_with("is damaged: not gzip, as its head says: "), "{failed}");
    }
    for encoding in ["gzip", "br", "zstd"] {
        let failed = drive(encoding, b"<!doctype html><title>Log in</title>", 100, LARGE).1.unwrap();
        assert!(matches!(failed, Undecodable::Corrupt { .. }), "{encoding}: {failed}");
    }
}

#[test]
fn a_body_is_read_up_to_the_limit_and_no_further() {
    for (encoding, body) in encoders().into_iter().chain([("identity", text())]) {
        let size = text().len() as u64;
        assert_eq!(drive(encoding, &body, 1000, size), (text(), None));
        let (all, failed) = drive(encoding, &body, 1000, size - 1);
        assert_eq!(all, &text()[..text().len() - 1]);
        assert_eq!(failed, Some(Undecodable::TooLarge { bytes_max: size - 1 }));
    }
}

#[test]
fn bombs_are_put_out_early() {
    let zeros = vec![0; 16 * 1024 * 1024];
    for (encoding, body) in
        [("br", brotli(&zeros)), ("zstd", zstd(&zeros)), ("br, gzip", gzip(&brotli(&zeros)))]
    {
        assert!(body.len() < 16 * 1024, "{encoding}: {} bytes stand for 16 MiB", body.len());
        let (all, failed) = drive(encoding, &body, 512, LARGE);
        assert!(matches!(failed, Some(Undecodable::Bomb { .. })), "{encoding}: {failed:?}");
        assert!(
            all.len() as u64 <= GROWTH_BYTES_FREE + GROWTH_MAX * body.len() as u64,
            "{encoding}: {}",
            all.len()
        );
    }
    // Deflate grows 1032 times at most: gzip in gzip more.
    let (all, failed) = drive("gzip, gzip", &gzip(&gzip(&zeros)), 512, LARGE);
    assert!(matches!(failed, Some(Undecodable::Bomb { .. })), "{failed:?}");
    assert!(all.len() < 2 * 1024 * 1024);
    let (all, failed) = drive("gzip", &gzip(&zeros), 512, 1_000_000);
    assert_eq!((all.len(), failed), (1_000_000, Some(Undecodable::TooLarge { bytes_max: 1_000_000 })));
}

#[test]
fn a_window_beyond_what_http_allows_is_refused() {
    let wide = run(ZstdEncoder::new_with_params(3, &[CParameter::window_log(24)]), &text().repeat(100));
    let failed = drive("zstd", &wide, 1000, LARGE).1.unwrap();
    assert!(failed.to_string().contains("too much memory"), "{failed}");
    // A window of 1 GiB, as nobody may ask for by HTTP.
    let failed = drive("br", &[BROTLI_LARGE_WINDOW, 30, 0, 0], 4, LARGE).1.unwrap();
    assert!(failed.to_string().contains("window"), "{failed}");
}

#[test]
fn other_encodings_are_named() {
    let refused = |encoding| Decoder::new(&head(encoding), LARGE).unwrap_err();
    assert_eq!(refused("deflate"), "is encoded as deflate, which was not asked for");
    assert!(refused("gzip, compress").contains("compress"));
    assert!(refused("gzip, gzip, gzip, gzip, gzip").contains("limit 4"));
}
