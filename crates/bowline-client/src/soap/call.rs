//! One described SOAP request.

use bowline_model::Error;
use reqwest::{Method, header::ACCEPT};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use super::{
    Wsdl,
    envelope::{self, Opened},
    fault::SoapFault,
    operation::Operation,
    version::SoapVersion,
};
use crate::{
    Api, Call, Decoded,
    read::{Read, Unread},
    scrub::Scrub,
    verdict::Answer,
};

/// A request to an operation of a service, described: [`decode`](SoapCall::decode) makes it a [`Call`], which a step
/// runs.
///
/// # An order by its number
/// ```
/// use bowline_client::{Api, soap::Wsdl};
///
/// #[derive(serde::Deserialize)]
/// struct Order { total: String, line: Vec<Line> }
/// #[derive(serde::Deserialize)]
/// struct Line { sku: String, quantity: i32 }
///
/// let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
/// let erp = Api::new("erp").base_url("https://erp.example.com");
/// let call = erp.soap(&orders, "GetOrder").json(&serde_json::json!({"id": 7})).decode::<Order>();
/// assert_eq!(format!("{call:?}"), "Call(POST erp /orders (body 4cae3f4d0d6aa4c3))");
/// # Ok::<(), bowline_model::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "this is only a description: decode makes it a call, which a step runs"]
pub struct SoapCall {
    api: Api,
    wsdl: Wsdl,
    operation: String,
    port: Option<String>,
    path: Option<String>,
    input: Value,
    headers: Vec<(String, Value)>,
    /// What is wrong with the description: the first thing.
    problem: Option<String>,
}

impl Api {
    /// Describes a call of an operation that a WSDL offers.
    ///
    /// It goes to the Api's base URL, with the path that the WSDL says: where the Api is, is a matter of the
    /// deployment. SOAP services rarely know idempotency keys; one that does not is repeated as if it did, unless the
    /// Api says [`idempotency`](Api::idempotency) or the step `at_most_once`.
    ///
    /// # Calling an operation
    /// ```no_run
    /// use bowline_client::{Api, soap::Wsdl};
    ///
    /// # async fn ship() -> Result<(), bowline_model::Error> {
    /// let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
    /// let erp = Api::new("erp").base_url("https://erp.example.com");
    /// let order: serde_json::Value =
    ///     erp.soap(&orders, "GetOrder").json(&serde_json::json!({"id": 7})).decode().send().await?;
    /// # Ok(()) }
    /// ```
    pub fn soap(&self, wsdl: &Wsdl, operation: &str) -> SoapCall {
        SoapCall {
            api: self.clone(),
            wsdl: wsdl.clone(),
            operation: operation.to_owned(),
            port: None,
            path: None,
            input: Value::Null,
            headers: vec![],
            problem: None,
        }
    }
}

impl SoapCall {
    /// Chooses the port, where several offer an operation with that name.
    ///
    /// # One of two ports
    /// ```
    /// # use bowline_client::{Api, soap::Wsdl};
    /// # let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
    /// # let erp = Api::new("erp").base_url("https://erp.example.com");
    /// let call = erp.soap(&orders, "GetOrder").port("OrdersPort").json(&serde_json::json!({"id": 7}));
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn port(mut self, name: &str) -> Self {
        self.port = Some(name.to_owned());
        self
    }

    /// Goes to that path below the base URL, instead of the one in the WSDL.
    ///
    /// # A test system's path
    /// ```
    /// # use bowline_client::{Api, soap::Wsdl};
    /// # let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
    /// # let erp = Api::new("erp").base_url("https://erp.example.com");
    /// let call = erp.soap(&orders, "GetOrder").path("/v2/orders").json(&serde_json::json!({"id": 7})).decode::<()>();
    /// assert!(format!("{call:?}").contains("/v2/orders"));
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Sets the input: a value with the fields of the operation's input, which
    /// [`Operation`](super::Operation) shows. It is written in the schema's order.
    ///
    /// Attributes are `"@name"`, the text of an element that has attributes is `"$text"`, repeated elements are arrays.
    /// `null` is `xsi:nil` where the schema allows it, and else as if it were not there: a field that is `None` is
    /// left out with `skip_serializing_if`. A derived type is said as `"@xsi:type"`, elements of any kind are
    /// texts of XML in `"$any"`. Numbers can be texts too: `xs:decimal` keeps every digit so.
    ///
    /// What does not fit is a permanent failure when the call runs, which names the place, what is wanted and what is
    /// there; nothing is sent then.
    ///
    /// # The body as JSON
    /// ```
    /// # use bowline_client::{Api, soap::Wsdl};
    /// # let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
    /// # let erp = Api::new("erp").base_url("https://erp.example.com");
    /// #[derive(serde::Serialize)]
    /// struct GetOrder { id: u32 }
    /// let call = erp.soap(&orders, "GetOrder").json(&GetOrder { id: 7 });
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn json<B: Serialize + ?Sized>(mut self, input: &B) -> Self {
        match to_value(input) {
            Ok(value) => self.input = value,
            Err(what) => {
                self.problem.get_or_insert(format!("the input {what}"));
            }
        }
        self
    }

