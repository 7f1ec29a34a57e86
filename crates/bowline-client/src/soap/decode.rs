//! XML read as the JSON that the schema says.
//!
//! Tolerant where a remote may be: order, elements that are missing, unknown or in another namespace. Strict where a
//! value would be wrong: a text that is not of its type is an error.

use serde_json::{Map, Value, map::Entry};

use super::{
    encode::{ANY, NIL, TEXT, TYPE},
    schema::{ElementDecl, Resolved, Schemas, Shape, ShapeContent, TypeRef, XSI, shape::Elements},
    xml::{Element, Name, Node, is_space, write::Writer},
};

/// Reads elements by their schema.
pub(crate) struct Decoder<'a> {
    pub(crate) schemas: &'a Schemas,
}

impl Decoder<'_> {
    /// The JSON of an element.
    ///
    /// # Errors
    /// Names the place in the document, what is wanted there and what is there.
    pub(crate) fn element(&self, decl: &ElementDecl, element: &Element) -> Result<Value, String> {
        let nil = matches!(element.attribute_in(XSI, "nil").map(str::trim), Some("true" | "1"));
        let own_type = self.own_type(decl, element);
        let of = own_type.as_ref().map_or(&decl.of, |name| name);
        let mut value = match self.schemas.resolve(of)? {
            Resolved::Any => generic(element),
            Resolved::Values(_) if nil => Value::Null,
            Resolved::Values(values) => {
                let name = |text: &str| element.scope.name(text).map(|name| name.to_string());
                values.json(&element.text(), &name)?
            }
            Resolved::Complex(complex) => {
                let shape = self.schemas.shape(&complex)?;
                self.complex(&shape, element, nil)?
            }
        };
        if let (Some(TypeRef::Named(name)), Value::Object(object)) = (own_type, &mut value) {
            object.insert(TYPE.into(), name.local.as_ref().into());
        }
        Ok(value)
    }

    /// The type that the element says it has, if it is known and another one than the declared.
    fn own_type(&self, decl: &ElementDecl, element: &Element) -> Option<TypeRef> {
        let name = element.scope.name(element.attribute_in(XSI, "type")?).ok()?;
        let same = matches!(&decl.of, TypeRef::Named(declared) if *declared == name);
        let found = TypeRef::Named(name);
        (!same && self.schemas.resolve(&found).is_ok()).then_some(found)
    }

    fn complex(&self, shape: &Shape, element: &Element, nil: bool) -> Result<Value, String> {
        let mut object = Map::new();
        for (name, text) in &element.attributes {
            if let Some((key, value)) = self.attribute(shape, element, name, text)? {
                object.insert(key, value);
            }
        }
        if nil {
            if object.is_empty() {
                return Ok(Value::Null);
            }
            object.insert(NIL.into(), true.into());
            return Ok(Value::Object(object));
        }
        match &shape.content {
            // The schema may be older than the answer.
            ShapeContent::Empty => self.unknown(element.elements(), &mut object),
            ShapeContent::Text(values) => {
                let name = |text: &str| element.scope.name(text).map(|name| name.to_string());
                object.insert(TEXT.into(), values.json(&element.text(), &name)?);
            }
            ShapeContent::Elements(elements) => self.children(elements, element, &mut object)?,
        }
        Ok(Value::Object(object))
    }

    fn attribute(
        &self,
        shape: &Shape,
        element: &Element,
        name: &Name,
        text: &str,
    ) -> Result<Option<(String, Value)>, String> {
        if let Some(known) = shape.attributes.iter().find(|attribute| attribute.decl.name == *name) {
            let resolve = |text: &str| element.scope.name(text).map(|name| name.to_string());
            let value = match self.schemas.resolve(&known.decl.of)? {
                Resolved::Values(values) => {
                    values.json(text, &resolve).map_err(|what| format!("{}: {what}", known.key))?
                }
                Resolved::Any | Resolved::Complex(_) => text.into(),
            };
            return Ok(Some((known.key.clone(), value)));
        }
        let kept = shape.any_attribute && &*name.space != XSI;
        Ok(kept.then(|| (format!("@{name}"), text.into())))
    }

    fn children(
        &self,
        elements: &Elements,
        element: &Element,
        object: &mut Map<String, Value>,
    ) -> Result<(), String> {
        for field in elements.fields.iter().filter(|field| field.many) {
            object.insert(field.key.clone(), Value::Array(vec![]));
        }
        let mut unknown = vec![];
        for child in element.elements() {
            let Some(field) = elements.by_name(&child.name).map(|at| &elements.fields[at]) else {
                unknown.push(child);
                continue;
            };
            let value = self.element(&field.decl, child).map_err(|what| below(&field.key, &what))?;
            match object.get_mut(&field.key) {
                Some(Value::Array(items)) if field.many => items.push(value),
                Some(_) => {
                    return Err(format!("{}: is there twice, where the schema has it once", field.key));
                }
                None => {
                    object.insert(field.key.clone(), value);
                }
            }
        }
        if elements.any {
            let xml = unknown.iter().map(|child| Value::from(written(child))).collect();
            object.insert(ANY.into(), Value::Array(xml));
        } else {
            self.unknown(unknown.into_iter(), object);
        }
        if elements.mixed {
            let text = element.text();
            if !text.trim_matches(is_space).is_empty() {
                object.insert(TEXT.into(), text.into());
            }
        }
        Ok(())
    }

    /// What the schema does not know: kept as it looks.
    fn unknown<'e>(&self, children: impl Iterator<Item = &'e Element>, object: &mut Map<String, Value>) {
        children.for_each(|child| add(object, &child.name.local, generic(child)));
    }
}

