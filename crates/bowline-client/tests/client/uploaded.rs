//! Files, forms and streams as bodies.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bowline_client::{Api, Idempotency, Multipart, Sign, Signable};
use bowline_model::{Effect, RetryPolicy};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::{
    downloaded::Peer,
    remote::{Hand, LONG, Remote, answer, api_at, once, raw, read_request, refused},
};

fn patient(api: Api) -> Api {
    api.clock(Hand::new()).attempt_timeout(LONG).retry(RetryPolicy::default().attempts_max(4))
}

fn folder_with(name: &str, content: &[u8]) -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// Refuses the first two requests for now.
async fn busy_twice() -> Remote {
    Remote::new(|nth, _| answer(if nth < 3 { 503 } else { 200 }, "{}")).await
}

#[tokio::test]
async fn a_file_is_read_anew_for_every_attempt() {
    let content: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let (_folder, path) = folder_with("a.bin", &content);
    let remote = busy_twice().await;
    patient(remote.api()).post("/files").file(&path, "application/pdf").send().await.unwrap();
    let seen = remote.seen();
    assert_eq!(seen.len(), 3);
    for seen in &seen {
        assert!(seen.body == content);
        assert_eq!(seen.header("content-length"), "1200000");
        assert_eq!(seen.header("content-type"), "application/pdf");
        assert_eq!(seen.header("transfer-encoding"), "");
        assert_eq!(seen.header("idempotency-key"), remote.seen()[0].header("idempotency-key"));
    }
    let (_folder, empty) = folder_with("empty", b"");
    remote.api().put("/files").file(&empty, "text/plain").send().await.unwrap();
    assert_eq!(remote.seen()[3].header("content-length"), "0");
}

#[tokio::test]
async fn a_file_that_changed_is_not_sent_under_the_same_key() {
    let (_folder, path) = folder_with("a.txt", b"first");
    let changed = path.clone();
    let remote = Remote::new(move |_, _| {
        fs::write(&changed, "second one").unwrap();
        answer(503, "")
    })
    .await;
    for call in [
        patient(remote.api()).post("/files").file(&path, "text/plain"),
        patient(remote.api()).post("/files").multipart(Multipart::new().file("f", &path, "text/plain")),
    ] {
        fs::write(&path, "first").unwrap();
        let before = remote.seen().len();
        let error = call.send().await.unwrap_err();
        assert!(
            error.to_string().contains("changed since the first attempt (5 bytes then, 10 now)"),
            "{error}"
        );
        assert!(!error.is_retryable());
        assert_eq!(remote.seen().len(), before + 1);
    }
}

#[tokio::test]
async fn half_a_file_never_arrives_as_a_whole() {
    const SIZE: u64 = 64 * 1024 * 1024;
    let (_folder, path) = folder_with("a.bin", b"");
    fs::File::options().write(true).open(&path).unwrap().set_len(SIZE).unwrap();
    let (arrived, count) = (Arc::new(AtomicUsize::new(0)), path.clone());
    let bytes = arrived.clone();
    let address = raw(move |_, mut stream| {
        let (bytes, path) = (bytes.clone(), count.clone());
        async move {
            read_request(&mut stream).await;
            fs::File::options().write(true).open(&path).unwrap().set_len(SIZE - 1).unwrap();
            let mut rest = vec![];
            bytes.store(stream.read_to_end(&mut rest).await.unwrap_or(rest.len()), Ordering::SeqCst);
        }
    })
    .await;
    let api = api_at(address).retry(RetryPolicy::never());
    let error = api.post("/files").file(&path, "text/plain").send().await.unwrap_err();
    assert!(error.to_string().contains("changed while it was sent"), "{error}");
    assert!(error.is_unknown());
    assert!((arrived.load(Ordering::SeqCst) as u64) < SIZE);
}

#[tokio::test]
async fn what_cannot_be_sent_is_not() {
    let remote = Remote::always(200, &[], "").await;
    let failure = refused(once(remote.api().post("/x").file("/no/such/file", "text/plain")).await);
    assert!(failure.to_string().contains("the file /no/such/file cannot be read"), "{failure}");
    let failure = refused(once(remote.api().post("/x").file("/", "text/plain")).await);
    assert!(failure.to_string().contains("/ is not a file"), "{failure}");
    let form = Multipart::new().bytes("a", "b", "text/plain\r\nX-Evil: 1", "");
    let failure = refused(once(remote.api().post("/x").multipart(form)).await);
    assert!(failure.to_string().contains("is no content type"), "{failure}");
    assert!(remote.seen().is_empty());
}

#[tokio::test]
async fn equal_forms_are_equal_bytes_under_one_key() {
    let (_folder, path) = folder_with("ü \"x\".txt", b"from disk");
    let form = || Multipart::new().text("a", "1").bytes("b", "b.bin", "image/png", vec![0, 255]);
    for form in [form(), form().file("c", &path, "text/plain")] {
        let remote = busy_twice().await;
        patient(remote.api()).post("/forms").multipart(form.clone()).send().await.unwrap();
        let seen = remote.seen();
        assert_eq!(seen.len(), 3);
        let kind = seen[0].header("content-type");
        assert!(kind.starts_with("multipart/form-data; boundary=bowline-"));
        assert!(seen.iter().all(|one| one.body == seen[0].body && one.header("content-type") == kind));
        assert_eq!(seen[0].header("content-length"), seen[0].body.len().to_string());
    }
}