    /// Adds an element to the SOAP header, by the name that the WSDL has for it.
    ///
    /// # A header block
    /// ```
    /// # use bowline_client::{Api, soap::Wsdl};
    /// # let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
    /// # let erp = Api::new("erp").base_url("https://erp.example.com");
    /// let call = erp
    ///     .soap(&orders, "CancelOrder")
    ///     .header("Tenant", &serde_json::json!({"name": "acme"}))
    ///     .json(&serde_json::json!({"id": 7}));
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn header<B: Serialize + ?Sized>(mut self, name: &str, value: &B) -> Self {
        match to_value(value) {
            Ok(value) => self.headers.push((name.to_owned(), value)),
            Err(what) => {
                self.problem.get_or_insert(format!("the header {name} {what}"));
            }
        }
        self
    }

    /// The call, its answer read as JSON by the schema into `T`.
    ///
    /// Repeated elements are always arrays; numbers and booleans are those of JSON; `xs:decimal`, dates and binary
    /// values are texts, with all their digits; `xsi:nil` is `null`. A response that is only a wrapper around one
    /// element is left away, and so is a list of its own within it (`ArrayOfOrder`): `decode::<Vec<Order>>()`. What the
    /// schema does not know is kept as it looks.
    ///
    /// # A typed answer
    /// ```
    /// # use bowline_client::{Api, soap::Wsdl};
    /// # let orders = Wsdl::read(include_str!("../../tests/client/soap/orders.wsdl"))?;
    /// # let erp = Api::new("erp").base_url("https://erp.example.com");
    /// #[derive(serde::Deserialize)]
    /// struct Order { total: String }
    /// let call = erp.soap(&orders, "GetOrder").json(&serde_json::json!({"id": 7})).decode::<Order>();
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    ///
    /// # Durability
    /// As every [`Call`]: a step records the value, and the same message is sent after a crash. Its fingerprint is of
    /// the message without the header of WS-Security, which is new at every attempt.
    pub fn decode<T: Decoded>(self) -> Call<T> {
        match self.described() {
            Ok((call, operation)) => call.reading(Envelope { operation: Some(operation) }),
            Err(what) => Call::new(self.api, Method::POST, self.path.as_deref().unwrap_or_default())
                .problem(what)
                .reading(Envelope { operation: None }),
        }
    }

    fn described(&self) -> Result<(Call, Operation), String> {
        let operation = self.wsdl.find(&self.operation, self.port.as_deref())?;
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let name = operation.name();
        if let Some(problem) = operation.problem() {
            return Err(format!("the operation {name} cannot be called: {problem}"));
        }
        let (path, query) = match &self.path {
            Some(path) => (path.clone(), None),
            None => self.place(&operation)?,
        };
        let body = envelope::write(&operation, &self.input, &self.headers)
            .map_err(|what| format!("{name}: {what}"))?;
        let call = Call::new(self.api.clone(), Method::POST, &path).bare_query(query.as_deref());
        let (version, action) = (operation.version(), operation.action());
        let kind = version.media_type();
        // SOAP 1.1 §6.1.1, SOAP 1.2 part 2 §6.5.3.
        let call = match version {
            SoapVersion::V1_1 => call
                .body(body, &format!("{kind}; charset=utf-8"))
                .header("soapaction", format!("\"{action}\"")),
            SoapVersion::V1_2 if action.is_empty() => call.body(body, &format!("{kind}; charset=utf-8")),
            SoapVersion::V1_2 => call.body(body, &format!("{kind}; charset=utf-8; action=\"{action}\"")),
        };
        let call = call.header(ACCEPT.as_str(), format!("{kind}, */*;q=0.1"));
        Ok((call, operation))
    }

    /// Path and query of the operation's address, below the base URL.
    fn place(&self, operation: &Operation) -> Result<(String, Option<String>), String> {
        let location = operation.location();
        let base = match self.api.settings().base_path() {
            None => return Ok((String::new(), None)),
            Some(base) => base,
        };
        let Ok(url) = Url::parse(location) else {
            return Err(format!(
                "the WSDL has no address for it, but {location:?}: say the path, with .path(\"/…\")"
            ));
        };
        let below = match url.path().strip_prefix(&base) {
            Some("") => "",
            Some(rest) if rest.starts_with('/') => rest,
            Some(_) | None => {
                return Err(format!(
                    "its path in the WSDL, {}, is not below that of the base URL, {base}: say it, with .path(\"/…\")",
                    url.path()
                ));
            }
        };
        Ok((below.to_owned(), url.query().map(Into::into)))
    }
}

/// Through text, so that a float keeps the digits of its own type.
fn to_value<B: Serialize + ?Sized>(value: &B) -> Result<Value, String> {
    let unfit = |error: serde_json::Error| format!("cannot be written as JSON: {error}");
    serde_json::from_slice(&serde_json::to_vec(value).map_err(unfit)?).map_err(unfit)
}

