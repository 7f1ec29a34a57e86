//! XML, read into a tree whose names are resolved, and written back.
//!
//! What comes in: bytes of strangers. What goes out: a tree within limits, or what is wrong with the document. What
//! must never happen here: a document type (entities that grow, files that are read) or any entity but the five that
//! XML itself has.

use std::{collections::HashSet, fmt, sync::Arc};

use quick_xml::{
    Reader, XmlVersion,
    escape::unescape,
    events::{BytesRef, BytesStart, Event},
};

pub(crate) mod encoding;
pub(crate) mod write;

/// Deepest nesting. Real messages stay under 30.
pub(crate) const DEPTH_MAX: usize = 128;
/// Most attributes of one element, declarations of namespaces included.
pub(crate) const ATTRIBUTES_MAX: usize = 256;
/// Most declarations of namespaces that hold at one place: each name is looked up among them.
pub(crate) const NAMESPACES_MAX: usize = 256;
/// Most elements of one document: a tree takes many times the room of its text.
pub(crate) const ELEMENTS_MAX: usize = 1_000_000;

/// What the prefix `xml` always means.
pub(crate) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// What the prefix `xmlns` always means.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// A resolved name: the namespace (empty for none) and the local part.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) space: Arc<str>,
    pub(crate) local: Arc<str>,
}

impl Name {
    pub(crate) fn new(space: impl Into<Arc<str>>, local: impl Into<Arc<str>>) -> Self {
        Self { space: space.into(), local: local.into() }
    }

    pub(crate) fn is(&self, space: &str, local: &str) -> bool {
        &*self.space == space && &*self.local == local
    }
}

/// As `{namespace}local`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.space.is_empty() {
            write!(f, "{{{}}}", self.space)?;
        }
        f.write_str(&self.local)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The namespaces that are declared at a place.
#[derive(Clone, Default)]
pub(crate) struct Scope(Option<Arc<Declared>>);

struct Declared {
    /// Prefix (empty for the default) and namespace (empty for none), innermost last.
    bindings: Vec<(String, Arc<str>)>,
}

impl Scope {
    /// The namespace of a prefix. The empty prefix is always bound: to nothing, if nobody says otherwise.
    pub(crate) fn namespace(&self, prefix: &str) -> Option<Arc<str>> {
        let declared = self.0.iter().flat_map(|declared| declared.bindings.iter().rev());
        let found = declared.into_iter().find(|(bound, _)| bound == prefix);
        match (found, prefix) {
            (_, "xml") => Some(XML.into()),
            (Some((_, space)), "") => Some(space.clone()),
            (Some((_, space)), _) => (!space.is_empty()).then(|| space.clone()),
            (None, "") => Some("".into()),
            (None, _) => None,
        }
    }

    /// The name that a `prefix:local` in a value or an attribute of this place means. Without a prefix it is in the
    /// default namespace.
    pub(crate) fn name(&self, text: &str) -> Result<Name, String> {
        let text = text.trim();
        let (prefix, local) = text.split_once(':').unwrap_or(("", text));
        if !is_name(local) {
            return Err(format!("{text:?} is no name"));
        }
        let space = self.namespace(prefix).ok_or_else(|| undeclared(prefix, text))?;
        Ok(Name { space, local: local.into() })
    }

    fn with(&self, declared: Vec<(String, Arc<str>)>) -> Result<Self, String> {
        if declared.is_empty() {
            return Ok(self.clone());
        }
        let mut bindings: Vec<(String, Arc<str>)> = match &self.0 {
            Some(outer) => {
                let hidden = |prefix: &str| declared.iter().any(|(new, _)| new == prefix);
                outer.bindings.iter().filter(|(prefix, _)| !hidden(prefix)).cloned().collect()
            }
            None => vec![],
        };
        bindings.extend(declared);
        if bindings.len() > NAMESPACES_MAX {
            return Err(format!("more than {NAMESPACES_MAX} namespaces are declared at one place"));
        }
        Ok(Self(Some(Arc::new(Declared { bindings }))))
    }
}

