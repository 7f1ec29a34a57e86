//! Forms with files: `multipart/form-data` (RFC 7578).

use std::{fmt, path::PathBuf};

use bytes::Bytes;
use memchr::memmem;
use reqwest::header::HeaderValue;
use sha2::{Digest, Sha256};

use crate::upload::{Part, Seen};

/// Most fields of a form.
const FIELDS_MAX: usize = 1000;
/// How much of a hash is in what separates fields.
const BOUNDARY_HASH_BYTES: usize = 16;

/// A form with files, field by field in that order.
///
/// Equal forms give equal fingerprints and, sent under the same idempotency key, equal bytes: what separates the fields
/// follows from the form and, where files are in it, from the key, so that nobody who writes a file can know it.
///
/// Names are UTF-8 as browsers send them: quotes and line ends in them are percent-encoded (WHATWG HTML, multipart form
/// data), so that no name becomes a header. A content type that is none is a problem of the call, which is not sent then.
///
/// # A form with files
/// ```
/// use bowline_client::Multipart;
///
/// let form = Multipart::new()
///     .text("title", "Invoice 7")
///     .bytes("data", "data.json", "application/json", "{}")
///     .file("document", "/srv/invoices/7.pdf", "application/pdf");
/// assert_eq!(format!("{form:?}"), r#"Multipart(["title", "data", "document"])"#);
/// ```
#[derive(Clone, Default)]
pub struct Multipart {
    fields: Vec<Field>,
    /// The files among them; shared by all attempts.
    seen: Seen,
    problem: Option<String>,
}

#[derive(Clone)]
struct Field {
    name: String,
    /// Its headers, as they are sent.
    head: String,
    content: Part,
}

impl Multipart {
    /// A form without fields.
    ///
    /// # One field
    /// ```
    /// let form = bowline_client::Multipart::new().text("title", "Invoice 7");
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text.
    ///
    /// # Texts
    /// ```
    /// let form = bowline_client::Multipart::new().text("amount", 12).text("currency", "EUR");
    /// ```
    pub fn text(self, name: &str, value: impl ToString) -> Self {
        let content = Part::Bytes(value.to_string().into());
        self.with(name, None, None, content)
    }

    /// Adds a file whose content is in memory.
    ///
    /// # A file in memory
    /// ```
    /// let form = bowline_client::Multipart::new().bytes("logo", "logo.svg", "image/svg+xml", "<svg/>");
    /// ```
    pub fn bytes(self, name: &str, file_name: &str, content_type: &str, content: impl Into<Bytes>) -> Self {
        self.with(name, Some(file_name), Some(content_type), Part::Bytes(content.into()))
    }

    /// Adds a file from disk, under its own name. It is read while it is sent; see [`Call::file`](crate::Call::file).
    ///
    /// # A file on disk
    /// ```
    /// let form = bowline_client::Multipart::new().file("document", "/srv/7.pdf", "application/pdf");
    /// ```
    pub fn file(self, name: &str, path: impl Into<PathBuf>, content_type: &str) -> Self {
        let path = path.into();
        let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        match file_name {
            Some(file_name) => self.with(name, Some(&file_name), Some(content_type), Part::File(path)),
            None => self.or_problem(format!("{} names no file", path.display())),
        }
    }

    fn with(
        mut self,
        name: &str,
        file_name: Option<&str>,
        content_type: Option<&str>,
        content: Part,
    ) -> Self {
        if self.fields.len() == FIELDS_MAX {
            return self.or_problem(format!("a form of more than {FIELDS_MAX} fields"));
        }
        let mut head = format!("Content-Disposition: form-data; name=\"{}\"", quoted(name));
        if let Some(file_name) = file_name {
            head.push_str(&format!("; filename=\"{}\"", quoted(file_name)));
        }
        if let Some(content_type) = content_type {
            if HeaderValue::from_str(content_type).is_err() || !content_type.contains('/') {
                return self.or_problem(format!(
                    "{content_type:?}, of the form's field {name:?}, is no content type"
                ));
            }
            head.push_str(&format!("\r\nContent-Type: {content_type}"));
        }
        if content.bytes().is_none() {
            self.seen = Seen::default();
        }
        self.fields.push(Field { name: name.to_owned(), head, content });
        self
    }

    fn or_problem(mut self, problem: String) -> Self {
        self.problem.get_or_insert(problem);
        self
    }

