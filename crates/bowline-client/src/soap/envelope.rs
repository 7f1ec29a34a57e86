//! The envelope around a message: written, opened, and said what it is when it is none.

use super::{
    operation::Operation,
    version::SoapVersion,
    xml::{self, Element, Name, encoding, write::Writer},
};
use crate::verdict::Answer;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

/// The start of each request. What is added to the header at every attempt is put right after it.
fn prologue(version: SoapVersion) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<soap:Envelope xmlns:soap=\"{}\">",
        version.envelope()
    )
}

const HEADER: &str = "<soap:Header>";

/// The request of an operation.
///
/// # Errors
/// Names the place in the input, what is wanted there and what is there.
pub(crate) fn write(
    operation: &Operation,
    input: &Value,
    headers: &[(String, Value)],
) -> Result<String, String> {
    let version = operation.version();
    let mut writer = Writer::default();
    writer.begin_document();
    let name = |local: &str| Name::new(version.envelope(), local);
    writer.start_as(&name("Envelope"), Some("soap"));
    if !headers.is_empty() {
        writer.start(&name("Header"));
        for (header, value) in headers {
            operation.write_header(&mut writer, header, value)?;
        }
        writer.end();
    }
    writer.start(&name("Body"));
    operation.write_input(&mut writer, input)?;
    writer.end();
    writer.end();
    let text = writer.finish();
    debug_assert!(
        text.starts_with(&prologue(version)),
        "what is added to the header finds its place: {text}"
    );
    Ok(text)
}

/// Adds to the header of a request of ours; anything else is left alone.
pub(crate) fn with_header(body: &[u8], block: impl Fn(SoapVersion) -> String) -> Option<Vec<u8>> {
    [SoapVersion::V1_1, SoapVersion::V1_2].into_iter().find_map(|version| {
        let prologue = prologue(version);
        let rest = body.strip_prefix(prologue.as_bytes())?;
        let block = block(version);
        let mut whole = Vec::with_capacity(body.len() + block.len() + 2 * HEADER.len() + 1);
        whole.extend_from_slice(prologue.as_bytes());
        whole.extend_from_slice(HEADER.as_bytes());
        whole.extend_from_slice(block.as_bytes());
        match rest.strip_prefix(HEADER.as_bytes()) {
            Some(rest) => whole.extend_from_slice(rest),
            None => {
                whole.extend_from_slice(b"</soap:Header>");
                whole.extend_from_slice(rest);
            }
        }
        Some(whole)
    })
}

/// What an answer holds.
pub(crate) enum Opened {
    Body(Element),
    /// The `Fault` element.
    Fault(SoapVersion, Element),
}

/// Opens the envelope in an answer.
///
/// # Errors
/// Says what the answer is instead; the text goes on after "its body".
pub(crate) fn open(answer: &Answer) -> Result<Opened, String> {
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    if kind.starts_with("multipart/") {
        return Err("has several parts (MTOM or attachments), which are not supported".into());
    }
    let start = answer.body.trim_ascii_start();
    if start.is_empty() {
        return Err("is empty where a SOAP envelope was expected".into());
    }
    let charset = kind.split(';').find_map(|part| part.trim().strip_prefix("charset="));
    let read = encoding::text(&answer.body, charset.map(|name| name.trim_matches('"')));
    let root = match read.and_then(|text| xml::read(&text)) {
        Ok(root) => root,
        Err(what) => return Err(not_soap(&kind, start, &what)),
    };
    let version = [SoapVersion::V1_1, SoapVersion::V1_2]
        .into_iter()
        .find(|version| root.name.is(version.envelope(), "Envelope"));
    let Some(version) = version else {
        return Err(not_soap(&kind, start, &format!("is a document of <{}>", root.name)));
    };
    let Some(body) = root.child(version.envelope(), "Body") else {
        return Err("is a SOAP envelope without a body".into());
    };
    match body.elements().find(|child| child.name.is(version.envelope(), "Fault")) {
        Some(fault) => Ok(Opened::Fault(version, fault.clone())),
        None => Ok(Opened::Body(body.clone())),
    }
}

/// What an answer is that is no envelope.
fn not_soap(kind: &str, start: &[u8], what: &str) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    let lower = start[..start.len().min(SHOWN_BYTES_MAX)].to_ascii_lowercase();
    let is_html =
        kind.contains("html") || lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html");
    let shown = String::from_utf8_lossy(&start[..start.len().min(SHOWN_BYTES_MAX)]);
    if is_html {
        return format!(
            "is HTML where a SOAP envelope was expected ({shown:?}): does the base URL lead to the service?"
        );
    }
    format!("{what}, where a SOAP envelope was expected ({shown:?})")
}
