//! SOAP 1.1 and 1.2: operations read from a WSDL, requests built from JSON in the schema's order, answers and faults
//! typed.
//!
//! What comes in: a [`Wsdl`], and input as JSON or any serde type. What goes out: a [`Call`](crate::Call) as every
//! other, in whose answer the envelope is opened and the body read as JSON by the schema. What must never happen here:
//! a document type or an entity that is read, a schema that is fetched on the way, a field that is guessed.
//!
//! ```no_run
//! use bowline_client::{Api, soap::{SoapFault, Wsdl}};
//! use serde_json::json;
//!
//! # async fn find() -> Result<(), bowline_model::Error> {
//! let orders = Wsdl::read(include_str!("../tests/client/soap/orders.wsdl"))?;
//! for operation in orders.operations() {
//!     println!("{operation}"); // what goes in, what comes out
//! }
//! let erp = Api::new("erp").base_url("https://erp.example.com");
//! match erp.soap(&orders, "GetOrder").json(&json!({"id": 7})).decode::<serde_json::Value>().send().await {
//!     Ok(order) => println!("{}", order["total"]),
//!     Err(error) => println!("{:?}", SoapFault::of(&error)),
//! }
//! # Ok(()) }
//! ```
//!
//! | Module | Story |
//! |---|---|
//! | `xml` | documents of strangers: a tree, within limits; and back |
//! | `schema` | what XML Schema says of messages |
//! | `wsdl` | services, ports, operations |
//! | `operation` | one operation, shown, written and read |
//! | `encode`, `decode` | JSON as XML by the schema, and back |
//! | `envelope`, `fault` | what is around a message, and instead of one |
//! | `security` | WS-Security: who calls |
//! | `call` | one described request |
//!
//! Supported: WSDL 1.1; document/literal, wrapped and bare, and RPC/literal; of XML Schema 1.0 elements, complex types
//! (sequence, choice, all, groups, extension, restriction, attributes, simple content, mixed, `xs:any`), simple types
//! (restriction, enumeration, list, union), substitution groups, `xsi:nil` and `xsi:type`. Enumerations, lengths and
//! inclusive bounds are checked before sending; patterns and digits are left to the service. Of a choice that repeats,
//! the values of each alternative come together. Not supported, and named where it is met: RPC/encoded, WSDL 2.0,
//! MTOM and attachments, `xs:redefine`, XML Schema 1.1, and WS-Security but for the username token.

mod call;
mod decode;
mod encode;
mod envelope;
mod fault;
mod operation;
mod schema;
pub(crate) mod security;
mod version;
mod wsdl;
mod xml;

pub use call::SoapCall;
pub use fault::SoapFault;
pub use operation::Operation;
pub use security::TokenKind;
pub use version::SoapVersion;
pub use wsdl::Wsdl;
