//! The bytes of a document as text.

/// Turns a document's bytes into text. `charset` is what the transport said; it goes before what the document says of
/// itself (RFC 7303 §3).
///
/// # Errors
/// Names the encoding that is not read, or where the bytes do not fit it.
pub(crate) fn text(bytes: &[u8], charset: Option<&str>) -> Result<String, String> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => named(bytes, charset.or_else(|| declared(bytes)).unwrap_or("utf-8")),
    }
}

fn named(bytes: &[u8], name: &str) -> Result<String, String> {
    match name.trim().to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => utf8(bytes),
        "iso-8859-1" | "iso8859-1" | "latin1" => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
        "utf-16le" => utf16(bytes, u16::from_le_bytes),
        // Without a mark it is this order (RFC 2781 §4.3).
        "utf-16" | "utf-16be" => utf16(bytes, u16::from_be_bytes),
        other => {
            Err(format!("is in the encoding {other:?}, which is not read: UTF-8, UTF-16 and ISO-8859-1 are"))
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(format!("is no UTF-8 at byte {}", error.valid_up_to())),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>();
    match text {
        Ok(text) if rest.is_empty() => Ok(text),
        Ok(_) | Err(_) => Err("is no UTF-16".into()),
    }
}

/// The encoding that the declaration at the start names.
fn declared(bytes: &[u8]) -> Option<&str> {
    const DECLARATION_BYTES_MAX: usize = 200;
    let start = bytes.strip_prefix(b"<?xml")?;
    let end = start.iter().take(DECLARATION_BYTES_MAX).position(|byte| *byte == b'>')?;
    let declaration = std::str::from_utf8(&start[..end]).ok()?;
    let (_, after) = declaration.split_once("encoding")?;
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split(quote).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_transport_or_the_document_says() {
        let latin = b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>\xe4</a>";
        assert!(text(latin, None).unwrap().ends_with("<a>ä</a>"));
        assert!(text(b"<a>\xe4</a>", Some("iso-8859-1")).unwrap().ends_with("<a>ä</a>"));
        assert!(text(latin, Some("utf-8")).unwrap_err().contains("no UTF-8 at byte 46"));
        assert_eq!(text(b"\xef\xbb\xbf<a/>", Some("latin1")).unwrap(), "<a/>");
        let wide: Vec<u8> = "\u{feff}<a>ä</a>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(text(&wide, None).unwrap(), "<a>ä</a>");
        let wide: Vec<u8> = "\u{feff}<a>😀</a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&wide, None).unwrap(), "<a>😀</a>");
        assert!(text(&wide[..7], None).is_err());
        let unknown = text(b"<?xml version='1.0' encoding=\"EBCDIC\"?><a/>", None).unwrap_err();
        assert!(unknown.contains("\"ebcdic\"") && unknown.contains("UTF-8"), "{unknown}");
    }
}
