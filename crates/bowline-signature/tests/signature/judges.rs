//! Libraries of others that sign and judge webhooks, spoken with line by line. Here: those that need nothing but headers
//! and body, in `tests/peers/senders.py` and `tests/peers/senders.mjs`; the others are those of [`sdk`](crate::sdk).

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_signature::{Request, Scheme, Unsigned};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{at, peer};

/// Makes a scheme that accepts what these secrets signed; the first one signs.
pub(crate) type Make = fn(&[&str]) -> Box<dyn Scheme>;

/// Who judges.
pub(crate) enum Judge {
    /// Python, with that module.
    Python(&'static str),
    /// Node.js, with that package.
    Node(&'static str),
}

impl Judge {
    /// The program of that name in `tests/peers`; an error says what is missing for it.
    pub(crate) fn program(&self, name: &str, arguments: &[&str]) -> Result<Command, String> {
        let peer = |ending| format!("{}/tests/peers/{name}.{ending}", env!("CARGO_MANIFEST_DIR"));
        let mut program = match self {
            Self::Python(module) => {
                let python = peer::python(module)
                    .ok_or_else(|| format!("needs Python with {module}: scripts/python makes one"))?;
                let mut program = Command::new(python);
                program.arg(peer("py"));
                program
            }
            Self::Node(package) => {
                let missing = || format!("needs BOWLINE_NODE with {package}: scripts/node makes one");
                let node = std::env::var_os("BOWLINE_NODE").map(PathBuf::from).ok_or_else(missing)?;
                // What a script of the command line imports is looked for from the current folder.
                let home = node.parent().ok_or_else(missing)?.to_owned();
                if !home.join("node_modules").join(package).exists() {
                    return Err(missing());
                }
                let mut program = Command::new(node);
                let script = std::fs::read_to_string(peer("mjs")).unwrap();
                program.args(["--input-type=module", "--eval", &script, "--"]).current_dir(home);
                program
            }
        };
        program.args(arguments);
        Ok(program)
    }

    /// The lines that it prints of a sender.
    fn ask(&self, sender: &str, mode: &str, secrets: [&str; 2], lines: &str) -> Result<Vec<String>, String> {
        let mut program = self.program("senders", &[sender, mode])?;
        program.env("SECRETS", json!(secrets).to_string());
        Ok(talk(program, lines))
    }
}

/// What a program prints, line by line, when it has read all of that.
pub(crate) fn talk(mut program: Command, lines: &str) -> Vec<String> {
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = program.spawn().unwrap();
    running.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let made = running.wait_with_output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// What ours sends to the library: JSON.
pub(crate) struct Sent<'a> {
    pub(crate) body: &'a str,
    /// A text of the signed body, and another one in its place that nobody signed.
    pub(crate) changed: (&'a str, &'a str),
}

const SENT: Sent<'_> = Sent {
    body: r#"{"action":"update","topic":"ping","data":{"item":{"name":"Zoë"}}}"#,
    changed: ("Zoë", "Zoe"),
};

/// As [`agree_on`] what suits those that sign any body.
pub(crate) fn agree(judge: &Judge, sender: &str, secrets: [&str; 2], make: Make) -> Result<(), String> {
    agree_on(judge, sender, secrets, make, &[SENT])
}

/// The library signs, and ours says of each line what the library says; and the other way round. An error says what is
/// missing here.
#[expect(clippy::disallowed_methods, reason = "the libraries judge by the machine's clock")]
pub(crate) fn agree_on(
    judge: &Judge,
    sender: &str,
    secrets: [&str; 2],
    make: Make,
    sent: &[Sent<'_>],
) -> Result<(), String> {
    let lines = judge.ask(sender, "sign", secrets, "")?;
    for line in &lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let now = at(line["now"].as_i64().unwrap());
        assert_eq!(ours(make, &line, now), line["expect"], "{sender} signed: {}", line["name"]);
    }
    assert!(lines.len() >= 6, "{sender}: {} lines", lines.len());

    let now = Timestamp::now();
    let lines: Vec<Value> = sent.iter().flat_map(|sent| table(make, secrets, sent, now)).collect();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let said = judge.ask(sender, "judge", secrets, &text)?;
    assert_eq!(said.len(), lines.len());
    for (line, said) in lines.iter().zip(said) {
        assert_eq!(said, line["expect"], "what the library says of ours: {sender}, {}", line["name"]);
        assert_eq!(ours(make, line, now), line["expect"], "{sender}, {}", line["name"]);
    }
    Ok(())
}

/// What ours signs, whole and spoilt.
fn table(make: Make, secrets: [&str; 2], sent: &Sent<'_>, now: Timestamp) -> Vec<Value> {
    let [secret, other] = secrets;
    let body = sent.body.as_bytes();
    let signed = make(&[secret]).sign(&Unsigned::json("msg_17", body), now).unwrap();
    let line = |name: &str,
                secrets: &[&str],
                headers: &[(HeaderName, HeaderValue)],
                body: &[u8],
                expect: &str| {
        let headers: Map<String, Value> = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), json!(value.to_str().unwrap())))
            .collect();
        json!({"name": name, "secrets": secrets, "headers": headers, "body": STANDARD.encode(body), "expect": expect})
    };
    let changed = String::from_utf8(signed.body.clone()).unwrap().replace(sent.changed.0, sent.changed.1);
    assert_ne!(changed.as_bytes(), signed.body);
    let mut lines = vec![
        line("genuine", &[secret], &signed.headers, &signed.body, "accepted"),
        line("of the old secret", &[other, secret], &signed.headers, &signed.body, "accepted"),
        line("of another secret", &[other], &signed.headers, &signed.body, "refused"),
        line("another body", &[secret], &signed.headers, changed.as_bytes(), "refused"),
        line("no signature", &[secret], &[], body, "refused"),
    ];
    for index in 0..signed.headers.len() {
        let mut headers = signed.headers.clone();
        let (name, _) = headers.remove(index);
        lines.push(line(&format!("without {name}"), &[secret], &headers, &signed.body, "refused"));
    }
    lines
}

fn ours(make: Make, line: &Value, now: Timestamp) -> &'static str {
    let headers: HeaderMap = line["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.as_str().unwrap()).unwrap())
        })
        .collect();
    let secrets: Vec<&str> =
        line["secrets"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    let body = STANDARD.decode(line["body"].as_str().unwrap()).unwrap();
    match make(&secrets).verify(&Request::post(&headers, &body), now) {
        Ok(()) => "accepted",
        Err(_) => "refused",
    }
}
