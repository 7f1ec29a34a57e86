//! `wsdl:definitions` elements, read: messages, port types, bindings and services put together.

use std::{collections::HashMap, sync::Arc};

use super::{
    Inner, Message, MessageBody, OperationData, RpcPart, Style,
    documents::{Found, WSDL},
};
use crate::soap::{
    schema::{ElementDecl, Schemas, TypeRef, read as schema},
    version::SoapVersion,
    xml::{Element, Name},
};

/// SOAP's own encoding of types, which WS-I forbids and no schema describes.
const ENCODED: &str =
    "it uses RPC/encoded messages, which are not supported: ask for a document/literal binding";
/// Most operations of all ports together.
const OPERATIONS_MAX: usize = 10_000;

/// Puts the documents together.
pub(super) fn read(found: &Found) -> Result<Inner, String> {
    let mut schemas = Schemas::default();
    for one in &found.schemas {
        schema::add(&mut schemas, &one.element, one.adopted.as_deref())?;
    }
    let parts = Parts::index(&found.definitions)?;
    let mut operations = vec![];
    for definitions in &found.definitions {
        for service in definitions.all(WSDL, "service") {
            for port in service.all(WSDL, "port") {
                parts.port(service, port, &mut operations)?;
            }
        }
    }
    Ok(Inner { schemas, operations, missing: found.missing.clone() })
}

/// What is referred to by name.
struct Parts<'a> {
    messages: HashMap<Name, &'a Element>,
    port_types: HashMap<Name, &'a Element>,
    bindings: HashMap<Name, &'a Element>,
}

/// Where an operation is bound.
struct Bound<'a> {
    /// The namespace of its SOAP elements in the WSDL.
    soap: &'a str,
    style: Style,
    /// In the binding.
    binding: &'a Element,
    /// In the port type.
    operation: &'a Element,
}

impl<'a> Parts<'a> {
    fn index(all: &'a [Element]) -> Result<Self, String> {
        let named = |local: &'static str| -> Result<HashMap<Name, &'a Element>, String> {
            let mut found = HashMap::new();
            for definitions in all {
                let target = definitions.attribute("targetNamespace").unwrap_or_default();
                for one in definitions.all(WSDL, local) {
                    found.insert(Name::new(target, required(one, "name")?), one);
                }
            }
            Ok(found)
        };
        Ok(Self { messages: named("message")?, port_types: named("portType")?, bindings: named("binding")? })
    }

    /// Adds the operations of a port, if it speaks SOAP.
    fn port(
        &self,
        service: &Element,
        port: &Element,
        operations: &mut Vec<OperationData>,
    ) -> Result<(), String> {
        let port_name = required(port, "name")?;
        let name = port.scope.name(required(port, "binding")?)?;
        let binding = self.bindings.get(&name).ok_or_else(|| missing("binding", &name))?;
        let soap_binding = binding.elements().find(|child| &*child.name.local == "binding");
        let Some((soap, version)) =
            soap_binding.and_then(|child| Some((child, SoapVersion::of_binding(&child.name.space)?)))
        else {
            // HTTP and MIME bindings are not SOAP.
            return Ok(());
        };
        let default_style = style(soap);
        let type_name = binding.scope.name(required(binding, "type")?)?;
        let port_type = self.port_types.get(&type_name).ok_or_else(|| missing("portType", &type_name))?;
        let address = port.elements().find(|child| &*child.name.local == "address");
        for bound in binding.all(WSDL, "operation") {
            let name = required(bound, "name")?;
            let mut same = port_type.all(WSDL, "operation").filter(|one| one.attribute("name") == Some(name));
            let operation = same.next().ok_or_else(|| {
                format!("the binding {} has the operation {name}, which its port type has not", name)
            })?;
            let soap_operation = bound.child(&soap.name.space, "operation");
            let context = Bound {
                soap: &soap.name.space,
                style: soap_operation.and_then(style).or(default_style).unwrap_or(Style::Document),
                binding: bound,
                operation,
            };
            let overloaded =
                same.next().is_some().then(|| "it is overloaded: two operations have that name".into());
            let (input, output, problem) = self.messages(&context);
            operations.push(OperationData {
                service: required(service, "name")?.to_owned(),
                port: port_name.to_owned(),
                port_type: type_name.to_string(),
                version,
                location: address.and_then(|at| at.attribute("location")).unwrap_or_default().to_owned(),
                name: name.to_owned(),
                action: soap_operation
                    .and_then(|at| at.attribute("soapAction"))
                    .unwrap_or_default()
                    .to_owned(),
                documentation: documentation(operation),
                style: context.style,
                input,
                output,
                problem: overloaded.or(problem),
            });
            if operations.len() > OPERATIONS_MAX {
                return Err(format!("this WSDL has more than {OPERATIONS_MAX} operations"));
            }
        }
        Ok(())
    }

    /// The input and output of an operation; what is not understood about them.
    fn messages(&self, bound: &Bound<'_>) -> (Message, Option<Message>, Option<String>) {
        let mut problem = None;
        let nothing = || Message { body: MessageBody::Empty, headers: vec![] };
        let mut message = |direction: &str| match self.message(bound, direction) {
            Ok(message) => message,
            Err(what) => {
                problem.get_or_insert(what);
                None
            }
        };
        let (input, output) = (message("input"), message("output"));
        (input.unwrap_or_else(nothing), output, problem)
    }

