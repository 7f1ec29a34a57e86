//! Answers into files, by remotes that break off.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use bowline_client::{Api, Downloaded};
use bowline_model::{Error, RetryPolicy};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use crate::remote::{Hand, LONG, api_at, raw};

/// Requests as they arrived.
type Asked = Arc<Mutex<Vec<String>>>;

/// A remote that answers the nth request with those bytes, and closes.
async fn remote(
    answer: impl Fn(usize, &str) -> Vec<u8> + Clone + Send + Sync + 'static,
) -> (SocketAddr, Asked) {
    let asked: Asked = Arc::default();
    let log = asked.clone();
    let address = raw(move |nth, mut stream| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let request = head(&mut stream).await.to_ascii_lowercase();
            log.lock().unwrap().push(request.clone());
            stream.write_all(&answer(nth, &request)).await.ok();
            stream.shutdown().await.ok();
        }
    })
    .await;
    (address, asked)
}

async fn head(stream: &mut TcpStream) -> String {
    let mut request = vec![];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(request).unwrap()
}

/// An answer that has `length` bytes, of which those are sent.
fn answer(status: &str, headers: &str, length: usize, sent: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), sent].concat()
}

fn content(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at * 31 % 251).unwrap() ^ seed).collect()
}

/// Sent again at once.
fn api(address: SocketAddr) -> Api {
    let api = api_at(address).clock(Hand::new()).attempt_timeout(LONG).stream_idle_timeout(LONG);
    api.retry(RetryPolicy::default().attempts_max(5))
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("file.bin")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

const SIZE: usize = 100_000;
const CUT: usize = 40_000;

/// The first answer is cut, with those headers; the others are what `then` says.
async fn after_a_cut(
    headers: &'static str,
    then: impl Fn(usize, &str) -> Vec<u8> + Clone + Send + Sync + 'static,
) -> (Result<Downloaded, Error>, Vec<u8>, Vec<String>) {
    let (address, asked) = remote(move |nth, request| match nth {
        1 => answer("200 OK", headers, SIZE, &content(SIZE, 0)[..CUT]),
        nth => then(nth, request),
    })
    .await;
    let folder = Folder::new();
    let downloaded = api(address).get("/file").download(folder.path()).await;
    let asked = asked.lock().unwrap().clone();
    if downloaded.is_ok() {
        assert_eq!(folder.names(), ["file.bin"], "nothing is left beside it");
    }
    (downloaded, fs::read(folder.path()).unwrap_or_default(), asked)
}

fn rest() -> Vec<u8> {
    let range = format!("Content-Range: bytes {CUT}-{}/{SIZE}\r\nETag: \"v1\"\r\n", SIZE - 1);
    answer("206 Partial Content", &range, SIZE - CUT, &content(SIZE, 0)[CUT..])
}

#[tokio::test]
async fn a_file_is_there_when_it_is_complete_and_not_before() {
    let (address, asked) =
        remote(|_, _| answer("200 OK", "ETag: W/\"7\"\r\n", SIZE, &content(SIZE, 0))).await;
    let folder = Folder::new();
    fs::write(folder.path(), "before").unwrap();
    let downloaded = api(address).get("/file").query("of", "export 7").download(folder.path()).await.unwrap();
    assert_eq!(downloaded, Downloaded { bytes: SIZE as u64, resumed_from: 0, etag: Some("W/\"7\"".into()) });
    assert_eq!(fs::read(folder.path()).unwrap(), content(SIZE, 0));
    assert_eq!(folder.names(), ["file.bin"]);
    assert!(asked.lock().unwrap()[0].contains("accept-encoding: identity\r\n"));

    let (address, _) = remote(|_, _| answer("200 OK", "", SIZE, b"half")).await;
    let failed =
        api(address).retry(RetryPolicy::never()).get("/file").download(folder.path()).await.unwrap_err();
    assert!(failed.is_retryable() && failed.to_string().contains("broke after 4 bytes"), "{failed}");
    assert_eq!(fs::read(folder.path()).unwrap(), content(SIZE, 0), "the file that was there is there");
}

#[tokio::test]
async fn what_broke_off_is_resumed_where_it_stood() {
    let (downloaded, file, asked) = after_a_cut("ETag: \"v1\"\r\n", |_, _| rest()).await;
    let expected = Downloaded { bytes: SIZE as u64, resumed_from: CUT as u64, etag: Some("\"v1\"".into()) };
    assert_eq!(downloaded.unwrap(), expected);
    assert!(file == content(SIZE, 0));
    assert!(!asked[0].contains("range:"));
    assert!(
        asked[1].contains("\r\nrange: bytes=40000-\r\n") && asked[1].contains("\r\nif-range: \"v1\"\r\n"),
        "{}",
        asked[1]
    );
    assert_eq!(asked.len(), 2);
}

#[tokio::test]
async fn a_time_that_is_long_enough_ago_names_a_version_too() {
    let headers = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nLast-Modified: Sun, 06 Nov 1994 08:48:37 GMT\r\n";
    let (downloaded, file, asked) = after_a_cut(headers, |_, _| rest()).await;
    // The part names its version, the first answer did not.
    assert!(downloaded.is_ok() && file == content(SIZE, 0) || asked.len() > 2);
    assert!(asked[1].contains("if-range: sun, 06 nov 1994 08:48:37 gmt"));
}

#[tokio::test]
async fn nothing_is_resumed_that_has_no_certain_version() {
    for headers in [
        "ETag: W/\"v1\"\r\n",
        "Date: Sun, 06 Nov 1994 08:49:36 GMT\r\nLast-Modified: Sun, 06 Nov 1994 08:48:37 GMT\r\n",
        "Last-Modified: Sun, 06 Nov 1994 08:48:37 GMT\r\n",
        "",
    ] {
        let whole = move |_, _: &str| answer("200 OK", headers, SIZE, &content(SIZE, 0));
        let (downloaded, file, asked) = after_a_cut(headers, whole).await;
        assert_eq!(downloaded.unwrap().resumed_from, 0);
        assert!(file == content(SIZE, 0));
        assert!(asked.iter().all(|request| !request.contains("range:")), "{headers}");
    }
}

#[tokio::test]
async fn a_file_is_never_made_of_two_versions() {
    let whole = || answer("200 OK", "ETag: \"v2\"\r\n", SIZE / 2, &content(SIZE / 2, 9));
    let part = |range: String, etag: &str| {
        let headers = format!("Content-Range: bytes {range}\r\nETag: {etag}\r\n");
        answer("206 Partial Content", &headers, SIZE - CUT, &content(SIZE, 9)[CUT..])
    };
    let last = SIZE - 1;
    let unfit = [
        // The remote heeds If-Range, or does no ranges.
        whole(),
        part(format!("{CUT}-{last}/{SIZE}"), "\"v2\""),
        part(format!("{}-{last}/{SIZE}", CUT + 1), "\"v1\""),
        part(format!("{CUT}-{last}/{}", SIZE + 1), "\"v1\""),
        part(format!("{CUT}-{last}"), "\"v1\""),
        answer("416 Range Not Satisfiable", "Content-Range: bytes */10\r\n", 0, b""),
        [
            &b"HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Encoding: gzip\r\n"[..],
            &part(format!("{CUT}-{last}/{SIZE}"), "\"v1\"")[29..],
        ]
        .concat(),
    ];
    for (nth_case, unfit) in unfit.into_iter().enumerate() {
        let then = move |nth, _: &str| if nth == 2 { unfit.clone() } else { whole() };
        let (downloaded, file, asked) = after_a_cut("ETag: \"v1\"\r\n", then).await;
        let downloaded = downloaded.unwrap_or_else(|error| panic!("case {nth_case}: {error}"));
        assert_eq!(
            (downloaded.resumed_from, downloaded.etag.as_deref()),
            (0, Some("\"v2\"")),
            "case {nth_case}"
        );
        assert!(file == content(SIZE / 2, 9), "case {nth_case}");
        assert!(asked.len() <= 3 && !asked.last().unwrap().contains("range:") || asked.len() == 2);
    }
}

#[tokio::test]
async fn what_is_all_there_is_complete() {
    // All of it, but for the end of the transfer.
    let all = format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nTransfer-Encoding: chunked\r\n\r\n{SIZE:x}\r\n");
    let all = [all.as_bytes(), &content(SIZE, 0), b"\r\n"].concat();
    let (address, _) = remote(move |nth, _| match nth {
        1 => all.clone(),
        _ => answer("416 Range Not Satisfiable", &format!("Content-Range: bytes */{SIZE}\r\n"), 0, b""),
    })
    .await;
    let folder = Folder::new();
    let downloaded = api(address).get("/file").download(folder.path()).await.unwrap();
    assert_eq!((downloaded.bytes, downloaded.resumed_from), (SIZE as u64, SIZE as u64));
    assert!(fs::read(folder.path()).unwrap() == content(SIZE, 0));
}

#[tokio::test]
async fn an_encoded_body_is_decoded_and_never_resumed() {
    use async_compression::{
        codecs::{Encode, GzipEncoder},
        core::util::PartialBuffer,
    };
    let mut output = PartialBuffer::new(vec![0; 2 * SIZE]);
    let mut encoder = GzipEncoder::new(async_compression::Level::Default.into());
    Encode::encode(&mut encoder, &mut PartialBuffer::new(&content(SIZE, 0)[..]), &mut output).unwrap();
    assert!(Encode::finish(&mut encoder, &mut output).unwrap());
    let gzip = output.written().to_vec();
    let (address, asked) = remote(move |nth, _| {
        let headers = "Content-Encoding: gzip\r\nETag: \"v1\"\r\n";
        answer("200 OK", headers, gzip.len(), if nth == 1 { &gzip[..gzip.len() / 2] } else { &gzip })
    })
    .await;
    let folder = Folder::new();
    let downloaded = api(address).get("/file").download(folder.path()).await.unwrap();
    assert_eq!((downloaded.bytes, downloaded.resumed_from), (SIZE as u64, 0));
    assert!(fs::read(folder.path()).unwrap() == content(SIZE, 0));
    assert!(asked.lock().unwrap().iter().all(|request| !request.contains("range:")));
}

#[tokio::test]
async fn what_fails_for_good_says_why() {
    let (address, asked) = remote(|_, _| answer("404 Not Found", "", 4, b"gone")).await;
    let folder = Folder::new();
    let failed = api(address).get("/file").download(folder.path()).await.unwrap_err();
    assert_eq!((failed.status(), asked.lock().unwrap().len()), (Some(404), 1));
    assert!(folder.names().is_empty());

    let (address, _) = remote(|_, _| answer("200 OK", "", SIZE, &content(SIZE, 0))).await;
    let small = api(address).stream_bytes_max(1000);
    let failed = small.get("/file").download(folder.path()).await.unwrap_err();
    assert!(failed.to_string().contains("its body has 100000 bytes (limit 1000)"), "{failed}");
    let failed = api(address).get("/file").download(folder.path().join("no/such")).await.unwrap_err();
    assert!(failed.to_string().contains("cannot be written") && !failed.is_retryable(), "{failed}");
    assert!(api(address).get("/file").download("/").await.unwrap_err().to_string().contains("names no file"));
}

/// Not a test of its own: what the next one kills.
#[tokio::test]
async fn child_that_downloads() {
    let (Some(address), Some(path)) =
        (std::env::var_os("BOWLINE_DOWNLOAD_FROM"), std::env::var_os("BOWLINE_DOWNLOAD_TO"))
    else {
        return;
    };
    let address: SocketAddr = address.into_string().unwrap().parse().unwrap();
    api_at(address).get("/file").download(Path::new(&path)).await.unwrap();
}

#[tokio::test]
async fn a_download_survives_the_process_that_made_it() {
    const LARGE: usize = 24 * 1024 * 1024;
    const SENT: usize = 20 * 1024 * 1024;
    let (sent, dead) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (asked, resumed) = (Asked::default(), asked_range);
    let (signal, wait, log) = (sent.clone(), dead.clone(), asked.clone());
    let address = raw(move |nth, mut stream| {
        let (signal, wait, log) = (signal.clone(), wait.clone(), log.clone());
        async move {
            let request = head(&mut stream).await.to_ascii_lowercase();
            log.lock().unwrap().push(request.clone());
            if nth == 1 {
                stream
                    .write_all(&answer("200 OK", "ETag: \"v1\"\r\n", LARGE, &content(SENT, 0)))
                    .await
                    .unwrap();
                signal.notify_one();
                wait.notified().await;
                return;
            }
            let start = resumed(&request);
            let range = format!("Content-Range: bytes {start}-{}/{LARGE}\r\nETag: \"v1\"\r\n", LARGE - 1);
            let rest = &content(LARGE, 0)[start..];
            stream.write_all(&answer("206 Partial Content", &range, rest.len(), rest)).await.ok();
            stream.shutdown().await.ok();
        }
    })
    .await;
    let folder = Folder::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "downloaded::child_that_downloads"])
        .env("BOWLINE_DOWNLOAD_FROM", address.to_string())
        .env("BOWLINE_DOWNLOAD_TO", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    sent.notified().await;
    // The first 16 MiB are safe when the sidecar says so.
    let sidecar = folder.0.path().join("file.bin.part.json");
    while !fs::read_to_string(&sidecar).is_ok_and(|text| !text.contains("\"bytes\":0")) {
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    dead.notify_one();
    assert!(folder.names().contains(&"file.bin.part".to_owned()));
    let downloaded = api(address).get("/file").download(folder.path()).await.unwrap();
    assert!(downloaded.resumed_from >= 16 * 1024 * 1024, "{downloaded:?}");
    assert_eq!(downloaded.bytes, LARGE as u64);
    assert!(fs::read(folder.path()).unwrap() == content(LARGE, 0));
    assert_eq!(folder.names(), ["file.bin"]);
}

fn asked_range(request: &str) -> usize {
    let (_, range) = request.split_once("\r\nrange: bytes=").unwrap();
    range.split_once("-\r\n").unwrap().0.parse().unwrap()
}

/// A server that others wrote: starlette with uvicorn, and its port.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    child: std::process::Child,
}

