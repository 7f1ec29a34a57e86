//! One operation, as people and callers see it.

use std::{fmt, sync::Arc};

use serde_json::Value;

use super::{
    decode::Decoder,
    encode::Encoder,
    schema::{Resolved, ShapeContent, TypeRef},
    version::SoapVersion,
    wsdl::{Inner, MessageBody, OperationData},
    xml::{Element, Name, write::Writer},
};

mod outline;

/// An operation that a [`Wsdl`](super::Wsdl) offers.
///
/// `Display` shows what goes in and what comes out, as JSON has it: for people who write the call.
///
/// # All that a service offers
/// ```
/// # use bowline_client::soap::Wsdl;
/// let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
/// for operation in orders.operations() {
///     println!("{operation}");
/// }
/// # Ok::<(), bowline_model::Error>(())
/// ```
#[derive(Clone)]
pub struct Operation {
    wsdl: Arc<Inner>,
    at: usize,
}

impl Operation {
    pub(crate) fn new(wsdl: Arc<Inner>, at: usize) -> Self {
        Self { wsdl, at }
    }

    pub(crate) fn data(&self) -> &OperationData {
        &self.wsdl.operations[self.at]
    }

    pub(crate) fn wsdl(&self) -> &Inner {
        &self.wsdl
    }

    /// Its name: what [`Api::soap`](crate::Api::soap) takes.
    ///
    /// # What an operation is
    /// ```
    /// # use bowline_client::soap::{SoapVersion, Wsdl};
    /// let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
    /// let get = &orders.operations()[0];
    /// assert_eq!((get.name(), get.service(), get.port()), ("GetOrder", "Orders", "OrdersPort"));
    /// assert_eq!((get.version(), get.action()), (SoapVersion::V1_1, "urn:orders/GetOrder"));
    /// assert_eq!(get.location(), "https://erp.example.com/orders");
    /// assert_eq!(get.problem(), None);
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.data().name
    }

    /// The service that offers it.
    pub fn service(&self) -> &str {
        &self.data().service
    }

    /// The port of the service: one binding at one address.
    pub fn port(&self) -> &str {
        &self.data().port
    }

    /// The version of SOAP that the port speaks.
    pub fn version(&self) -> SoapVersion {
        self.data().version
    }

    /// What goes into the `SOAPAction` header, or the `action` parameter of SOAP 1.2. May be empty.
    pub fn action(&self) -> &str {
        &self.data().action
    }

    /// Where the WSDL says that it is. Calls take the path of it, and go to the Api's own base URL.
    pub fn location(&self) -> &str {
        &self.data().location
    }

    /// Why it cannot be called: what it needs and is not supported.
    pub fn problem(&self) -> Option<&str> {
        self.data().problem.as_deref()
    }

    /// Writes what the body holds.
    pub(crate) fn write_input(&self, writer: &mut Writer, input: &Value) -> Result<(), String> {
        let mut encoder = Encoder { schemas: &self.wsdl.schemas, writer, path: String::new() };
        match &self.data().input.body {
            MessageBody::Empty => match input {
                Value::Null => Ok(()),
                Value::Object(object) if object.is_empty() => Ok(()),
                other => {
                    Err(format!("the input must be empty, but is {}", super::schema::values::shown(other)))
                }
            },
            MessageBody::Element(name) => {
                let decl = self.wsdl.schemas.element(name)?.clone();
                encoder.element(&decl, input)
            }
            MessageBody::Parts { name, parts } => {
                let empty = serde_json::Map::new();
                let given = match input {
                    Value::Object(object) => object,
                    Value::Null => &empty,
                    other => {
                        return Err(format!(
                            "the input must be an object, but is {}",
                            super::schema::values::shown(other)
                        ));
                    }
                };
                let known = |key: &String| parts.iter().any(|part| part.name == *key);
                if let Some(unknown) = given.keys().find(|key| !known(key)) {
                    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
                    return Err(format!("{unknown} is unknown: there are {}", names.join(", ")));
                }
                encoder.writer.start(name);
                for part in parts {
                    let Some(value) = given.get(&part.name).filter(|value| !value.is_null()) else {
                        return Err(format!("{} is missing: {}", part.name, part.decl.of.shown()));
                    };
                    encoder.path.clone_from(&part.name);
                    encoder.element(&part.decl, value)?;
                }
                encoder.writer.end();
                Ok(())
            }
        }
    }

    /// Writes one of the header's elements, by its local name.
    pub(crate) fn write_header(&self, writer: &mut Writer, name: &str, value: &Value) -> Result<(), String> {
        let headers = &self.data().input.headers;
        let Some(header) = headers.iter().find(|header| &*header.local == name || header.to_string() == name)
        else {
            let known: Vec<&str> = headers.iter().map(|header| &*header.local).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("{} has no header {name:?} in the WSDL: there is {known}", self.name()));
        };
        let decl = self.wsdl.schemas.element(header)?.clone();
        Encoder { schemas: &self.wsdl.schemas, writer, path: format!("header {name}") }.element(&decl, value)
    }

    /// The JSON of an answer's body. What is only a wrapper around one value is left away.
    pub(crate) fn read_output(&self, body: &Element) -> Result<Value, String> {
        let Some(output) = &self.data().output else { return Ok(Value::Null) };
        let decoder = Decoder { schemas: &self.wsdl.schemas };
        match &output.body {
            MessageBody::Empty => Ok(Value::Null),
            MessageBody::Element(name) => {
                let Some(element) = body.elements().find(|child| child.name == *name) else {
                    return Err(self.another(body, name));
                };
                let decl = self.wsdl.schemas.element(name)?;
                let value =
                    decoder.element(decl, element).map_err(|what| format!("{}: {what}", name.local))?;
                Ok(match self.wrapped(name) {
                    Some(wrapped) => wrapped.take(value),
                    None => value,
                })
            }
            // The name of the element is not significant (SOAP 1.1 §7.1), nor is its namespace.
            MessageBody::Parts { name, parts } => {
                let Some(element) = body.elements().next() else { return Err(self.another(body, name)) };
                let mut object = serde_json::Map::new();
                for part in parts {
                    if let Some(child) = element.elements().find(|child| *child.name.local == *part.name) {
                        let value = decoder.element(&part.decl, child);
                        object.insert(
                            part.name.clone(),
                            value.map_err(|what| format!("{}: {what}", part.name))?,
                        );
                    }
                }
                Ok(match &parts[..] {
                    [] => Value::Null,
                    [one] => object.remove(&one.name).unwrap_or(Value::Null),
                    _ => Value::Object(object),
                })
            }
        }
    }

    fn another(&self, body: &Element, wanted: &Name) -> String {
        let found = body.elements().next().map_or("nothing".into(), |child| format!("<{}>", child.name));
        format!("holds {found} where <{wanted}> was expected")
    }

    /// The fields to go through to what a wrapper is around: the only field of the element, and, where that one is a list
    /// of its own (as `ArrayOfOrder`), the list in it.
    fn wrapped(&self, name: &Name) -> Option<Wrapped> {
        let decl = self.wsdl.schemas.element(name).ok()?;
        let outer = self.only_field(&decl.of)?;
        match self.only_field(&outer.of) {
            Some(inner) if inner.many && !outer.many => {
                Some(Wrapped { keys: [outer.keys, inner.keys].concat(), ..inner })
            }
            Some(_) | None => Some(outer),
        }
    }

    /// The field of a type that has nothing else.
    fn only_field(&self, of: &TypeRef) -> Option<Wrapped> {
        let Ok(Resolved::Complex(complex)) = self.wsdl.schemas.resolve(of) else { return None };
        let shape = self.wsdl.schemas.shape(&complex).ok()?;
        match &shape.content {
            ShapeContent::Elements(all) if shape.attributes.is_empty() && !all.any && !all.mixed => {
                match &all.fields[..] {
                    [only] => Some(Wrapped {
                        keys: vec![only.key.clone()],
                        of: only.decl.of.clone(),
                        many: only.many,
                    }),
                    _ => None,
                }
            }
            ShapeContent::Elements(_) | ShapeContent::Text(_) | ShapeContent::Empty => None,
        }
    }
}

/// What a wrapper is around.
struct Wrapped {
    /// The way to it.
    keys: Vec<String>,
    of: TypeRef,
    many: bool,
}

impl Wrapped {
    fn take(&self, mut value: Value) -> Value {
        for key in &self.keys {
            value = match value {
                Value::Object(mut object) => object.remove(key).unwrap_or(Value::Null),
                other => other,
            };
        }
        // A list that is not there has nothing in it.
        if self.many && value.is_null() { Value::Array(vec![]) } else { value }
    }
}

/// Shows its name and place.
impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data();
        write!(f, "Operation({} at {}/{})", data.name, data.service, data.port)
    }
}
