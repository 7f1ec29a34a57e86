//! What is signed, as text with places for the request's parts: `{timestamp}.{body}`.

use aws_lc_rs::digest;

use super::Signable;

/// A template, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Method,
    Host,
    Path,
    Query,
    Target,
    Timestamp,
    Key,
    BodySha256,
    Body,
}

/// By name, as templates write them.
const PLACES: [(&str, Place); 9] = [
    ("method", Place::Method),
    ("host", Place::Host),
    ("path", Place::Path),
    ("query", Place::Query),
    ("target", Place::Target),
    ("timestamp", Place::Timestamp),
    ("key", Place::Key),
    ("body_sha256", Place::BodySha256),
    ("body", Place::Body),
];

impl Template {
    /// Takes it apart.
    ///
    /// # Errors
    /// Says which place there is none of.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut parts = vec![];
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| format!("the template {text:?} has a {{ that nothing closes"))?;
            let place = PLACES.iter().find(|(known, _)| *known == name).ok_or_else(|| {
                let known: Vec<String> = PLACES.iter().map(|(known, _)| format!("{{{known}}}")).collect();
                format!("the template {text:?} has a place {{{name}}}, but there are {}", known.join(" "))
            })?;
            parts.extend([Part::Text(before.to_owned()), Part::Place(place.1)]);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }

    /// Whether the time is signed.
    pub(crate) fn has_timestamp(&self) -> bool {
        self.0.contains(&Part::Place(Place::Timestamp))
    }

    /// Gives the bytes to `take`, part by part: a body is not copied.
    ///
    /// # Errors
    /// The body is a stream.
    pub(crate) fn fill(
        &self,
        request: &Signable<'_>,
        timestamp: &str,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), String> {
        for part in &self.0 {
            match part {
                Part::Text(text) => take(text.as_bytes()),
                Part::Place(place) => place.fill(request, timestamp, &mut take)?,
            }
        }
        Ok(())
    }
}

impl Place {
    fn fill(
        self,
        request: &Signable<'_>,
        timestamp: &str,
        take: &mut impl FnMut(&[u8]),
    ) -> Result<(), String> {
        let body = || {
            let streamed =
                "its body is a stream, which is not known before it is sent: send bytes, or sign no {body}";
            request.body.ok_or(streamed)
        };
        match self {
            Self::Method => take(request.method.as_str().as_bytes()),
            Self::Host => take(request.url[url::Position::BeforeHost..url::Position::AfterPort].as_bytes()),
            Self::Path => take(request.url.path().as_bytes()),
            Self::Query => take(request.url.query().unwrap_or_default().as_bytes()),
            Self::Target => take(request.target().as_bytes()),
            Self::Timestamp => take(timestamp.as_bytes()),
            Self::Key => take(request.key.as_bytes()),
            Self::BodySha256 => {
                take(hex::encode(digest::digest(&digest::SHA256, body()?)).as_bytes());
            }
            Self::Body => take(body()?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::{Method, header::HeaderMap};

    use super::*;

    fn filled(template: &str, body: Option<&Bytes>) -> Result<String, String> {
        let mut url = "https://a.example:8443/v1/x%20y?b=2&a=1".parse().unwrap();
        let (method, mut headers) = (Method::POST, HeaderMap::new());
        let request = Signable { method: &method, url: &mut url, headers: &mut headers, body, key: "key-1" };
        let mut text = vec![];
        Template::read(template)?.fill(&request, "1700000000", |part| text.extend_from_slice(part))?;
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn every_place_is_filled() {
        let body = Bytes::from_static(b"{\"a\":1}");
        for (template, signed) in [
            ("{timestamp}.{body}", "1700000000.{\"a\":1}"),
            ("v0:{timestamp}:{body}", "v0:1700000000:{\"a\":1}"),
            ("{method}\n{host}\n{path}\n{query}", "POST\na.example:8443\n/v1/x%20y\nb=2&a=1"),
            ("{method} {target} {key}", "POST /v1/x%20y?b=2&a=1 key-1"),
            ("{body_sha256}", "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"),
            ("", ""),
            ("}", "}"),
        ] {
            assert_eq!(filled(template, Some(&body)).as_deref(), Ok(signed), "{template}");
        }
    }

    #[test]
    fn a_place_that_is_none_and_a_stream_are_told() {
        assert!(filled("{boddy}", None).unwrap_err().contains("has a place {boddy}, but there are {method}"));
        assert!(filled("{body", None).unwrap_err().contains("nothing closes"));
        for template in ["{body}", "{body_sha256}"] {
            assert!(filled(template, None).unwrap_err().contains("is a stream"));
        }
        assert_eq!(filled("{timestamp}", None).as_deref(), Ok("1700000000"));
    }
}