impl Peer {
    /// Serves that file. `None`: there is no Python with starlette.
    pub(crate) fn start(file: &Path) -> Option<Self> {
        let python = std::env::var_os("BOWLINE_PYTHON")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client/peers/files.py");
        let mut child = Command::new(python).arg(script).arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().expect("the peer prints its port");
        Some(Self { address: ([127, 0, 0, 1], port).into(), child })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn resumes_from_a_server_that_others_wrote() {
    let folder = Folder::new();
    let stored = folder.0.path().join("stored");
    fs::write(&stored, content(5_000_000, 3)).unwrap();
    let Some(peer) = Peer::start(&stored) else {
        bowline_testing::skip!("resumes_from_a_server_that_others_wrote", "BOWLINE_PYTHON names no Python");
    };
    // Between the two, somebody who cuts the first answer.
    let behind = peer.address;
    let asked: Asked = Arc::default();
    let log = asked.clone();
    let address = raw(move |nth, mut stream| {
        let log = log.clone();
        async move {
            let request = head(&mut stream).await;
            log.lock().unwrap().push(request.to_ascii_lowercase());
            let mut there = TcpStream::connect(behind).await.unwrap();
            there
                .write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let most = if nth == 1 { 2_000_000 } else { u64::MAX };
            tokio::io::copy(&mut there.take(most), &mut stream).await.ok();
        }
    })
    .await;
    let downloaded = api(address).get("/file").download(folder.path()).await.unwrap();
    assert!(fs::read(folder.path()).unwrap() == content(5_000_000, 3));
    assert!((1_900_000..2_000_000).contains(&downloaded.resumed_from), "{downloaded:?}");
    assert!(asked.lock().unwrap()[1].contains(&format!("range: bytes={}-", downloaded.resumed_from)));
}