/// One element. Comments and processing instructions are not kept.
#[derive(Clone)]
pub(crate) struct Element {
    pub(crate) name: Name,
    /// Without the declarations of namespaces.
    pub(crate) attributes: Vec<(Name, String)>,
    pub(crate) children: Vec<Node>,
    /// What the prefixes in its values mean.
    pub(crate) scope: Scope,
}

/// What is in an element.
#[derive(Clone)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// The attribute with that name and no namespace.
    pub(crate) fn attribute(&self, local: &str) -> Option<&str> {
        self.attribute_in("", local)
    }

    pub(crate) fn attribute_in(&self, space: &str, local: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(name, _)| name.is(space, local));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The children with that name.
    pub(crate) fn all<'a>(&'a self, space: &'a str, local: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements().filter(move |child| child.name.is(space, local))
    }

    /// The first child with that name.
    pub(crate) fn child(&self, space: &str, local: &str) -> Option<&Element> {
        self.elements().find(|child| child.name.is(space, local))
    }

    /// Its own text, without that of its children.
    pub(crate) fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|child| match child {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }
}

/// Shows its name only: a message may hold personal data.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({})", self.name)
    }
}

/// Reads a document.
///
/// # Errors
/// Says what is wrong with it, and at which byte.
pub(crate) fn read(text: &str) -> Result<Element, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((at, bad)) = text.char_indices().find(|(_, c)| !is_char(*c)) {
        return Err(format!(
            "has the character U+{:04X} at byte {at}, which XML cannot hold",
            u32::from(bad)
        ));
    }
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_comments = true;
    config.expand_empty_elements = true;
    let mut tree = Tree::default();
    loop {
        let at = reader.buffer_position();
        let event = reader
            .read_event()
            .map_err(|error| format!("is not well-formed at byte {}: {error}", reader.error_position()))?;
        if matches!(event, Event::Eof) {
            return tree.finish();
        }
        tree.take(event, at == 0).map_err(|what| format!("at byte {at}: {what}"))?;
    }
}

/// A tree that grows.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    /// Names repeat: each is kept once.
    known: HashSet<Arc<str>>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, first: bool) -> Result<(), String> {
        match event {
            Event::Start(start) | Event::Empty(start) => self.start(&start),
            Event::End(_) => {
                let element = self.open.pop().expect("the reader checks that ends match");
                self.add(Node::Element(element))
            }
            Event::Text(text) if text.contains("]]>") => Err("]]> in text, which is not allowed".into()),
            Event::Text(text) => self.text(&text.xml10_content()),
            Event::CData(text) if self.open.is_empty() => Err(outside(&text)),
            Event::CData(text) => self.text(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let text = referred(&reference)?;
                if self.open.is_empty() { Err(outside(&reference)) } else { self.text(&text) }
            }
            Event::Decl(_) if first => Ok(()),
            Event::Decl(_) => Err("an XML declaration after the start".into()),
            Event::DocType(_) => Err("a document type (DOCTYPE), which is never read: it can make a small \
                                      document huge, or fetch others"
                .into()),
            Event::PI(instruction) if instruction.target().eq_ignore_ascii_case("xml") => {
                Err("an XML declaration after the start".into())
            }
            Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.root.is_some() {
            return Err(format!("<{}> after the end of the document", start.name().0));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(format!("elements are nested deeper than {DEPTH_MAX}"));
        }
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(format!("more than {ELEMENTS_MAX} elements in one document"));
        }
        let (declared, plain) = attributes(start)?;
        let outer = self.open.last().map(|element| element.scope.clone()).unwrap_or_default();
        let scope = outer.with(declared)?;
        let name = self.resolve(start.name().0, &scope, true)?;
        let mut attributes: Vec<(Name, String)> = Vec::with_capacity(plain.len());
        for (key, value) in plain {
            let name = self.resolve(&key, &scope, false)?;
            if attributes.iter().any(|(known, _)| *known == name) {
                return Err(format!("the attribute {key} of <{}> is there twice", start.name().0));
            }
            attributes.push((name, value));
        }
        self.open.push(Element { name, attributes, children: vec![], scope });
        Ok(())
    }

    /// The name of an element or an attribute: only elements are in the default namespace.
    fn resolve(&mut self, text: &str, scope: &Scope, element: bool) -> Result<Name, String> {
        let (prefix, local) = text.split_once(':').unwrap_or(("", text));
        if !is_name(local) || text.starts_with(':') {
            return Err(format!("{text:?} is no name"));
        }
        let space = if prefix.is_empty() && !element {
            "".into()
        } else {
            scope.namespace(prefix).ok_or_else(|| undeclared(prefix, text))?
        };
        Ok(Name { space: self.once(&space), local: self.once(local) })
    }

    fn once(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.known.insert(new.clone());
        new
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        let Some(open) = self.open.last_mut() else {
            return if text.trim_matches(is_space).is_empty() { Ok(()) } else { Err(outside(text)) };
        };
        match open.children.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            Some(Node::Element(_)) | None => open.children.push(Node::Text(text.to_owned())),
        }
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), String> {
        match (self.open.last_mut(), node) {
            (Some(parent), node) => parent.children.push(node),
            (None, Node::Element(root)) => self.root = Some(root),
            (None, Node::Text(text)) => return Err(outside(&text)),
        }
        Ok(())
    }

    fn finish(self) -> Result<Element, String> {
        match self.open.last() {
            Some(open) => Err(format!("ends within <{}>", open.name.local)),
            None => self.root.ok_or_else(|| "has no element".to_owned()),
        }
    }
}

