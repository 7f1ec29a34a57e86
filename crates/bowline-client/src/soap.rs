//! SOAP.

mod xml;
