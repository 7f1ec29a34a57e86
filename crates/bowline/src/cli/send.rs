//! `send`: posts an event to the app, signed as its provider would sign it.

use std::{
    fs::File,
    io::{Read, stdin},
    path::Path,
    time::Duration,
};

use bowline_ingress::SignedRequest;
use bowline_model::RunId;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use jiff::Timestamp;
use reqwest::{Client, redirect};
use serde::{Deserialize, Deserializer};

use super::{
    CliContext, Error, Result,
    args::SendArgs,
    control::innermost,
    print,
    render::{self, Paint},
};

/// Largest event that is sent: the largest that any route can take.
pub const SEND_BYTES_MAX: usize = 100 * 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What is to be signed, besides its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsigned<'a> {
    /// The route's path.
    pub path: &'a str,
    /// Its type, if that was said.
    pub kind: Option<&'a str>,
    /// Its id, if that was said.
    pub id: Option<&'a str>,
}

/// Signs an event with that body with the app's own secret, as its provider would at that time: returns what to send.
pub type Sign = dyn Fn(&Unsigned<'_>, &[u8], Timestamp) -> Result<SignedRequest> + Send + Sync;

/// What the door answers if it takes the event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// `accepted`, `duplicate` or `ignored`.
    pub status: String,
    /// The provider's id of the event.
    #[serde(default)]
    pub event: Option<String>,
    /// The runs it started. (Of a route that waits for one run's result, and is still waiting: `run`.)
    #[serde(default, alias = "run", deserialize_with = "one_or_several")]
    pub runs: Vec<RunId>,
}

fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RunId>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Runs {
        One(RunId),
        Several(Vec<RunId>),
    }
    Ok(match Runs::deserialize(from)? {
        Runs::One(run) => vec![run],
        Runs::Several(runs) => runs,
    })
}

/// What the door answers if it does not: problem+json (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    hint: Option<String>,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Debug, Deserialize)]
struct FieldError {
    pointer: String,
    detail: String,
}

impl Problem {
    /// The fact, and what is wrong where, one a line.
    fn text(&self) -> String {
        let errors = self.errors.iter().map(|error| format!("\n  {}: {}", error.pointer, error.detail));
        self.detail.clone() + &errors.collect::<String>()
    }
}

pub(super) async fn send(context: &CliContext, args: &SendArgs) -> Result {
    let body = read(&args.file)?;
    let url = target(context, args)?;
    let event = Unsigned { path: &args.path, kind: args.kind.as_deref(), id: args.id.as_deref() };
    let signed = (context.sign)(&event, &body, context.clock.now())?;
    let (head, answer) = post(&url, signed).await?;
    if !head.status.is_success() {
        return Err(refused(head.status, &answer));
    }
    match serde_json::from_slice::<Receipt>(&answer).ok().or_else(|| receipt_of(&head.headers)) {
        Some(receipt) => print(&render::receipt(&receipt, Paint::Colour)),
        None => print(&format!("{}: {}\n", head.status, render::excerpt(&answer))),
    }
}

/// Of an answer whose body is one that the provider prescribes, or of a batch: the headers say it.
fn receipt_of(headers: &HeaderMap) -> Option<Receipt> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let runs = text("bowline-run").unwrap_or_default().split(',');
    Some(Receipt {
        status: text("bowline-status")?.to_owned(),
        event: None,
        runs: runs.filter_map(|run| run.parse().ok().map(RunId)).collect(),
    })
}

/// What is known of an answer before its body.
struct Head {
    status: StatusCode,
    headers: HeaderMap,
}

async fn post(url: &str, signed: SignedRequest) -> Result<(Head, Vec<u8>)> {
    let SignedRequest { headers, body } = signed;
    let no_client = |error| Error::new(format!("cannot set up an HTTP client: {error}"));
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        // A provider follows no redirect either, and the signature is for this URL.
        .redirect(redirect::Policy::none());
    if url.starts_with("http:") {
        // Needs neither certificate authorities nor a proxy.
        builder = builder.no_proxy().tls_certs_only([]);
    }
    let mut request = builder.build().map_err(no_client)?.post(url).body(body);
    if !headers.iter().any(|(name, _)| *name == CONTENT_TYPE) {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let no_answer = |error: reqwest::Error| {
        Error::new(format!("{url} does not answer: {}", innermost(&error))).hint(if url.starts_with("https:") {
            "is the app running? `serve` starts it. Its certificate is checked against this machine's authorities and is \
             for a name: say it as --to https://hooks.example.com"
        } else {
            "is the app running? `serve` starts it; --to says where it listens"
        })
    };
    let response = request.send().await.map_err(no_answer)?;
    let head = Head { status: response.status(), headers: response.headers().clone() };
    let answer = response.bytes().await.map_err(no_answer)?;
    Ok((head, answer.to_vec()))
}

/// The app's own words, and its own hint if it gives one.
fn refused(status: StatusCode, answer: &[u8]) -> Error {
    let said = serde_json::from_slice::<Problem>(answer).ok();
    let why = said.as_ref().map_or_else(|| render::excerpt(answer), Problem::text);
    let error = Error::new(format!("the app answered {status}: {why}"));
    match (status, said.and_then(|said| said.hint)) {
        (StatusCode::UNAUTHORIZED, _) => {
            error.hint("does this program have the same secret in its environment as the running one?")
        }
        (_, Some(hint)) => error.hint(hint),
        (_, None) => error,
    }
}

fn target(context: &CliContext, args: &SendArgs) -> Result<String> {
    let base = match &args.to {
        Some(base) if base.starts_with("http://") || base.starts_with("https://") => base.clone(),
        Some(base) => {
            let message = format!("{base:?} is not a URL");
            return Err(Error::new(message).hint("say it as http://127.0.0.1:8080"));
        }
        None => format!("{}://{}", context.scheme, super::control::reachable(context.listen)),
    };
    Ok(format!("{}{}", base.trim_end_matches('/'), args.path))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let cannot = |error| Error::new(format!("cannot read {}: {error}", file.display()));
    let limit = SEND_BYTES_MAX as u64 + 1;
    let mut body = Vec::new();
    if file == Path::new("-") {
        stdin().lock().take(limit).read_to_end(&mut body).map_err(cannot)?;
    } else {
        File::open(file).map_err(cannot)?.take(limit).read_to_end(&mut body).map_err(cannot)?;
    }
    if body.len() > SEND_BYTES_MAX {
        let message = format!("{} is larger than {SEND_BYTES_MAX} bytes", file.display());
        return Err(Error::new(message).hint("no webhook takes more"));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_waits_and_is_still_waiting_names_its_run() {
        let receipt: Receipt = serde_json::from_str(r#"{"status":"accepted","run":17}"#).unwrap();
        assert_eq!((receipt.status.as_str(), receipt.runs), ("accepted", vec![RunId(17)]));
    }

    #[test]
    fn a_refusal_is_told_with_its_fields_and_its_hint() {
        let answer = br##"{"detail":"not valid","hint":"correct it","errors":[{"pointer":"#/email","detail":"is short"}]}"##;
        let error = refused(StatusCode::UNPROCESSABLE_ENTITY, answer);
        let text = "the app answered 422 Unprocessable Entity: not valid\n  #/email: is short";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.hint_text(), Some("correct it"));
    }
}
