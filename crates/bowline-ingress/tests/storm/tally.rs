//! What became of the requests, by what was wrong with them.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use crate::{
    door::SECRETS,
    exchange::{Answer, has_no_head},
    request::Request,
};

#[derive(Default)]
pub(crate) struct Tally {
    by_class: BTreeMap<(bool, &'static str), BTreeMap<String, u64>>,
    /// Of all that was answered 2xx.
    pub(crate) runs: Vec<i64>,
}

impl Tally {
    /// Counts an answer, or says what is wrong with it.
    pub(crate) fn count(&mut self, request: &Request, answer: &Answer) -> Result<(), String> {
        let became = match answer {
            Answer::Http { status, head, body } => {
                self.check(request, *status, head, body)?;
                status.to_string()
            }
            Answer::Closed if has_no_head(&request.bytes) => "no head: closed".to_owned(),
            Answer::Other(_) if request.bytes.starts_with(b"PRI * HTTP/2.0") => "HTTP/2".to_owned(),
            Answer::Closed => return Err("closed without an answer".into()),
            Answer::Other(text) => return Err(format!("answered with no HTTP: {text:?}")),
            Answer::Hangs => return Err("neither answered nor closed".into()),
        };
        *self.by_class.entry((request.is_signed, request.class)).or_default().entry(became).or_default() += 1;
        Ok(())
    }

    fn check(&mut self, request: &Request, status: u16, head: &str, body: &str) -> Result<(), String> {
        if !(200..500).contains(&status) {
            return Err(format!("answered {status}"));
        }
        if let Some(secret) = SECRETS.iter().find(|secret| body.contains(**secret) || head.contains(**secret))
        {
            return Err(format!("the answer holds {secret}"));
        }
        if request.is_head() || status == 204 {
            return Ok(());
        }
        let json: Value = serde_json::from_str(body).map_err(|error| format!("no JSON: {error}"))?;
        if status >= 400 {
            let is_problem = head.to_lowercase().contains("content-type: application/problem+json");
            let has = |name: &str| json[name].as_str().is_some_and(|text| !text.trim().is_empty());
            let is_told =
                is_problem && has("detail") && has("hint") && has("title") && json["status"] == status;
            return if is_told { Ok(()) } else { Err("refused without a reason".into()) };
        }
        let runs = json["runs"].as_array().cloned().unwrap_or_else(|| vec![json["run"].clone()]);
        self.runs.extend(runs.iter().filter_map(Value::as_i64));
        Ok(())
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (class, counts) in other.by_class {
            let mine = self.by_class.entry(class).or_default();
            for (became, count) in counts {
                *mine.entry(became).or_default() += count;
            }
        }
        self.runs.extend(other.runs);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.by_class.values().flat_map(BTreeMap::values).sum()
    }

    pub(crate) fn signed(&self) -> u64 {
        let signed = self.by_class.iter().filter(|((is_signed, _), _)| *is_signed);
        signed.flat_map(|(_, counts)| counts.values()).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((is_signed, class), counts) in &self.by_class {
            let counts: Vec<_> = counts.iter().map(|(became, count)| format!("{became}: {count}")).collect();
            let signed = if *is_signed { "signed" } else { "" };
            writeln!(f, "{signed:7} {class:26} {}", counts.join(", "))?;
        }
        Ok(())
    }
}
