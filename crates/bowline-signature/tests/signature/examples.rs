//! The programs in `examples/`, as processes of their own, and a real HTTP client.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use bowline_signature::{Scheme, Signed, Stripe, Unsigned};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpStream;

use crate::{secret, skip};

const SECRET: &str = "whsec_of_the_examples";
/// What the examples allow.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// A running example; killed when dropped.
struct Running {
    process: Child,
    address: SocketAddr,
}

impl Running {
    /// `None` if it was not built: `cargo test` builds it beside this test unless told to build this test alone.
    fn start(name: &str) -> Option<Self> {
        let test = env::current_exe().unwrap();
        let built: PathBuf = test.parent().unwrap().parent().unwrap().join("examples").join(name);
        if !built.exists() {
            return None;
        }
        let mut process = Command::new(built)
            .env("STRIPE_WEBHOOK_SECRET", SECRET)
            .env("LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        // So that it never waits for somebody to read what it says.
        std::thread::spawn(move || lines.for_each(drop));
        let address = first.strip_prefix("listening on ").unwrap().parse().unwrap();
        Some(Self { process, address })
    }

    async fn post(&self, signed: &Signed) -> StatusCode {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = Request::post("/webhooks/stripe").header("host", self.address.to_string());
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(signed.body.clone()));
        let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
        drop(sender);
        let status = response.status();
        drop(response);
        connection.abort();
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "the examples judge by the machine's clock")]
fn signed_now(by: &str, body: &[u8]) -> Signed {
    Scheme::sign(&Stripe::new(secret(by)), &Unsigned::json("evt_1", body), Timestamp::now()).unwrap()
}

async fn takes_what_is_genuine_and_nothing_else(example: &Running) {
    let genuine = signed_now(SECRET, br#"{"id":"evt_1"}"#);
    assert_eq!(example.post(&genuine).await, StatusCode::OK);

    let mut tampered = genuine.clone();
    tampered.body[2] ^= 1;
    assert_eq!(example.post(&tampered).await, StatusCode::UNAUTHORIZED);
    let strangers = signed_now("whsec_of_a_stranger", br#"{"id":"evt_1"}"#);
    assert_eq!(example.post(&strangers).await, StatusCode::UNAUTHORIZED);
    let unsigned = Signed { headers: vec![], ..genuine.clone() };
    assert_eq!(example.post(&unsigned).await, StatusCode::UNAUTHORIZED);

    // Genuine as it is, no larger body is read.
    let largest = signed_now(SECRET, &vec![b'x'; BODY_BYTES_MAX]);
    assert_eq!(example.post(&largest).await, StatusCode::OK);
    let larger = signed_now(SECRET, &vec![b'x'; BODY_BYTES_MAX + 1]);
    assert_eq!(example.post(&larger).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(example.post(&genuine).await, StatusCode::OK);
}

#[tokio::test]
async fn the_axum_example_takes_what_is_genuine_and_nothing_else() {
    let test = "the_axum_example_takes_what_is_genuine_and_nothing_else";
    let Some(example) = Running::start("axum") else {
        skip!(test, "needs the examples: cargo build -p bowline-signature --examples");
    };
    takes_what_is_genuine_and_nothing_else(&example).await;
}

#[tokio::test]
async fn the_hyper_example_takes_what_is_genuine_and_nothing_else() {
    let test = "the_hyper_example_takes_what_is_genuine_and_nothing_else";
    let Some(example) = Running::start("hyper") else {
        skip!(test, "needs the examples: cargo build -p bowline-signature --examples");
    };
    takes_what_is_genuine_and_nothing_else(&example).await;
}

#[test]
fn the_readme_shows_the_examples_as_they_are() {
    let readme = include_str!("../../README.md");
    for example in [include_str!("../../examples/axum.rs"), include_str!("../../examples/hyper.rs")] {
        // Without what only says how to run it here.
        let from = example.find("use std::").unwrap();
        let to = example.find("\n#[expect(clippy").unwrap();
        assert!(readme.contains(example[from..to].trim_end()), "README.md shows an older example");
    }
}
