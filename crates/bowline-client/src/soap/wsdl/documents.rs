//! A WSDL and all that it imports and includes, as far as it is given.

use std::collections::HashSet;

use url::Url;

use crate::soap::{
    schema::XSD,
    xml::{self, Element, encoding},
};

/// The namespace of WSDL 1.1.
pub(super) const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";
/// The namespace of WSDL 2.0, which is another language.
const WSDL_2: &str = "http://www.w3.org/ns/wsdl";

/// Most documents that one WSDL may be made of. The largest seen has some 60.
const DOCUMENTS_MAX: usize = 256;
/// Largest document.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All documents.
#[derive(Default)]
pub(crate) struct Found {
    /// The `definitions` elements; the first is the one that was read.
    pub(super) definitions: Vec<Element>,
    pub(super) schemas: Vec<Schema>,
    /// Locations that nobody gave.
    pub(super) missing: Vec<String>,
}

/// A schema, and the target namespace it takes from whoever includes it.
pub(super) struct Schema {
    pub(super) element: Element,
    pub(super) adopted: Option<String>,
}

/// A document to read.
struct Wanted {
    location: String,
    /// The target namespace of the schema that includes it.
    adopted: Option<String>,
}

/// Reads a document, and those that `give` has of what it imports, and so on.
///
/// # Errors
/// Says what is wrong with which document.
pub(crate) fn collect(
    base: &str,
    text: &str,
    give: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
) -> Result<Found, String> {
    let mut found = Found::default();
    let (mut wanted, mut seen) = (vec![], HashSet::new());
    let root = parse(text)?;
    if !root.name.is(WSDL, "definitions") {
        let hint =
            if &*root.name.space == WSDL_2 { "WSDL 2.0 is not supported" } else { "is it another page?" };
        return Err(format!("this is no WSDL 1.1, but a document of <{}>: {hint}", root.name.local));
    }
    take(root, base, None, &mut found, &mut wanted)?;
    seen.insert((base.to_owned(), None));
    while let Some(Wanted { location, adopted }) = wanted.pop() {
        if !seen.insert((location.clone(), adopted.clone())) {
            continue;
        }
        if seen.len() > DOCUMENTS_MAX {
            return Err(format!("this WSDL is made of more than {DOCUMENTS_MAX} documents"));
        }
        match give(&location) {
            None => found.missing.push(location),
            Some(bytes) => {
                let read = encoding::text(&bytes, None).and_then(|text| parse(&text));
                read.and_then(|root| take(root, &location, adopted, &mut found, &mut wanted))
                    .map_err(|what| format!("{location}: {what}"))?;
            }
        }
    }
    found.missing.sort();
    Ok(found)
}

fn parse(text: &str) -> Result<Element, String> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("this document is larger than {DOCUMENT_BYTES_MAX} bytes"));
    }
    xml::read(text).map_err(|what| format!("this is no XML that is read here: it {what}"))
}

/// Keeps a document, and lists what it asks for.
fn take(
    root: Element,
    base: &str,
    adopted: Option<String>,
    found: &mut Found,
    wanted: &mut Vec<Wanted>,
) -> Result<(), String> {
    if root.name.is(XSD, "schema") {
        take_schema(root, base, adopted, found, wanted);
        return Ok(());
    }
    if !root.name.is(WSDL, "definitions") {
        return Err(format!("<{}> is neither a WSDL 1.1 nor a schema", root.name.local));
    }
    let locations = root.all(WSDL, "import").filter_map(|import| import.attribute("location"));
    // The last is read first; so that the first is, they are listed backwards.
    let mut here: Vec<Wanted> =
        locations.map(|to| Wanted { location: join(base, to), adopted: None }).collect();
    here.reverse();
    wanted.extend(here);
    for schema in root.all(WSDL, "types").flat_map(|types| types.all(XSD, "schema")) {
        take_schema(schema.clone(), base, None, found, wanted);
    }
    found.definitions.push(root);
    Ok(())
}

fn take_schema(
    schema: Element,
    base: &str,
    adopted: Option<String>,
    found: &mut Found,
    wanted: &mut Vec<Wanted>,
) {
    let target = schema.attribute("targetNamespace").map(str::to_owned).or_else(|| adopted.clone());
    let mut here = vec![];
    for child in schema.elements().filter(|child| &*child.name.space == XSD) {
        let adopted = match &*child.name.local {
            "include" => target.clone(),
            "import" => None,
            _ => continue,
        };
        if let Some(location) = child.attribute("schemaLocation") {
            here.push(Wanted { location: join(base, location), adopted });
        }
    }
    here.reverse();
    wanted.extend(here);
    found.schemas.push(Schema { element: schema, adopted });
}

/// A location, seen from the document it is written in.
pub(crate) fn join(base: &str, location: &str) -> String {
    let location = location.trim();
    if Url::parse(location).is_ok() {
        return location.to_owned();
    }
    if let Ok(base) = Url::parse(base) {
        return base.join(location).map_or_else(|_| location.to_owned(), Into::into);
    }
    if location.starts_with('/') {
        return location.to_owned();
    }
    let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in location.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if folder.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}
