//! XML, written: names with prefixes that are declared where they are needed, values escaped.

use std::fmt::Write as _;

use super::{Element, Name, Node, XML, is_char};

/// A document that grows.
#[derive(Default)]
pub(crate) struct Writer {
    text: String,
    /// Prefix and namespace, innermost last.
    declared: Vec<(String, String)>,
    /// For each open element: its name as written, and how many declarations held before it.
    open: Vec<(String, usize)>,
    /// The start tag at the end of the text is not closed yet.
    in_tag: bool,
    /// How many prefixes were made up.
    made: usize,
}

impl Writer {
    /// Writes the declaration that a whole document begins with.
    pub(crate) fn begin_document(&mut self) {
        self.text.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    }

    /// Takes a prefix as declared by what is around this piece.
    pub(crate) fn assume(&mut self, prefix: &str, space: &str) {
        self.declared.push((prefix.to_owned(), space.to_owned()));
    }

    /// Writes an element that holds a text.
    pub(crate) fn leaf(&mut self, name: &Name, text: &str) {
        self.start(name);
        self.text(text);
        self.end();
    }

    /// Begins an element. Its prefix is made up unless `prefix` declares one.
    pub(crate) fn start(&mut self, name: &Name) {
        self.start_as(name, None);
    }

    /// Begins an element with that prefix for its namespace.
    pub(crate) fn start_as(&mut self, name: &Name, prefix: Option<&str>) {
        self.close_tag();
        let before = self.declared.len();
        self.text.push('<');
        let at = self.text.len();
        self.in_tag = true;
        // Elements without a namespace need no declaration: the default namespace is never declared here.
        let found = (!name.space.is_empty()).then(|| self.prefix_of(&name.space));
        let (written, declare) = match found {
            None => (name.local.to_string(), None),
            Some(Some(known)) => (format!("{known}:{}", name.local), None),
            Some(None) => {
                let prefix = prefix.map_or_else(|| self.new_prefix(), str::to_owned);
                (format!("{prefix}:{}", name.local), Some(prefix))
            }
        };
        self.text.insert_str(at, &written);
        self.open.push((written, before));
        if let Some(prefix) = declare {
            self.declare(&prefix, &name.space);
        }
    }

    /// Adds an attribute to the element that was just begun.
    pub(crate) fn attribute(&mut self, name: &Name, value: &str) {
        debug_assert!(self.in_tag, "attributes come first");
        let written = if name.space.is_empty() {
            name.local.to_string()
        } else {
            format!("{}:{}", self.prefix(&name.space), name.local)
        };
        let _ = write!(self.text, " {written}=\"");
        escape_into(&mut self.text, value, true);
        self.text.push('"');
    }

    /// The prefix of a namespace, declared on the element that was just begun if it is not known yet.
    pub(crate) fn prefix(&mut self, space: &str) -> String {
        debug_assert!(self.in_tag, "declarations come first");
        if let Some(known) = self.prefix_of(space) {
            return known;
        }
        let prefix = self.new_prefix();
        self.declare(&prefix, space);
        prefix
    }

    /// Declares a prefix on the element that was just begun.
    pub(crate) fn declare(&mut self, prefix: &str, space: &str) {
        let _ = write!(self.text, " xmlns:{prefix}=\"");
        escape_into(&mut self.text, space, true);
        self.text.push('"');
        self.declared.push((prefix.to_owned(), space.to_owned()));
    }

    /// Adds text.
    pub(crate) fn text(&mut self, text: &str) {
        self.close_tag();
        escape_into(&mut self.text, text, false);
    }

    /// Ends the innermost element.
    pub(crate) fn end(&mut self) {
        let (name, declared) = self.open.pop().expect("as many ends as starts");
        self.declared.truncate(declared);
        if std::mem::take(&mut self.in_tag) {
            self.text.push_str("/>");
        } else {
            let _ = write!(self.text, "</{name}>");
        }
    }

    /// Writes a whole tree. Prefixes in its values are not known, so it suits trees whose values hold no names, or
    /// whose prefixes are declared by `declare`.
    pub(crate) fn tree(&mut self, element: &Element) {
        self.start(&element.name);
        for (name, value) in &element.attributes {
            self.attribute(name, value);
        }
        for child in &element.children {
            match child {
                Node::Element(child) => self.tree(child),
                Node::Text(text) => self.text(text),
            }
        }
        self.end();
    }

    /// The document.
    pub(crate) fn finish(self) -> String {
        debug_assert!(self.open.is_empty(), "as many ends as starts");
        self.text
    }

    fn close_tag(&mut self) {
        if std::mem::take(&mut self.in_tag) {
            self.text.push('>');
        }
    }

    fn prefix_of(&self, space: &str) -> Option<String> {
        if space == XML {
            return Some("xml".into());
        }
        // The innermost declaration of a prefix is the one that holds.
        let holds = |prefix: &str| {
            self.declared.iter().rev().find(|(known, _)| known == prefix).is_some_and(|(_, is)| is == space)
        };
        let found = self.declared.iter().rev().find(|(prefix, known)| known == space && holds(prefix));
        found.map(|(prefix, _)| prefix.clone())
    }

    fn new_prefix(&mut self) -> String {
        loop {
            self.made += 1;
            let prefix = format!("n{}", self.made);
            if !self.declared.iter().any(|(known, _)| *known == prefix) {
                return prefix;
            }
        }
    }
}

/// Appends text so that it reads back as it is. A line break in an attribute, and a carriage return anywhere, would
/// read back as something else if they were not escaped (XML 1.0 §2.11, §3.3.3).
fn escape_into(out: &mut String, text: &str, in_attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            // For ]]>, which text must not hold.
            '>' => out.push_str("&gt;"),
            '"' if in_attribute => out.push_str("&quot;"),
            '\t' if in_attribute => out.push_str("&#9;"),
            '\n' if in_attribute => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}

/// What of a text XML cannot hold, if there is any: no escaping helps there.
pub(crate) fn unwritable(text: &str) -> Option<char> {
    text.chars().find(|c| !is_char(*c))
}
