//! What a WSDL 1.1 document says: services, their ports, and the operations that can be called.
//!
//! What comes in: documents that were given. What goes out: [`Operation`]s, whose requests can be built and whose
//! answers can be read. What must never happen here: that anything is fetched.

use std::{fmt, sync::Arc};

use bowline_model::Error;

use super::{operation::Operation, schema::Schemas, version::SoapVersion};

mod documents;
mod read;

/// A service description (WSDL 1.1 with XML Schema), read.
///
/// Nothing is ever fetched by it: documents that it imports are given by [`read_with`](Wsdl::read_with), or fetched from
/// the Api's own place by [`Api::wsdl`](crate::Api::wsdl). What it imports and nobody gives is an error only for the
/// operations that need it. Cheap to clone.
///
/// # What a service offers
/// ```
/// use bowline_client::soap::Wsdl;
///
/// let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
/// let operations = orders.operations();
/// let names: Vec<&str> = operations.iter().map(|operation| operation.name()).collect();
/// assert_eq!(names, ["GetOrder", "CancelOrder"]);
/// # Ok::<(), bowline_model::Error>(())
/// ```
#[derive(Clone)]
pub struct Wsdl {
    inner: Arc<Inner>,
}

/// All that the documents said.
pub(crate) struct Inner {
    pub(crate) schemas: Schemas,
    pub(crate) operations: Vec<OperationData>,
    /// Import locations that nobody gave.
    pub(crate) missing: Vec<String>,
}

/// One operation of one port.
pub(crate) struct OperationData {
    pub(crate) service: String,
    pub(crate) port: String,
    /// Ports with the same one offer the same operations.
    pub(crate) port_type: String,
    pub(crate) version: SoapVersion,
    pub(crate) location: String,
    pub(crate) name: String,
    pub(crate) action: String,
    pub(crate) documentation: String,
    pub(crate) style: Style,
    pub(crate) input: Message,
    pub(crate) output: Option<Message>,
    /// Why it cannot be called.
    pub(crate) problem: Option<String>,
}

/// How a message is laid out in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Document,
    Rpc,
}

/// A message as it is on the wire.
pub(crate) struct Message {
    pub(crate) body: MessageBody,
    /// The elements in the header, by the name of their parts.
    pub(crate) headers: Vec<super::xml::Name>,
}

pub(crate) enum MessageBody {
    /// Nothing.
    Empty,
    /// One element.
    Element(super::xml::Name),
    /// An element for the operation, with one without a namespace for each part.
    Parts { name: super::xml::Name, parts: Vec<RpcPart> },
}

/// A part of an RPC message.
pub(crate) struct RpcPart {
    pub(crate) name: String,
    pub(crate) decl: Arc<super::schema::ElementDecl>,
}

impl Wsdl {
    /// Reads a WSDL that imports nothing, or nothing that is needed.
    ///
    /// # Errors
    /// Says what is wrong with the document.
    ///
    /// # Its operations
    /// ```
    /// use bowline_client::soap::Wsdl;
    ///
    /// let error = Wsdl::read("<html><body>Not here</body></html>").unwrap_err();
    /// assert!(error.to_string().contains("no WSDL 1.1"));
    /// ```
    pub fn read(text: &str) -> Result<Self, Error> {
        Self::read_with(text, |_| None)
    }

    /// Reads a WSDL; `documents` gives the text of what it imports or includes, by location: as it is written there,
    /// or, within an imported document, relative to that one's own location. `None` is for what is not at hand.
    ///
    /// # Errors
    /// Says what is wrong with a document, and which.
    ///
    /// # Reading imported schemas
    /// ```
    /// use bowline_client::soap::Wsdl;
    ///
    /// let wsdl = r#"<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"><types>
    ///     <schema xmlns="http://www.w3.org/2001/XMLSchema"><include schemaLocation="types/order.xsd"/></schema>
    /// </types></definitions>"#;
    /// let mut asked = vec![];
    /// Wsdl::read_with(wsdl, |location| {
    ///     asked.push(location.to_owned());
    ///     Some(r#"<schema xmlns="http://www.w3.org/2001/XMLSchema"><include schemaLocation="base.xsd"/></schema>"#.into())
    /// })?;
    /// assert_eq!(asked, ["types/order.xsd", "types/base.xsd"]);
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn read_with(text: &str, mut documents: impl FnMut(&str) -> Option<String>) -> Result<Self, Error> {
        let found = documents::collect("", text, &mut |location| documents(location).map(String::into_bytes));
        Self::from_found(found)
    }