#[test]
fn fingerprints_hold_paths_and_not_what_is_in_files() {
    let api = Api::new("crm").base_url("https://crm.example.com");
    let shape = |path: &str| api.post("/f").file(path, "text/plain").shape().fingerprint.unwrap().body;
    assert_eq!(shape("/no/such"), shape("/no/such"));
    assert_ne!(shape("/no/such"), shape("/no/other"));
    assert!(!shape("/no/such").is_empty());
    let form = |text: &str| {
        let form = Multipart::new().text("a", text).file("f", "/no/such", "text/plain");
        api.post("/f").multipart(form).shape().fingerprint.unwrap().body
    };
    assert_eq!(form("1"), form("1"));
    assert_ne!(form("1"), form("2"));
}

#[tokio::test]
async fn a_stream_is_sent_once_whatever_comes_of_it() {
    let remote = Remote::always(503, &[], "").await;
    let chunks = || stream::iter((0..3).map(|n| Ok(Bytes::from(format!("{n};")))));
    let error = patient(remote.api()).post("/in").send_stream(chunks(), "text/plain").await.unwrap_err();
    assert_eq!((error.status(), remote.seen().len()), (Some(503), 1));
    let seen = &remote.seen()[0];
    assert_eq!(seen.body, "0;1;2;");
    assert_eq!((seen.header("transfer-encoding"), seen.header("content-type")), ("chunked", "text/plain"));

    let broken = stream::iter([Ok(Bytes::from("a")), Err(std::io::Error::other("the well is dry"))]);
    let error = patient(remote.api()).post("/in").send_stream(broken, "text/plain").await.unwrap_err();
    assert!(error.to_string().contains("the well is dry"), "{error}");
    assert_eq!(remote.seen().len(), 1, "what breaks off is no request");
}

/// Notes what it was given to sign.
struct Witness(Arc<Mutex<Vec<Option<usize>>>>);

impl Sign for Witness {
    fn sign(&self, request: &mut Signable<'_>, _: Timestamp) -> Result<(), String> {
        self.0.lock().unwrap().push(request.body.map(Bytes::len));
        Ok(())
    }
}

#[tokio::test]
async fn signatures_see_bodies_that_are_in_memory() {
    let (_folder, path) = folder_with("a.txt", b"12345");
    let remote = Remote::always(200, &[], "").await;
    let bodies = Arc::new(Mutex::new(vec![]));
    let api = remote.api().sign(Witness(bodies.clone()));
    api.post("/x").body("123", "text/plain").send().await.unwrap();
    api.post("/x").multipart(Multipart::new().text("a", "b")).send().await.unwrap();
    api.post("/x").file(&path, "text/plain").send().await.unwrap();
    api.post("/x").send_stream(stream::iter([Ok(Bytes::from("1"))]), "text/plain").await.unwrap();
    let bodies = bodies.lock().unwrap().clone();
    assert_eq!(bodies, [Some(3), Some(remote.seen()[1].body.len()), None, None]);
}

#[tokio::test]
async fn a_key_that_belongs_in_the_body_is_a_field_of_the_form() {
    let remote = Remote::always(200, &[], "").await;
    let api = remote.api().idempotency(Idempotency::BodyField("key".into()));
    crate::remote::done(once(api.post("/x").multipart(Multipart::new().text("a", "b"))).await);
    let body = String::from_utf8(remote.seen()[0].body.to_vec()).unwrap();
    assert!(body.contains("name=\"key\"\r\n\r\nkey-1\r\n"), "{body}");
    let failure = refused(once(api.post("/x").file("/etc/hostname", "text/plain")).await);
    assert!(failure.to_string().contains("the body is no JSON object and no form"), "{failure}");
}

#[tokio::test]
async fn forms_are_read_by_a_server_that_others_wrote() {
    let content: Vec<u8> = (0..700_000_u32).flat_map(|n| n.to_be_bytes()).collect();
    let (_folder, path) = folder_with("Zoë's \"best\" 100%.pdf", &content);
    let Some(peer) = Peer::start(&path) else {
        bowline_testing::skip!(
            "forms_are_read_by_a_server_that_others_wrote",
            "BOWLINE_PYTHON names no Python"
        );
    };
    let api = api_at(peer.address);
    let hash = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let form = Multipart::new()
        .text("title", "Ünïcode\r\n--boundary--")
        .text("title", "")
        .bytes("data", "d\"a\r\nX-Evil: 1", "application/json", "{}")
        .file("document", &path, "application/pdf");
    let fields: Value = api.post("/form").multipart(form).decode().send().await.unwrap();
    assert_eq!(
        fields,
        json!([
            ["title", "Ünïcode\r\n--boundary--"],
            ["title", ""],
            ["data", "d%22a%0D%0AX-Evil: 1", "application/json", 2, hash(b"{}")],
            ["document", "Zoë's %22best%22 100%.pdf", "application/pdf", content.len(), hash(&content)],
        ])
    );
    let raw: Value = api.post("/raw").file(&path, "application/pdf").decode().send().await.unwrap();
    let length = content.len().to_string();
    assert_eq!(raw, json!([content.len(), hash(&content), "application/pdf", length, null]));
    let chunks = stream::iter(content.chunks(50_000).map(Bytes::copy_from_slice).map(Ok).collect::<Vec<_>>());
    let raw: Value = api.post("/raw").decode().send_stream(chunks, "text/plain").await.unwrap();
    assert_eq!(raw, json!([content.len(), hash(&content), "text/plain", null, "chunked"]));
}
