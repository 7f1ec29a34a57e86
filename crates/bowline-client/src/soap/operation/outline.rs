//! What goes into an operation and comes out of it, as text for people.

use std::fmt::{self, Write as _};

use super::{Operation, Wrapped};
use crate::soap::{
    encode::{ANY, TEXT},
    schema::{
        Resolved, ShapeContent, TypeRef, UNBOUNDED,
        shape::{Elements, Part, What},
    },
    wsdl::{Inner, Message, MessageBody, Style},
    xml::Name,
};

/// The shape of the request and of the answer.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data();
        let style = match data.style {
            Style::Document => "document",
            Style::Rpc => "RPC",
        };
        writeln!(f, "{} ({}/{}, {}, {style})", data.name, data.service, data.port, data.version)?;
        if !data.documentation.is_empty() {
            writeln!(f, "  {}", data.documentation)?;
        }
        if let Some(problem) = &data.problem {
            writeln!(f, "  cannot be called: {problem}")?;
        }
        let mut outline = Outline { wsdl: &self.wsdl, text: String::new(), types: vec![], lines: 0 };
        for header in &data.input.headers {
            outline.global(&format!("header {}", header.local), header, 1);
        }
        outline.message("in", &data.input, None);
        match &data.output {
            Some(output) => {
                let wrapper = match &output.body {
                    MessageBody::Element(name) => self.wrapped(name),
                    MessageBody::Empty | MessageBody::Parts { .. } => None,
                };
                outline.message("out", output, wrapper.as_ref());
            }
            None => outline.text += "  out: nothing\n",
        }
        f.write_str(&outline.text)
    }
}

/// Most lines of one operation's outline.
const LINES_MAX: usize = 2000;

/// What values look like, as text that grows.
struct Outline<'a> {
    wsdl: &'a Inner,
    text: String,
    /// The types that we are within: a type within itself is only named.
    types: Vec<Name>,
    lines: usize,
}

impl Outline<'_> {
    fn message(&mut self, label: &str, message: &Message, wrapper: Option<&Wrapped>) {
        match &message.body {
            MessageBody::Empty => self.line(1, &format!("{label}: nothing")),
            MessageBody::Element(name) => match wrapper {
                Some(wrapped) => {
                    let many = wrapped.many.then_some((0, UNBOUNDED));
                    self.value(label, &wrapped.of, &Notes { many, ..Notes::default() }, 1);
                }
                None => self.global(label, name, 1),
            },
            MessageBody::Parts { parts, .. } => match &parts[..] {
                [only] if label == "out" => self.value(label, &only.decl.of, &Notes::default(), 1),
                parts => {
                    self.line(1, &format!("{label}: {{"));
                    for part in parts {
                        self.value(&part.name, &part.decl.of, &Notes::default(), 2);
                    }
                    self.line(1, "}");
                }
            },
        }
    }

    fn global(&mut self, label: &str, name: &Name, depth: usize) {
        match self.wsdl.schemas.element(name) {
            Ok(decl) => {
                let of = decl.of.clone();
                self.value(label, &of, &Notes::default(), depth);
            }
            Err(what) => self.line(depth, &format!("{label}: unknown, as {what}")),
        }
    }

    fn value(&mut self, label: &str, of: &TypeRef, notes: &Notes, depth: usize) {
        let (open, close) = if notes.many.is_some() { ("[", "]") } else { ("", "") };
        let after = notes.shown();
        match self.wsdl.schemas.resolve(of) {
            Ok(Resolved::Any) => self.line(depth, &format!("{label}: {open}anything{close}{after}")),
            Ok(Resolved::Values(values)) => {
                self.line(depth, &format!("{label}: {open}{}{close}{after}", values.shown()));
            }
            Ok(Resolved::Complex(complex)) => {
                if let TypeRef::Named(name) = of {
                    if self.types.contains(name) {
                        return self.line(
                            depth,
                            &format!("{label}: {open}{{as {} above}}{close}{after}", name.local),
                        );
                    }
                    self.types.push(name.clone());
                }
                self.line(depth, &format!("{label}: {open}{{"));
                match self.wsdl.schemas.shape(&complex) {
                    Ok(shape) => {
                        for attribute in &shape.attributes {
                            let notes = Notes { optional: !attribute.required, ..Notes::default() };
                            self.value(&attribute.key, &attribute.decl.of, &notes, depth + 1);
                        }
                        match &shape.content {
                            ShapeContent::Empty => {}
                            ShapeContent::Text(values) => {
                                self.line(depth + 1, &format!("{}: {}", TEXT, values.shown()));
                            }
                            ShapeContent::Elements(all) => {
                                self.part(&all.order, all, Repeated::default(), depth + 1)
                            }
                        }
                    }
                    Err(what) => self.line(depth + 1, &what),
                }
                self.line(depth, &format!("}}{close}{after}"));
                if matches!(of, TypeRef::Named(_)) {
                    self.types.pop();
                }
            }
            Err(what) => self.line(depth, &format!("{label}: unknown, as {what}")),
        }
    }

    fn part(&mut self, part: &Part, all: &Elements, within: Repeated, depth: usize) {
        let here = Repeated {
            optional: within.optional || part.min == 0,
            min: if part.min == 0 { 0 } else { within.min },
            max: within.max.saturating_mul(part.max),
        };
        match &part.what {
            What::Field(field) => {
                let field = &all.fields[*field];
                let many = field.many.then_some((here.min.min(part.min), here.max));
                let notes = Notes { optional: here.optional, nillable: field.decl.nillable, many };
                self.value(&field.key, &field.decl.of, &notes, depth);
            }
            What::Sequence(parts) => parts.iter().for_each(|part| self.part(part, all, here, depth)),
            What::Choice(parts) => {
                self.line(depth, "one of");
                for part in parts {
                    self.part(part, all, Repeated { optional: false, ..here }, depth + 1);
                }
            }
            What::Any => self.line(depth, &format!("{}: [XML], of any kind", ANY)),
        }
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.lines += 1;
        match self.lines.cmp(&LINES_MAX) {
            std::cmp::Ordering::Less => {
                let _ = writeln!(self.text, "{:1$}{text}", "", depth * 2);
            }
            std::cmp::Ordering::Equal => self.text += "  …\n",
            std::cmp::Ordering::Greater => {}
        }
    }
}

/// How often what we are within can be there.
#[derive(Clone, Copy)]
struct Repeated {
    optional: bool,
    min: u32,
    max: u32,
}

impl Default for Repeated {
    fn default() -> Self {
        Self { optional: false, min: 1, max: 1 }
    }
}

/// What is told besides the type.
#[derive(Default)]
struct Notes {
    optional: bool,
    nillable: bool,
    /// Least and most.
    many: Option<(u32, u32)>,
}

impl Notes {
    fn shown(&self) -> String {
        let mut text = String::new();
        match self.many {
            Some((min, UNBOUNDED)) => text += &format!(", {min} or more"),
            Some((min, max)) => text += &format!(", {min} to {max}"),
            None if self.optional => text += ", optional",
            None => {}
        }
        if self.nillable {
            text += ", or null";
        }
        text
    }
}