/// Prefix and namespace of each declaration; name and value of each other attribute.
type Attributes = (Vec<(String, Arc<str>)>, Vec<(String, String)>);

fn attributes(start: &BytesStart<'_>) -> Result<Attributes, String> {
    let (mut declared, mut plain) = (vec![], vec![]);
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| format!("<{}>: {error}", start.name().0))?;
        if declared.len() + plain.len() == ATTRIBUTES_MAX {
            return Err(format!("<{}> has more than {ATTRIBUTES_MAX} attributes", start.name().0));
        }
        let key = attribute.key.0;
        if attribute.value.contains('<') {
            return Err(format!("the attribute {key} holds a <"));
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| format!("the attribute {key}: {error}"))?;
        check_chars(&value)?;
        match key.strip_prefix("xmlns") {
            Some("") => declared.push((String::new(), value.as_ref().into())),
            Some(prefix) if prefix.starts_with(':') => {
                declared.push(declaration(&prefix[1..], &value)?);
            }
            Some(_) | None => plain.push((key.to_owned(), value.into_owned())),
        }
    }
    Ok((declared, plain))
}

fn declaration(prefix: &str, space: &str) -> Result<(String, Arc<str>), String> {
    let reserved = (prefix == "xml") != (space == XML) || prefix == "xmlns" || space == XMLNS;
    if !is_name(prefix) || reserved || space.is_empty() {
        return Err(format!("the prefix {prefix:?} cannot be declared as {space:?}"));
    }
    Ok((prefix.to_owned(), space.into()))
}

/// What `&name;` stands for: one of the five of XML itself, or a character.
fn referred(reference: &BytesRef<'_>) -> Result<String, String> {
    let text = format!("&{};", &**reference);
    let read = unescape(&text).map_err(|_| {
        format!("{text} is an entity that XML itself does not have: entities of documents are never read")
    })?;
    check_chars(&read)?;
    Ok(read.into_owned())
}

fn check_chars(text: &str) -> Result<(), String> {
    match text.chars().find(|c| !is_char(*c)) {
        Some(bad) => Err(format!("the character U+{:04X}, which XML cannot hold", u32::from(bad))),
        None => Ok(()),
    }
}

fn undeclared(prefix: &str, text: &str) -> String {
    format!("the prefix {prefix:?} of {text:?} is not declared")
}

fn outside(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 20;
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("text outside the document's element ({shown:?})")
}

/// White space as XML has it (XML 1.0 §2.3).
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// What XML can hold (XML 1.0 §2.2).
pub(crate) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether the text is a name without a colon (Namespaces in XML 1.0 §3).
pub(crate) fn is_name(text: &str) -> bool {
    let starts = |c: char| {
        matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
            | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
            | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}'
            | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
    };
    let goes_on = |c: char| {
        starts(c)
            || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
    };
    let mut chars = text.chars();
    chars.next().is_some_and(starts) && chars.all(goes_on)
}

#[cfg(test)]
mod tests;
