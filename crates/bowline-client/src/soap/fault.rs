//! What a service said went wrong.

use bowline_model::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    decode::{Decoder, generic},
    schema::Schemas,
    version::SoapVersion,
    xml::Element,
};
use crate::{
    read::Said,
    verdict::{Answer, Meaning},
};

/// Largest fault that is kept whole, as JSON; of a larger one the detail is left away.
const FAULT_BYTES_MAX: usize = 16 * 1024;
/// Longest reason that is shown in an error's message.
const REASON_SHOWN_CHARS_MAX: usize = 500;

/// A SOAP fault, in a 500 or in a 200.
///
/// Faults of the caller (`Client`, `Sender`), `MustUnderstand`, `VersionMismatch` and those of WS-Security are a definite no; faults of
/// the service (`Server`, `Receiver`), and those with a code of its own, may have had their effect and are tried again.
///
/// # Telling faults apart
/// ```
/// # use bowline_client::soap::SoapFault;
/// # use bowline_model::{CallFailure, Failure};
/// fn is_unknown_order(error: &bowline_model::Error) -> bool {
///     SoapFault::of(error).is_some_and(|fault| fault.code() == "Client.NoSuchOrder")
/// }
///
/// let fault = serde_json::json!({"code": "Client.NoSuchOrder", "reason": "no order 7", "detail": {"NoSuchOrder": {"id": 7}}});
/// let failure = Failure::refused("…").call(CallFailure { detail: Some(Box::new(fault)), ..CallFailure::default() });
/// let error = bowline_model::Error::from(failure);
/// assert!(is_unknown_order(&error));
/// let fault = SoapFault::of(&error).unwrap();
/// assert_eq!((fault.reason(), fault.subcode(), fault.role()), ("no order 7", None, None));
/// assert_eq!(fault.detail()["NoSuchOrder"]["id"], 7);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SoapFault {
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subcode: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    detail: Value,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    security: bool,
}

impl SoapFault {
    /// The fault that a call failed with, if it was one.
    pub fn of(error: &Error) -> Option<Self> {
        let detail = error.call()?.detail.as_deref()?;
        Self::deserialize(detail).ok()
    }

    /// The code without its namespace: `Client`, `Server.Timeout` (1.1), `Sender`, `Receiver` (1.2).
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The innermost subcode of SOAP 1.2, without its namespace.
    pub fn subcode(&self) -> Option<&str> {
        self.subcode.as_deref()
    }

    /// What it says for people.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Who failed: the actor of SOAP 1.1, the role of SOAP 1.2.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// The detail: an object with an entry for each of its elements, typed by the schema where the WSDL declares them.
    /// `null` if there is none, or if the fault is larger than 16 KiB.
    pub fn detail(&self) -> &Value {
        &self.detail
    }

    /// Reads a `Fault` element.
    pub(crate) fn read(version: SoapVersion, fault: &Element, schemas: &Schemas) -> Self {
        let space = version.envelope();
        let text = |element: Option<&Element>| element.map(|element| element.text().trim().to_owned());
        // Elements of a SOAP 1.1 fault have no namespace; some services give them one.
        let local = |name: &str| fault.elements().find(|child| &*child.name.local == name);
        let (code_at, subcode, reason, role, detail) = match version {
            SoapVersion::V1_1 => (
                local("faultcode"),
                None,
                text(local("faultstring")),
                text(local("faultactor")),
                local("detail"),
            ),
            SoapVersion::V1_2 => {
                let code = fault.child(space, "Code");
                let mut sub = code.and_then(|code| code.child(space, "Subcode"));
                while let Some(inner) = sub.and_then(|sub| sub.child(space, "Subcode")) {
                    sub = Some(inner);
                }
                let reason = fault.child(space, "Reason").and_then(preferred);
                (
                    code.and_then(|code| code.child(space, "Value")),
                    sub.and_then(|sub| sub.child(space, "Value")).map(|value| name_of(value).1),
                    reason,
                    text(fault.child(space, "Role")),
                    fault.child(space, "Detail"),
                )
            }
        };
        let (code_space, code) = code_at.map(name_of).unwrap_or_default();
        let mut found = Self {
            security: code_space.contains("wss-wssecurity") || code_space.contains("/secext"),
            code: if code.is_empty() { "unknown".into() } else { code },
            subcode,
            reason: reason.unwrap_or_default(),
            role: role.filter(|role| !role.is_empty()),
            detail: detail.map(|detail| detail_of(detail, schemas)).unwrap_or_default(),
        };
        if serde_json::to_string(&found).map_or(true, |json| json.len() > FAULT_BYTES_MAX) {
            found.detail = Value::Null;
            found.reason = found.reason.chars().take(FAULT_BYTES_MAX / 8).collect();
        }
        found
    }

    /// What the client is told.
    pub(crate) fn said(&self, answer: &Answer) -> Said {
        let reason: String = self.reason.chars().take(REASON_SHOWN_CHARS_MAX).collect();
        let code = match &self.subcode {
            Some(subcode) => format!("{}/{subcode}", self.code),
            None => self.code.clone(),
        };
        let hint =
            if self.security { ": check the credential of WS-Security (.username_token_env)" } else { "" };
        Said {
            meaning: self.meaning(answer.status),
            what: format!(": fault {code}: {reason}{hint}"),
            code: Some(self.subcode.clone().unwrap_or_else(|| self.code.clone())),
            wait: None,
        }
    }

    fn meaning(&self, status: u16) -> Meaning {
        match (status, self.code.split('.').next().unwrap_or_default()) {
            (408 | 425 | 429 | 503 | 529, _) => Meaning::Later,
            (401 | 403, _) => Meaning::No,
            _ if self.security => Meaning::No,
            (_, "Client" | "Sender" | "MustUnderstand" | "VersionMismatch" | "DataEncodingUnknown") => {
                Meaning::No
            }
            (_, "Server" | "Receiver") => Meaning::Unclear,
            (400..=499, _) => Meaning::No,
            (_, _) => Meaning::Unclear,
        }
    }
}

/// Namespace and local part of a code.
fn name_of(value: &Element) -> (String, String) {
    let text = value.text();
    match value.scope.name(&text) {
        Ok(name) => (name.space.to_string(), name.local.to_string()),
        // Codes that are no names, as `7` or `x:y` without a declaration.
        Err(_) => (String::new(), text.trim().rsplit(':').next().unwrap_or_default().to_owned()),
    }
}

/// The text in English, else the first.
fn preferred(reason: &Element) -> Option<String> {
    let lang = |text: &&Element| {
        text.attribute_in(super::xml::XML, "lang").is_some_and(|lang| lang.starts_with("en"))
    };
    let text = reason.elements().find(lang).or_else(|| reason.elements().next())?;
    Some(text.text().trim().to_owned())
}

fn detail_of(detail: &Element, schemas: &Schemas) -> Value {
    let decoder = Decoder { schemas };
    let mut object = Map::new();
    for child in detail.elements() {
        let typed = schemas.elements.get(&child.name).and_then(|decl| decoder.element(decl, child).ok());
        let value = typed.unwrap_or_else(|| generic(child));
        match object.get_mut(&*child.name.local) {
            Some(Value::Array(items)) => items.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                object.insert(child.name.local.to_string(), value);
            }
        }
    }
    match (object.is_empty(), detail.text().trim()) {
        (true, "") => Value::Null,
        (true, text) => text.into(),
        (false, _) => Value::Object(object),
    }
}
