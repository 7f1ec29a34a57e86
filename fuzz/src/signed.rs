//! What each scheme signs of a request, said once more and in another way: whoever is taken for genuine has sent that.

use axum::http::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A request on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// `POST`.
    pub method: String,
    /// As the sender knows it.
    pub url: Option<String>,
    /// All of them.
    pub headers: HeaderMap,
    /// The raw body.
    pub body: Vec<u8>,
}

/// The ways in which one signed text may be read.
pub type Readings = Vec<Vec<u8>>;

impl Sent {
    /// The value without the space around it; nothing if it came twice.
    fn header(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.as_bytes().trim_ascii())
    }

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// More than serde makes a tree of; the verifiers skip what they do not read.
    pub fn is_deep(&self) -> bool {
        self.body.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > 100
    }

    fn item(&self, name: &str, separator: u8, key: &[u8]) -> Option<&[u8]> {
        let items = self.header(name)?.split(|byte| *byte == separator);
        items.filter_map(|item| item.trim_ascii().strip_prefix(key)).next()
    }
}

fn one(parts: &[&[u8]]) -> Option<Vec<Readings>> {
    Some(vec![vec![parts.concat()]])
}

/// The body alone.
pub fn body(sent: &Sent) -> Option<Vec<Readings>> {
    one(&[&sent.body])
}

/// Stripe's and Calendly's form: `t=…` in that header, a dot, the body.
pub fn stamped(header: &'static str) -> impl Fn(&Sent) -> Option<Vec<Readings>> {
    move |sent| one(&[sent.item(header, b',', b"t=")?, b".", &sent.body])
}

/// Paddle.
pub fn paddle(sent: &Sent) -> Option<Vec<Readings>> {
    one(&[sent.item("paddle-signature", b';', b"ts=")?, b":", &sent.body])
}

/// A prefix, that header, a separator, the body.
pub fn timed(
    prefix: &'static str,
    header: &'static str,
    separator: &'static str,
) -> impl Fn(&Sent) -> Option<Vec<Readings>> {
    move |sent| one(&[prefix.as_bytes(), sent.header(header)?, separator.as_bytes(), &sent.body])
}

/// Standard Webhooks, under either name.
pub fn standard(sent: &Sent) -> Option<Vec<Readings>> {
    let reading = |of: &str| {
        let [id, time] = ["id", "timestamp"].map(|name| sent.header(&format!("{of}-{name}")));
        Some([id?, b".", time?, b".", &sent.body].concat())
    };
    Some(vec![["webhook", "svix"].into_iter().filter_map(reading).collect()])
}

/// The URL and the body.
pub fn url_and_body(sent: &Sent) -> Option<Vec<Readings>> {
    one(&[sent.url()?.as_bytes(), &sent.body])
}

/// HubSpot: the URL as it is, or with some escapes decoded.
pub fn hubspot(sent: &Sent) -> Option<Vec<Readings>> {
    let (url, time) = (sent.url()?, sent.header("x-hubspot-request-timestamp")?);
    let mut decoded = url.split('%').next().unwrap_or_default().to_owned();
    for rest in url.split('%').skip(1) {
        let byte =
            rest.get(..2).and_then(|digits| hex::decode(digits).ok()).map(|bytes| char::from(bytes[0]));
        match byte.filter(|byte| ":/?@!$'()*,;".contains(*byte)) {
            Some(byte) => decoded.extend([byte.to_string().as_str(), &rest[2..]]),
            None => decoded.extend(["%", rest]),
        }
    }
    let reading = |url: &str| [sent.method.as_bytes(), url.as_bytes(), &sent.body, time].concat();
    Some(vec![vec![reading(url), reading(&decoded)]])
}

/// Twilio: the URL, whatever its port, and the fields; or with its digest, the body.
pub fn twilio(sent: &Sent) -> Option<Vec<Readings>> {
    let url = sent.url()?;
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = &rest[..end];
    let host = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && !scheme.is_empty() => host,
        _ => host,
    };
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut text = format!("{scheme}://{host}{}", &rest[end..]);
    if let Some((_, digest)) =
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == "bodySHA256")
    {
        let is_said = digest.eq_ignore_ascii_case(&hex::encode(Sha256::digest(&sent.body)));
        return is_said.then_some(vec![vec![text.into_bytes()]]);
    }
    let fields: std::collections::BTreeSet<_> = url::form_urlencoded::parse(&sent.body).collect();
    text.extend(fields.into_iter().flat_map(|(name, value)| [name, value]));
    Some(vec![vec![text.into_bytes()]])
}

/// GitLab's older form: nothing but the token.
pub fn token(header: &'static str) -> impl Fn(&Sent) -> Option<Vec<Readings>> {
    move |sent| one(&[sent.header(header)?])
}

/// Adyen: of each item eight fields; or all of a body whose signature is in a header.
pub fn adyen(sent: &Sent) -> Option<Vec<Readings>> {
    if sent.headers.contains_key("hmacsignature") {
        return body(sent);
    }
    let of_item = |wrapped: &Value| {
        let item = &wrapped["NotificationRequestItem"];
        let fields = ["/pspReference", "/originalReference", "/merchantAccountCode", "/merchantReference"]
            .into_iter()
            .chain(["/amount/value", "/amount/currency", "/eventCode", "/success"])
            .map(|pointer| text(item.pointer(pointer)));
        vec![fields.collect::<Vec<_>>().join(":").into_bytes()]
    };
    Some(sent.json()?["notificationItems"].as_array()?.iter().map(of_item).collect())
}

/// Mailgun: the timestamp and the token beside the event.
pub fn mailgun(sent: &Sent) -> Option<Vec<Readings>> {
    let body = sent.json()?;
    let [time, token] = ["timestamp", "token"].map(|name| text(body["signature"].get(name)));
    one(&[time.as_bytes(), b"|", token.as_bytes()])
}

/// PayPal: two headers and a checksum.
pub fn paypal(sent: &Sent) -> Option<Vec<Readings>> {
    let (id, time) = (sent.header("paypal-transmission-id")?, sent.header("paypal-transmission-time")?);
    one(&[id, b"|", time, b"|", crc32(&sent.body).to_string().as_bytes()])
}

/// SNS: fields by name.
pub fn sns(sent: &Sent) -> Option<Vec<Readings>> {
    let body = sent.json()?;
    let names: &[&str] = match body["Type"].as_str()? {
        "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let fields = names.iter().filter_map(|name| Some(format!("{name}\n{}\n", body[name].as_str()?)));
    one(&[fields.collect::<String>().as_bytes()])
}

/// Graph: what each item shows.
pub fn graph(sent: &Sent) -> Option<Vec<Readings>> {
    let state = |item: &Value| vec![text(item.get("clientState")).into_bytes()];
    Some(sent.json()?["value"].as_array()?.iter().map(state).collect())
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !crc
}