    fn message(&self, bound: &Bound<'_>, direction: &str) -> Result<Option<Message>, String> {
        let Some(declared) = bound.operation.child(WSDL, direction) else { return Ok(None) };
        let of = self.referred(declared)?;
        let wire = bound.binding.child(WSDL, direction);
        let body = wire.and_then(|wire| wire.child(bound.soap, "body"));
        if body.and_then(|body| body.attribute("use")) == Some("encoded") {
            return Err(ENCODED.into());
        }
        if body.is_none()
            && wire.is_some_and(|wire| wire.elements().any(|child| child.name.space.contains("mime")))
        {
            return Err("it sends MIME parts (attachments), which are not supported".into());
        }
        let mut headers = vec![];
        for header in wire.into_iter().flat_map(|wire| wire.all(bound.soap, "header")) {
            headers.push(self.header(header)?);
        }
        let mut parts: Vec<&Element> = of.all(WSDL, "part").collect();
        if let Some(wanted) = body.and_then(|body| body.attribute("parts")) {
            parts.retain(|part| {
                wanted.split_whitespace().any(|wanted| part.attribute("name") == Some(wanted))
            });
        } else {
            // Parts of the same message that go into the header are not in the body too.
            let in_header = |part: &Element| {
                wire.into_iter().flat_map(|wire| wire.all(bound.soap, "header")).any(|header| {
                    header.attribute("part") == part.attribute("name")
                        && header.attribute("message").and_then(|name| header.scope.name(name).ok())
                            == declared.attribute("message").and_then(|name| declared.scope.name(name).ok())
                })
            };
            parts.retain(|part| !in_header(part));
        }
        let body = match bound.style {
            Style::Document => document_body(&parts)?,
            Style::Rpc => {
                let space = body.and_then(|body| body.attribute("namespace")).unwrap_or_default();
                let operation = bound.operation.attribute("name").unwrap_or_default();
                let suffix = if direction == "output" { "Response" } else { "" };
                let name = Name::new(space, format!("{operation}{suffix}"));
                MessageBody::Parts {
                    name,
                    parts: parts.iter().map(|part| rpc_part(part)).collect::<Result<_, _>>()?,
                }
            }
        };
        Ok(Some(Message { body, headers }))
    }

    fn referred(&self, by: &Element) -> Result<&'a Element, String> {
        let name = by.scope.name(required(by, "message")?)?;
        self.messages.get(&name).copied().ok_or_else(|| missing("message", &name))
    }

    fn header(&self, header: &Element) -> Result<Name, String> {
        if header.attribute("use") == Some("encoded") {
            return Err(ENCODED.into());
        }
        let wanted = required(header, "part")?;
        let message = self.referred(header)?;
        let part = message.all(WSDL, "part").find(|part| part.attribute("name") == Some(wanted));
        let part = part.ok_or_else(|| format!("its header names the part {wanted:?}, which is not there"))?;
        match part.attribute("element") {
            Some(name) => part.scope.name(name),
            None => Err(format!(
                "the part {wanted:?} in its header has a type and no element, which is not supported"
            )),
        }
    }
}

fn document_body(parts: &[&Element]) -> Result<MessageBody, String> {
    match parts {
        [] => Ok(MessageBody::Empty),
        [part] => match part.attribute("element") {
            Some(name) => part.scope.name(name).map(MessageBody::Element),
            None => {
                Err("its message has a part with a type and no element, which is not supported: WS-I Basic \
                         Profile 1.1 (R2204) wants an element"
                    .into())
            }
        },
        several => Err(format!(
            "its body has {} parts, which is not supported: WS-I Basic Profile 1.1 (R2201) allows one",
            several.len()
        )),
    }
}

fn rpc_part(part: &Element) -> Result<RpcPart, String> {
    let name = required(part, "name")?;
    let Some(of) = part.attribute("type") else {
        return Err(format!("its part {name:?} has an element and no type, which RPC messages cannot have"));
    };
    let of = TypeRef::Named(part.scope.name(of)?);
    let decl =
        ElementDecl { name: Name::new("", name), of, nillable: false, is_abstract: false, fixed: None };
    Ok(RpcPart { name: name.to_owned(), decl: Arc::new(decl) })
}

fn style(soap: &Element) -> Option<Style> {
    match soap.attribute("style") {
        Some("rpc") => Some(Style::Rpc),
        Some(_) => Some(Style::Document),
        None => None,
    }
}

/// What people wrote about it, in one line.
fn documentation(of: &Element) -> String {
    let text = of.child(WSDL, "documentation").map(Element::text).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn required<'a>(of: &'a Element, attribute: &str) -> Result<&'a str, String> {
    of.attribute(attribute).map(str::trim).ok_or_else(|| format!("a {} without {attribute}", of.name.local))
}

fn missing(what: &str, name: &Name) -> String {
    format!(
        "the {what} {name} is not in this WSDL: if it is in one that it imports, give it with Wsdl::read_with"
    )
}