    /// What is wrong with it: the first thing.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.clone()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        for field in &self.fields {
            Part::Bytes(field.head.clone().into()).digest(&mut digest);
            field.content.digest(&mut digest);
        }
        digest.finalize().to_vec()
    }

    /// What separates the fields: in nothing that is in memory, and not to be known to who writes a file.
    pub(crate) fn boundary(&self, key: &str) -> String {
        let has_files = self.fields.iter().any(|field| field.content.bytes().is_none());
        let mut seed = self.fingerprint();
        if has_files {
            seed.extend_from_slice(key.as_bytes());
        }
        loop {
            let hash = Sha256::digest(&seed);
            let boundary = format!("bowline-{}", hex::encode(&hash[..BOUNDARY_HASH_BYTES]));
            let is_within = |field: &Field| {
                let bytes = field.content.bytes().unwrap_or_default();
                memmem::find(bytes, boundary.as_bytes()).is_some()
            };
            if !self.fields.iter().any(is_within) {
                return boundary;
            }
            seed = hash.to_vec();
        }
    }

    /// The whole body.
    pub(crate) fn parts(&self, key: &str) -> Vec<Part> {
        let boundary = self.boundary(key);
        let mut parts = vec![];
        let mut between = String::new();
        for field in &self.fields {
            between.push_str(&format!("--{boundary}\r\n{}\r\n\r\n", field.head));
            parts.push(Part::Bytes(std::mem::take(&mut between).into()));
            parts.push(field.content.clone());
            between.push_str("\r\n");
        }
        parts.push(Part::Bytes(format!("{between}--{boundary}--\r\n").into()));
        parts
    }
}

/// A name as it stands in quotes.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// Shows the names of the fields.
impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        write!(f, "Multipart({names:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: &Multipart) -> String {
        let parts: Vec<u8> =
            form.parts("key").iter().flat_map(|part| part.bytes().unwrap_or(b"(file)").to_vec()).collect();
        String::from_utf8(parts).unwrap().replace(&form.boundary("key"), "B")
    }

    #[test]
    fn fields_are_written_as_rfc_7578_wants_them() {
        let form = Multipart::new().text("a", 1).bytes("b", "ü.txt", "text/plain", "x\r\n").file(
            "c",
            "/x/d.pdf",
            "application/pdf",
        );
        assert_eq!(
            written(&form),
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
             --B\r\nContent-Disposition: form-data; name=\"b\"; filename=\"ü.txt\"\r\nContent-Type: text/plain\r\n\r\nx\r\n\r\n\
             --B\r\nContent-Disposition: form-data; name=\"c\"; filename=\"d.pdf\"\r\nContent-Type: application/pdf\r\n\r\n(file)\r\n\
             --B--\r\n"
        );
        assert_eq!(written(&Multipart::new()), "--B--\r\n");
    }

    #[test]
    fn no_name_becomes_a_header() {
        let form = Multipart::new().bytes("a\"; x=\"\r\nX-Evil: 1", "b\"\r\n\r\nevil", "text/plain", "");
        assert_eq!(written(&form).matches("\r\n").count(), 6);
        assert!(
            written(&form).contains("name=\"a%22; x=%22%0D%0AX-Evil: 1\"; filename=\"b%22%0D%0A%0D%0Aevil\"")
        );
        for content_type in ["text/plain\r\nX-Evil: 1", "", "text"] {
            assert!(
                Multipart::new().bytes("a", "b", content_type, "").problem().is_some(),
                "{content_type:?}"
            );
        }
    }

    #[test]
    fn equal_forms_are_equal_on_the_wire() {
        let form = || Multipart::new().text("a", "1").bytes("b", "c", "text/plain", "2");
        assert_eq!(written(&form()), written(&form()));
        assert_eq!(form().boundary("key-1"), form().boundary("key-2"));
        assert_eq!(form().fingerprint(), form().fingerprint());
        assert_ne!(form().fingerprint(), form().text("d", "").fingerprint());
        assert_ne!(
            Multipart::new().text("a", "bc").fingerprint(),
            Multipart::new().text("ab", "c").fingerprint()
        );
    }

    #[test]
    fn what_separates_fields_is_in_none_of_them() {
        let bait = Multipart::new().text("a", "x").boundary("");
        // A form that holds what would separate its fields, whatever that is, is not easily made: one step of the search.
        let form = Multipart::new().text("a", "x");
        assert_eq!(form.boundary(""), bait);
        let with_file = || Multipart::new().file("f", "/x", "text/plain");
        assert_ne!(
            with_file().boundary("key-1"),
            with_file().boundary("key-2"),
            "who writes the file cannot know it"
        );
        assert_eq!(with_file().fingerprint(), with_file().fingerprint());
    }
}