/// Reads the envelope of an answer.
struct Envelope {
    /// `None` for a call that is never sent.
    operation: Option<Operation>,
}

impl Envelope {
    fn fault(&self, answer: &Answer) -> Option<SoapFault> {
        match (envelope::open(answer), &self.operation) {
            (Ok(Opened::Fault(version, fault)), Some(operation)) => {
                Some(SoapFault::read(version, &fault, &operation.wsdl().schemas))
            }
            (Ok(Opened::Fault(..) | Opened::Body(_)) | Err(_), _) => None,
        }
    }
}

impl<T: DeserializeOwned> Read<T> for Envelope {
    fn good(&self, answer: &Answer, _: &Scrub) -> Result<T, Unread> {
        let Some(operation) = &self.operation else {
            return Err("was not asked for".to_owned().into());
        };
        let value = if operation.data().output.is_none() && answer.body.trim_ascii().is_empty() {
            Value::Null
        } else {
            match envelope::open(answer)? {
                Opened::Fault(version, fault) => {
                    let fault = SoapFault::read(version, &fault, &operation.wsdl().schemas);
                    return Err(Unread::Said(fault.said(answer)));
                }
                Opened::Body(body) => operation.read_output(&body)?,
            }
        };
        serde_path_to_error::deserialize(value).map_err(|error| {
            Unread::Unfit(match error.path().to_string().as_str() {
                "." => format!("does not fit its type: {}", error.inner()),
                path => format!("does not fit its type at `{path}`: {}", error.inner()),
            })
        })
    }

    fn bad(&self, answer: &Answer) -> Option<crate::read::Said> {
        self.fault(answer).map(|fault| fault.said(answer))
    }

    fn detail(&self, answer: &Answer) -> Option<Value> {
        self.fault(answer).and_then(|fault| serde_json::to_value(fault).ok())
    }
}

/// Most documents that are fetched for one WSDL.
const FETCHES_MAX: usize = 64;

impl Api {
    /// Fetches a WSDL, and what it imports, from this Api: from below its base URL and from nowhere else. What it
    /// imports from other places is left out, and named by [`Wsdl::missing`].
    ///
    /// For programs that look around. One that runs for years keeps the WSDL beside its code ([`Wsdl::read`]), so that
    /// a change at the remote is a change that is reviewed.
    ///
    /// # Durability
    /// None: these are calls that stand alone.
    ///
    /// # Errors
    /// The failure of a call, or what is wrong with a document.
    ///
    /// # Listing what a service offers
    /// ```no_run
    /// # async fn list() -> Result<(), bowline_model::Error> {
    /// let erp = bowline_client::Api::new("erp").base_url("https://erp.example.com");
    /// for operation in erp.wsdl("/orders?wsdl").await?.operations() {
    ///     println!("{operation}");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn wsdl(&self, path: &str) -> Result<Wsdl, Error> {
        let base = self.settings().address.as_ref().map(|address| address.join(""));
        let Some(Ok(base)) = base else {
            return Err(self
                .get(path)
                .send()
                .await
                .err()
                .unwrap_or_else(|| Error::refused("the Api has no base URL")));
        };
        let (below, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url =
            self.settings().address.as_ref().expect("is there").join(below).map_err(Error::refused)?;
        url.set_query((!query.is_empty()).then_some(query));
        let text = self.document(&base, &url).await?;
        let text = super::xml::encoding::text(&text, None).map_err(Error::permanent)?;
        let mut known: std::collections::HashMap<String, Vec<u8>> = std::collections::HashMap::new();
        loop {
            let wsdl = Wsdl::read_at(url.as_str(), &text, &mut |location| known.get(location).cloned())?;
            let wanted: Vec<Url> = wsdl.missing().iter().filter_map(|at| Url::parse(at).ok()).collect();
            let mut fetched = false;
            for at in wanted.iter().filter(|at| is_below(&base, at)) {
                if known.len() == FETCHES_MAX {
                    return Err(Error::permanent(format!(
                        "this WSDL is made of more than {FETCHES_MAX} documents"
                    )));
                }
                known.insert(at.to_string(), self.document(&base, at).await?.to_vec());
                fetched = true;
            }
            if !fetched {
                return Ok(wsdl);
            }
        }
    }

    async fn document(&self, base: &Url, at: &Url) -> Result<bytes::Bytes, Error> {
        let below = at.path().strip_prefix(base.path().trim_end_matches('/')).unwrap_or_default();
        let call = self.get(below).bare_query(at.query()).header(ACCEPT.as_str(), "text/xml, */*;q=0.5");
        Ok(call.send().await?.bytes().clone())
    }
}

/// Whether a URL is below the base URL.
fn is_below(base: &Url, at: &Url) -> bool {
    let above = base.path().trim_end_matches('/');
    at.origin() == base.origin()
        && at.path().strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
