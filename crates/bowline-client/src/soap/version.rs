//! The two versions of SOAP, and what differs between them.

use std::fmt;

/// A version of SOAP.
///
/// # What a binding speaks
/// ```
/// use bowline_client::soap::SoapVersion;
///
/// assert_eq!(SoapVersion::V1_2.to_string(), "SOAP 1.2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SoapVersion {
    /// SOAP 1.1 (W3C Note, 2000): `text/xml`, a `SOAPAction` header.
    V1_1,
    /// SOAP 1.2 (W3C Recommendation, 2007): `application/soap+xml` with an `action` parameter.
    V1_2,
}

impl SoapVersion {
    /// The namespace of its envelope.
    pub(crate) fn envelope(self) -> &'static str {
        match self {
            Self::V1_1 => "http://schemas.xmlsoap.org/soap/envelope/",
            Self::V1_2 => "http://www.w3.org/2003/05/soap-envelope",
        }
    }

    /// The version whose binding in a WSDL is in that namespace.
    pub(crate) fn of_binding(namespace: &str) -> Option<Self> {
        match namespace {
            "http://schemas.xmlsoap.org/wsdl/soap/" => Some(Self::V1_1),
            "http://schemas.xmlsoap.org/wsdl/soap12/" => Some(Self::V1_2),
            _ => None,
        }
    }

    /// The media type of its messages.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::V1_1 => "text/xml",
            Self::V1_2 => "application/soap+xml",
        }
    }
}

/// As `SOAP 1.1`.
impl fmt::Display for SoapVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_1 => "SOAP 1.1",
            Self::V1_2 => "SOAP 1.2",
        })
    }
}
