//! JSON written as XML, in the schema's order.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{
    schema::{
        Complex, ElementDecl, Resolved, Schemas, Shape, ShapeContent, TypeRef, Values, XSD, XSI,
        shape::{Elements, Part, What},
        values::shown,
    },
    xml::{self, Name, write::Writer},
};

mod given;

use self::given::{Given, Slot, first_keys};

/// The key of an element's own text.
pub(crate) const TEXT: &str = "$text";
/// The key of elements that the schema does not name: texts of XML.
pub(crate) const ANY: &str = "$any";
/// The key of the type that an element has instead of its declared one.
pub(crate) const TYPE: &str = "@xsi:type";
/// The key of an element without content: `true`.
pub(crate) const NIL: &str = "@xsi:nil";

/// Writes values into a document.
pub(crate) struct Encoder<'a> {
    pub(crate) schemas: &'a Schemas,
    pub(crate) writer: &'a mut Writer,
    /// Where we are in the value.
    pub(crate) path: String,
}

impl Encoder<'_> {
    /// Writes an element.
    ///
    /// # Errors
    /// Names the place in the value, what is wanted there and what is there.
    pub(crate) fn element(&mut self, decl: &ElementDecl, value: &Value) -> Result<(), String> {
        self.writer.start(&decl.name);
        let object = value.as_object();
        let own_type = match object.and_then(|object| object.get(TYPE)) {
            Some(name) => Some(self.own_type(decl, name)?),
            None => None,
        };
        let nil = value.is_null() || object.and_then(|object| object.get(NIL)) == Some(&Value::Bool(true));
        if nil && decl.nillable {
            self.writer.attribute(&Name::new(XSI, "nil"), "true");
        }
        let of = own_type.as_ref().unwrap_or(&decl.of);
        match self.schemas.resolve(of).map_err(|what| self.at(&what))? {
            Resolved::Any => self.anything(value)?,
            Resolved::Values(values) => self.simple(&values, value, nil && decl.nillable)?,
            Resolved::Complex(complex) => self.complex(decl, &complex, value, nil && decl.nillable)?,
        }
        self.writer.end();
        Ok(())
    }

    /// The type that the value asks for, which must be derived from the declared one.
    fn own_type(&mut self, decl: &ElementDecl, asked: &Value) -> Result<TypeRef, String> {
        let TypeRef::Named(declared) = &decl.of else {
            return Err(
                self.at("has a type of its own in the schema, so @xsi:type has nothing to choose from")
            );
        };
        let Some(asked) = asked.as_str() else {
            return Err(self.at(&format!("has an @xsi:type that is {}, not a name", shown(asked))));
        };
        let known = self.schemas.substitutable(declared);
        let fits = |name: &&Name| asked == &*name.local || asked == name.to_string();
        let builtin = asked.strip_prefix("xs:").filter(|_| declared.is(XSD, "anyType"));
        let found = builtin.map(|local| Name::new(XSD, local)).or_else(|| known.iter().find(fits).cloned());
        let Some(name) = found else {
            let known: Vec<&str> = known.iter().map(|name| &*name.local).collect();
            return Err(self.at(&format!("has the @xsi:type {asked:?}, but takes {}", known.join(", "))));
        };
        let prefix = self.writer.prefix(&name.space);
        let written =
            if prefix.is_empty() { name.local.to_string() } else { format!("{prefix}:{}", name.local) };
        self.writer.attribute(&Name::new(XSI, "type"), &written);
        Ok(TypeRef::Named(name))
    }

    /// A value where the schema allows anything.
    fn anything(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Null => {}
            Value::String(text) => self.text(text)?,
            Value::Bool(_) | Value::Number(_) => self.writer.text(&value.to_string()),
            Value::Object(object) if object.contains_key(ANY) => self.any(&object[ANY])?,
            Value::Array(_) | Value::Object(_) => {
                let what = "may be anything, so its type must be said: {\"@xsi:type\": \"…\", …}, or its XML: \
                            {\"$any\": [\"<…/>\"]}";
                return Err(self.at(&format!("{what}; there is {}", shown(value))));
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if let Some(bad) = xml::write::unwritable(text) {
            return Err(
                self.at(&format!("holds the character U+{:04X}, which XML cannot carry", u32::from(bad)))
            );
        }
        self.writer.text(text);
        Ok(())
    }

    /// An element that holds a value and no attributes.
    fn simple(&mut self, values: &Values, value: &Value, nil: bool) -> Result<(), String> {
        let value = match value {
            Value::Object(object) => {
                let known = |key: &str| matches!(key, TEXT | TYPE | NIL);
                if let Some(other) = object.keys().find(|key| !known(key)) {
                    let hint = format!("{other:?} is unknown here: this is a value ({})", values.shown());
                    return Err(self.at(&hint));
                }
                object.get(TEXT).unwrap_or(&Value::Null)
            }
            other => other,
        };
        if nil {
            return Ok(());
        }
        self.value(values, value)
    }

    fn value(&mut self, values: &Values, value: &Value) -> Result<(), String> {
        let writer = &mut *self.writer;
        let text = values.text(value, &mut |name| written_name(writer, name));
        let text = text.map_err(|what| self.at(&what))?;
        self.writer.text(&text);
        Ok(())
    }

    fn complex(
        &mut self,
        decl: &ElementDecl,
        complex: &Complex,
        value: &Value,
        nil: bool,
    ) -> Result<(), String> {
        if complex.is_abstract {
            let derived =
                complex.name.as_ref().map(|name| self.schemas.substitutable(name)).unwrap_or_default();
            let derived: Vec<&str> = derived.iter().skip(1).map(|name| &*name.local).collect();
            let what =
                format!("is abstract: say which, as {{\"@xsi:type\": \"…\"}}, of {}", derived.join(", "));
            return Err(self.at(&what));
        }
        let shape = self.schemas.shape(complex).map_err(|what| self.at(&what))?;
        let empty = Map::new();
        let object = match (value, &shape.content) {
            (Value::Object(object), _) => object,
            // What holds nothing may be said as nothing; what is nil has at most attributes.
            (Value::Null, _) => &empty,
            (scalar, ShapeContent::Text(values)) => {
                self.attributes(&shape, &empty)?;
                return self.value(values, scalar);
            }
            (other, ShapeContent::Elements(elements)) => {
                let what =
                    format!("must be an object with {}, but is {}", keys(&shape, elements), shown(other));
                return Err(self.at(&what));
            }
            (other, ShapeContent::Empty) => {
                return Err(self.at(&format!("must be an object, but is {}", shown(other))));
            }
        };
        self.attributes(&shape, object)?;
        if nil {
            return Ok(());
        }
        match &shape.content {
            ShapeContent::Empty => self.known_keys(&shape, None, object),
            ShapeContent::Text(values) => {
                self.known_keys(&shape, None, object)?;
                match object.get(TEXT) {
                    Some(text) => self.value(values, text),
                    None if self.accepts_nothing(values) => Ok(()),
                    None => Err(self.at(&format!("has no {TEXT}: {}", values.shown()))),
                }
            }
            ShapeContent::Elements(elements) => {
                self.known_keys(&shape, Some(elements), object)?;
                self.elements(&decl.name, elements, object)
            }
        }
    }

    fn accepts_nothing(&self, values: &Values) -> bool {
        values.text(&Value::from(""), &mut |_| Err(String::new())).is_ok()
    }

    fn attributes(&mut self, shape: &Shape, object: &Map<String, Value>) -> Result<(), String> {
        for attribute in &shape.attributes {
            let fixed = attribute.decl.fixed.as_deref().filter(|_| attribute.required).map(Value::from);
            let value = match object.get(&attribute.key).filter(|value| !value.is_null()).or(fixed.as_ref()) {
                Some(value) => value,
                None if attribute.required => {
                    return Err(self.at(&format!("has no {:?}, which is required", attribute.key)));
                }
                None => continue,
            };
            let values = match self.schemas.resolve(&attribute.decl.of).map_err(|what| self.at(&what))? {
                Resolved::Values(values) => values,
                Resolved::Any | Resolved::Complex(_) => {
                    return Err(
                        self.at(&format!("has the attribute {:?} of no type of values", attribute.key))
                    );
                }
            };
            let writer = &mut *self.writer;
            let text = values.text(value, &mut |name| written_name(writer, name));
            let text = text.map_err(|what| format!("{}: {what}", self.below(&attribute.key)))?;
            self.writer.attribute(&attribute.decl.name, &text);
        }
        if shape.any_attribute {
            self.other_attributes(shape, object)?;
        }
        Ok(())
    }

    /// Attributes that the schema allows without naming them.
    fn other_attributes(&mut self, shape: &Shape, object: &Map<String, Value>) -> Result<(), String> {
        for (key, value) in object {
            let known = shape.attributes.iter().any(|attribute| attribute.key == *key);
            let Some(name) = key.strip_prefix('@').filter(|_| !known && key != TYPE && key != NIL) else {
                continue;
            };
            let Value::String(text) = value else {
                return Err(format!("{} must be text, but is {}", self.below(key), shown(value)));
            };
            let name = clark(name);
            if !xml::is_name(&name.local) || xml::write::unwritable(text).is_some() {
                return Err(format!("{} is no attribute that XML can carry", self.below(key)));
            }
            self.writer.attribute(&name, text);
        }
        Ok(())
    }

    /// Refuses keys that nothing is known of.
    fn known_keys(
        &self,
        shape: &Shape,
        elements: Option<&Elements>,
        object: &Map<String, Value>,
    ) -> Result<(), String> {
        for (key, value) in object {
            let known = match key.as_str() {
                TYPE | NIL => true,
                TEXT => {
                    matches!(shape.content, ShapeContent::Text(_)) || elements.is_some_and(|all| all.mixed)
                }
                ANY => elements.is_some_and(|all| all.any),
                key if key.starts_with('@') => {
                    shape.any_attribute || shape.attributes.iter().any(|attribute| attribute.key == key)
                }
                key => elements.is_some_and(|all| all.by_key(key).is_some()),
            };
            if !known && !value.is_null() {
                return Err(self.unknown(key, shape, elements));
            }
        }
        Ok(())
    }

    fn unknown(&self, key: &str, shape: &Shape, elements: Option<&Elements>) -> String {
        let fields = elements.into_iter().flat_map(|all| &all.fields).map(|field| field.key.as_str());
        let attributes = shape.attributes.iter().map(|attribute| attribute.key.as_str());
        let known: Vec<&str> = attributes.chain(fields).collect();
        let plain = |key: &str| key.trim_start_matches('@').replace(['_', '-'], "").to_lowercase();
        let near = known.iter().find(|known| plain(known) == plain(key));
        let hint = match near {
            Some(near) => format!("; did you mean {near:?}?"),
            None if known.is_empty() => String::new(),
            None => format!(": there are {}", known.join(", ")),
        };
        format!("{} is unknown{hint}", self.below(key))
    }

    fn elements(
        &mut self,
        parent: &Name,
        elements: &Elements,
        object: &Map<String, Value>,
    ) -> Result<(), String> {
        if let Some(Value::String(text)) = object.get(TEXT) {
            self.text(text)?;
        }
        let mut given = Given { all: elements, slots: HashMap::new(), any: object.get(ANY) };
        for (at, field) in elements.fields.iter().enumerate() {
            let Some(value) = object.get(&field.key) else { continue };
            let values: Vec<&Value> = match value {
                Value::Null if field.many || !field.decl.nillable => continue,
                Value::Array(items) if field.many => items.iter().collect(),
                other if field.many => {
                    let what =
                        format!("may be there several times: it must be an array, but is {}", shown(other));
                    return Err(format!("{} {what}", self.below(&field.key)));
                }
                other => vec![other],
            };
            given.slots.insert(at, Slot { values, next: 0 });
        }
        self.part(&elements.order, &mut given)?;
        match given.left() {
            None => Ok(()),
            Some((field, taken, left)) => {
                let key = &elements.fields[field].key;
                Err(match taken {
                    0 => format!(
                        "{} cannot be there together with what else is given: {} has a choice",
                        self.below(key),
                        parent.local
                    ),
                    _ => format!(
                        "{} has {} values, but at most {taken} can be there",
                        self.below(key),
                        taken + left
                    ),
                })
            }
        }
    }

    fn part(&mut self, part: &Part, given: &mut Given<'_>) -> Result<(), String> {
        match &part.what {
            What::Field(field) => self.field(part, *field, given),
            What::Sequence(parts) => self
                .repeat(part, given, |this, given| parts.iter().try_for_each(|part| this.part(part, given))),
            What::Choice(parts) => self.repeat(part, given, |this, given| this.choice(parts, given)),
            What::Any => match given.any.take() {
                Some(xml) => self.any(xml),
                None => Ok(()),
            },
        }
    }

    /// Writes a group as often as there is something in it, and at least as often as it must be there.
    fn repeat(
        &mut self,
        part: &Part,
        given: &mut Given<'_>,
        mut once: impl FnMut(&mut Self, &mut Given<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut times = 0;
        loop {
            let before = given.taken();
            if times >= part.max || (times >= part.min || times > 0) && !given.has_any(part) {
                return Ok(());
            }
            once(self, given)?;
            times += 1;
            if given.taken() == before {
                return Ok(());
            }
        }
    }

    fn choice(&mut self, parts: &[Part], given: &mut Given<'_>) -> Result<(), String> {
        // Of several that could begin, the one that lacks nothing, then the one that uses most of what is given.
        let started = parts.iter().filter(|part| given.has_any(part));
        let best = started.min_by_key(|part| (given.lacks(part), std::cmp::Reverse(given.uses(part))));
        if let Some(best) = best {
            return self.part(best, given);
        }
        if parts.iter().any(|part| given.lacks(part) == 0) {
            return Ok(());
        }
        let mut firsts: Vec<&str> = vec![];
        parts.iter().for_each(|part| first_keys(part, given.all, &mut firsts));
        let mut known = HashSet::new();
        firsts.retain(|key| known.insert(*key));
        Err(self.at(&format!("needs one of {}", firsts.join(", "))))
    }

    fn field(&mut self, part: &Part, at: usize, given: &mut Given<'_>) -> Result<(), String> {
        let field = &given.all.fields[at];
        let decl = field.decl.clone();
        let (key, many) = (field.key.clone(), field.many);
        let mut written = 0;
        while written < part.max {
            let Some((nth, value)) = given.slots.get_mut(&at).and_then(Slot::take) else { break };
            let step = if many { format!("{key}[{nth}]") } else { key.clone() };
            if value.is_null() && !decl.nillable {
                return Err(format!("{} is null, which it cannot be", self.below(&step)));
            }
            self.within(&step, |this| this.element(&decl, value))?;
            written += 1;
        }
        if written < part.min {
            return match (&decl.fixed, part.min) {
                (Some(fixed), 1) => self.element(&decl, &Value::from(fixed.as_str())),
                _ => Err(self.missing(&decl, &key, part, written)),
            };
        }
        Ok(())
    }

    fn missing(&self, decl: &ElementDecl, key: &str, part: &Part, written: u32) -> String {
        let wanted = match self.schemas.resolve(&decl.of) {
            Ok(Resolved::Values(values)) => values.shown(),
            Ok(Resolved::Complex(_) | Resolved::Any) | Err(_) => decl.of.shown(),
        };
        let place = self.below(key);
        match part.min {
            1 => format!("{place} is missing: {wanted}"),
            min => format!("{place} has {written} values, but at least {min} must be there: {wanted}"),
        }
    }

    /// Elements that the schema does not name, given as XML.
    fn any(&mut self, given: &Value) -> Result<(), String> {
        let Value::Array(items) = given else {
            return Err(format!(
                "{} must be an array of texts of XML, but is {}",
                self.below(ANY),
                shown(given)
            ));
        };
        for (nth, item) in items.iter().enumerate() {
            let place = self.below(&format!("{ANY}[{nth}]"));
            let Value::String(text) = item else {
                return Err(format!("{place} must be a text of XML, but is {}", shown(item)));
            };
            let tree = xml::read(text).map_err(|what| format!("{place} {what}"))?;
            self.writer.tree(&tree);
        }
        Ok(())
    }

    fn within(
        &mut self,
        step: &str,
        write: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(step);
        let written = if self.path.matches('.').count() < xml::DEPTH_MAX {
            write(self)
        } else {
            Err(format!("{} is nested deeper than {}", self.path, xml::DEPTH_MAX))
        };
        self.path.truncate(before);
        written
    }

    fn at(&self, what: &str) -> String {
        if self.path.is_empty() { format!("the input {what}") } else { format!("{} {what}", self.path) }
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn keys(shape: &Shape, elements: &Elements) -> String {
    let attributes = shape.attributes.iter().map(|attribute| attribute.key.as_str());
    let all: Vec<&str> = attributes.chain(elements.fields.iter().map(|field| field.key.as_str())).collect();
    all.join(", ")
}

/// `{namespace}local` as a name.
fn clark(text: &str) -> Name {
    match text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((space, local)) => Name::new(space, local),
        None => Name::new("", text),
    }
}

/// `{namespace}local` with a prefix that is declared here.
fn written_name(writer: &mut Writer, text: &str) -> Result<String, String> {
    let name = clark(text);
    if !xml::is_name(&name.local) {
        return Err(format!("must be a name as {{namespace}}local, but is the text {text:?}"));
    }
    Ok(if name.space.is_empty() {
        name.local.to_string()
    } else {
        format!("{}:{}", writer.prefix(&name.space), name.local)
    })
}