/// Puts a place before what is wrong there.
fn below(key: &str, what: &str) -> String {
    match what.split_once(": ") {
        // What is below is a place already.
        Some((place, rest)) if !place.contains(' ') => format!("{key}.{place}: {rest}"),
        Some(_) | None => format!("{key}: {what}"),
    }
}

/// An element without a schema: text, or an object of its attributes and children, those that repeat as arrays.
pub(crate) fn generic(element: &Element) -> Value {
    let mut object = Map::new();
    for (name, text) in element.attributes.iter().filter(|(name, _)| &*name.space != XSI) {
        object.insert(format!("@{}", name.local), text.as_str().into());
    }
    for child in element.elements() {
        add(&mut object, &child.name.local, generic(child));
    }
    let text = element.text();
    if object.is_empty() {
        let nil = matches!(element.attribute_in(XSI, "nil"), Some("true" | "1"));
        return if nil { Value::Null } else { text.into() };
    }
    if !text.trim_matches(is_space).is_empty() {
        object.insert(TEXT.into(), text.into());
    }
    Value::Object(object)
}

fn add(object: &mut Map<String, Value>, key: &str, value: Value) {
    match object.entry(key) {
        Entry::Vacant(place) => {
            place.insert(value);
        }
        Entry::Occupied(mut known) => match known.get_mut() {
            Value::Array(items) => items.push(value),
            first => *first = Value::Array(vec![first.take(), value]),
        },
    }
}

/// An element as text of XML, whole in itself: with every namespace that its values could name.
fn written(element: &Element) -> String {
    let mut writer = Writer::default();
    write_into(&mut writer, element);
    writer.finish()
}

fn write_into(writer: &mut Writer, element: &Element) {
    writer.start(&element.name);
    for (name, value) in &element.attributes {
        if name.is(XSI, "type")
            && let Ok(named) = element.scope.name(value)
        {
            let prefix = if named.space.is_empty() {
                String::new()
            } else {
                format!("{}:", writer.prefix(&named.space))
            };
            writer.attribute(name, &format!("{prefix}{}", named.local));
        } else {
            writer.attribute(name, value);
        }
    }
    for child in &element.children {
        match child {
            Node::Element(child) => write_into(writer, child),
            Node::Text(text) => writer.text(text),
        }
    }
    writer.end();
}