    fn from_found(found: Result<documents::Found, String>) -> Result<Self, Error> {
        let inner = found.and_then(|found| read::read(&found));
        inner.map(|inner| Self { inner: Arc::new(inner) }).map_err(Error::permanent)
    }

    /// Reads a document and those given for its imports; tells which others are wanted.
    pub(crate) fn read_at(
        base: &str,
        text: &str,
        documents: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, Error> {
        Self::from_found(documents::collect(base, text, documents))
    }

    /// The locations of documents that it imports, and that were not given.
    ///
    /// # A WSDL in parts
    /// ```
    /// use bowline_client::soap::Wsdl;
    ///
    /// let wsdl = Wsdl::read(
    ///     r#"<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"><import namespace="u:1" location="more.wsdl"/></definitions>"#,
    /// )?;
    /// assert_eq!(wsdl.missing(), ["more.wsdl"]);
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn missing(&self) -> &[String] {
        &self.inner.missing
    }

    /// What can be called, by port. `Display` of an [`Operation`] shows what a request and an answer look like in JSON.
    ///
    /// # Printing what a service offers
    /// ```
    /// use bowline_client::soap::Wsdl;
    ///
    /// let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
    /// let [get, _] = &orders.operations()[..] else { panic!("two operations") };
    /// assert_eq!(
    ///     get.to_string(),
    ///     r#"GetOrder (Orders/OrdersPort, SOAP 1.1, document)
    ///   Finds an order.
    ///   in: {
    ///     id: int
    ///   }
    ///   out: {
    ///     @state: string (open | shipped), optional
    ///     customer: string, or null
    ///     total: decimal
    ///     line: [{
    ///       sku: string
    ///       quantity: int
    ///     }], 0 or more
    ///   }
    /// "#,
    /// );
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn operations(&self) -> Vec<Operation> {
        (0..self.inner.operations.len()).map(|at| Operation::new(self.inner.clone(), at)).collect()
    }

    /// The operation with that name, of that port if it is given.
    ///
    /// Ports that offer the same operations (a port type with SOAP 1.1 and 1.2, say) are one choice: the first one is
    /// taken.
    pub(crate) fn find(&self, name: &str, port: Option<&str>) -> Result<Operation, String> {
        let all = &self.inner.operations;
        let at_port = |data: &OperationData| port.is_none_or(|port| data.port == port);
        let mut found = (0..all.len()).filter(|at| all[*at].name == name && at_port(&all[*at]));
        let Some(first) = found.next() else { return Err(self.not_found(name, port)) };
        if let Some(other) = found.find(|at| all[*at].port_type != all[first].port_type) {
            return Err(format!(
                "the WSDL has several operations {name}: of the ports {} and {}; say which, with .port(name)",
                all[first].port, all[other].port
            ));
        }
        Ok(Operation::new(self.inner.clone(), first))
    }

    fn not_found(&self, name: &str, port: Option<&str>) -> String {
        let mut known: Vec<String> = match port {
            Some(port) => {
                let here = self.inner.operations.iter().filter(|data| data.port == port);
                here.map(|data| data.name.clone()).collect()
            }
            None => self.inner.operations.iter().map(|data| data.name.clone()).collect(),
        };
        known.dedup();
        let place = port.map(|port| format!(" at the port {port:?}")).unwrap_or_default();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        format!("the WSDL has no operation {name:?}{place}: it has {known}")
    }
}

/// Shows the operations' names.
impl fmt::Debug for Wsdl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.inner.operations.iter().map(|data| data.name.as_str()).collect();
        f.debug_tuple("Wsdl").field(&names).finish()
    }
}

#[cfg(test)]
mod tests;
