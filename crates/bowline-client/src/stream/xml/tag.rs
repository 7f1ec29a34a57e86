//! One tag, or one processing instruction, of an XML document.

use memchr::memrchr;
use quick_xml::events::{BytesDecl, BytesStart, attributes::Attributes};

/// A complete tag.
pub(super) struct Tag<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Start,
    End,
    Empty,
}

impl<'a> Tag<'a> {
    /// Reads `<name a="b">`, `</name>` or `<name/>`. The attributes of an item are checked by what reads it.
    pub(super) fn read(tag: &'a [u8], with_attributes: bool) -> Result<Self, String> {
        let inner = &tag[1..tag.len() - 1];
        if let Some(at) = memrchr(b'<', inner) {
            let shown = String::from_utf8_lossy(&inner[at..inner.len().min(at + 20)]);
            return Err(format!(
                "a `<` within a tag, at {shown:?}: `&lt;` or the tag's end is missing before"
            ));
        }
        let (inner, kind) = match inner {
            [b'/', inner @ ..] => (inner, Kind::End),
            [inner @ .., b'/'] => (inner, Kind::Empty),
            inner => (inner, Kind::Start),
        };
        let end = inner.iter().position(|byte| b" \t\r\n".contains(byte)).unwrap_or(inner.len());
        let (name, rest) = inner.split_at(end);
        if !is_name(name) {
            return Err(format!("{:?} is not the name of an element", String::from_utf8_lossy(name)));
        }
        if kind == Kind::End && !rest.trim_ascii().is_empty() {
            return Err("an end tag has no attributes".into());
        }
        if with_attributes && !rest.is_empty() {
            let inner = str::from_utf8(inner).expect("the input is checked");
            for attribute in Attributes::new(inner, end) {
                attribute.map_err(|error| format!("an attribute cannot be read: {error}"))?;
            }
        }
        Ok(Self { name, kind })
    }
}

/// Whether that is a name, as far as ASCII is concerned.
fn is_name(name: &[u8]) -> bool {
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || b"_:".contains(byte) || !byte.is_ascii();
    let goes_on = |byte: &u8| begins(byte) || byte.is_ascii_digit() || b"-.".contains(byte);
    name.first().is_some_and(begins) && name.iter().all(goes_on)
}

/// Whether an element of that name is what the path means.
pub(super) fn is_called(name: &[u8], wanted: &str) -> bool {
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
    name == wanted.as_bytes() || (!wanted.contains(':') && local == wanted.as_bytes())
}

/// Checks `<?name …?>`; `<?xml …?>` says how the document is encoded.
pub(super) fn check_instruction(text: &str) -> Result<(), String> {
    let begins_a_name = |c: char| c.is_alphabetic() || c == '_' || c == ':';
    let declaration = text.strip_prefix("<?").and_then(|text| text.strip_suffix("?>"));
    let Some(declaration) = declaration.filter(|text| text.starts_with(begins_a_name)) else {
        return Err("a processing instruction without a name".into());
    };
    if declaration.split(|c: char| c.is_ascii_whitespace()).next() != Some("xml") {
        return Ok(());
    }
    let declaration = BytesDecl::from_start(BytesStart::from_content(declaration, 3));
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) => {
            let name = name.to_string();
            let is_read = ["utf-8", "utf8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known));
            let problem = || format!("it says that it is encoded as {name}, and only UTF-8 is read");
            is_read.then_some(()).ok_or_else(problem)
        }
        Some(Err(error)) => Err(format!("its first line cannot be read: {error}")),
    }
}
