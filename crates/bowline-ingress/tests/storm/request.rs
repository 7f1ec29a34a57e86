//! A request that is wrong somewhere.

use std::time::Duration;

use bowline_ingress::{Named, Unsigned};
use bowline_model::{Clock, SystemClock};

use crate::{
    body::spoilt,
    door::{DOORS, Door},
    rng::Rng,
};

/// A request as it goes onto the socket.
#[derive(Debug)]
pub(crate) struct Request {
    /// What is wrong with it.
    pub(crate) class: &'static str,
    /// Whether its signature, key or password is that of a genuine sender, for the body that it was to have.
    pub(crate) is_signed: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Request {
    pub(crate) fn is_head(&self) -> bool {
        self.bytes.starts_with(b"HEAD ")
    }
}

type Headers = Vec<(String, Vec<u8>)>;

/// A request before it is bytes.
struct Draft {
    method: Vec<u8>,
    target: Vec<u8>,
    version: &'static [u8],
    headers: Headers,
    body: Vec<u8>,
    framing: Framing,
}

enum Framing {
    Length,
    Chunks(Vec<u8>),
    /// As in the headers.
    Odd,
}

type Spoil = fn(&mut Rng, &mut Draft);

/// What leaves the signature as it is.
const AROUND: [(&str, Spoil); 11] = [
    ("method", |rng, draft| {
        let odd = [
            "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "post", "PROPFIND",
            "P@ST", "",
        ];
        draft.method = rng.pick(&odd).into();
    }),
    ("target", |rng, draft| {
        let path = String::from_utf8_lossy(&draft.target).into_owned();
        let cut = rng.below(path.len());
        let odd = [
            path.clone() + "/",
            format!("/{path}"),
            path.to_uppercase(),
            path[..cut].to_owned(),
            path.clone() + "/runs/1-00000000000000000000000000000000",
            path.clone() + "/runs/%2e%2e",
            path.clone() + "?a=b&a=%zz",
            format!("http://elsewhere.example{path}"),
            "*".into(),
            "/%00".into(),
            format!("{path}/../{path}"),
            "/".to_owned() + &"a".repeat(rng.below(70_000)),
            path + "\u{e9}",
        ];
        draft.target = odd[rng.below(odd.len())].clone().into_bytes();
    }),
    ("version", |rng, draft| {
        let odd: [&'static [u8]; 7] =
            [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3", b"HTTP/1.1 x", b"HTTPS/1.1", b""];
        draft.version = rng.pick(&odd);
    }),
    ("content type", |rng, draft| {
        let odd = [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "json",
            "application/jsonp",
            "application/json, text/plain",
            "*/*",
            ";",
            "application/json;",
        ];
        let odd = rng.pick(&odd);
        draft.headers.retain(|(name, _)| name != "content-type");
        if !rng.one_in(5) {
            draft.headers.push(("content-type".into(), odd.into()));
        }
    }),
    ("content encoding", |rng, draft| {
        let odd = ["gzip", "identity", "br, gzip", "", "\u{e9}"];
        draft.headers.push(("content-encoding".into(), rng.pick(&odd).into()));
    }),
    ("one more header", |rng, draft| {
        let odd: [(&str, &[u8]); 14] = [
            ("idempotency-key", b"\"unclosed"),
            ("idempotency-key", b""),
            ("idempotency-key", b"\xff\xfe"),
            ("expect", b"100-continue"),
            ("expect", b"the unexpected"),
            ("origin", b"https://www.example.com"),
            ("origin", b"null"),
            ("host", b"elsewhere.example"),
            ("connection", b"upgrade"),
            ("upgrade", b"h2c"),
            ("x-request-id", b"a b\tc"),
            ("te", b"trailers, deflate"),
            ("cookie", b"a=b"),
            ("bad name", b"x"),
        ];
        let (name, value) = odd[rng.below(odd.len())];
        draft.headers.push((name.into(), value.to_vec()));
    }),
    ("a header of bytes", |rng, draft| {
        let count = rng.below(100);
        draft.headers.push(("x-odd".into(), rng.bytes(count)));
    }),
    ("too many or large headers", |rng, draft| match rng.one_in(2) {
        true => draft.headers.extend((0..rng.below(300)).map(|at| (format!("x-{at}"), b"x".to_vec()))),
        false => draft.headers.push(("x-large".into(), vec![b'x'; rng.below(100_000)])),
    }),
    ("preflight", |rng, draft| {
        draft.method = b"OPTIONS".to_vec();
        let origins = ["https://www.example.com", "https://evil.example", "null", ""];
        draft.headers.push(("origin".into(), rng.pick(&origins).into()));
        draft.headers.push(("access-control-request-method".into(), b"POST".to_vec()));
    }),
    ("length", |rng, draft| {
        let length = draft.body.len();
        let odd = [
            format!("{}", length + 1 + rng.below(100)),
            format!("{}", length.saturating_sub(1 + rng.below(100))),
            "-1".into(),
            format!("+{length}"),
            "many".into(),
            "".into(),
            "18446744073709551616".into(),
            "9999999999".into(),
            format!("{length}, {length}"),
            format!("0x{length:x}"),
        ];
        let more = if rng.one_in(4) { vec![("content-length".to_owned(), b"0".to_vec())] } else { vec![] };
        draft.headers.push(("content-length".into(), odd[rng.below(odd.len())].clone().into_bytes()));
        draft.headers.extend(more);
        draft.framing = Framing::Odd;
    }),
    ("chunks", |rng, draft| {
        let encodings =
            ["chunked", "chunked", "gzip, chunked", "chunked, chunked", "chunked, gzip", "xchunked"];
        draft.headers.push(("transfer-encoding".into(), rng.pick(&encodings).into()));
        if rng.one_in(4) {
            draft.headers.push(("content-length".into(), b"3".to_vec()));
        }
        let mut chunks = chunked(rng, &draft.body);
        if !rng.one_in(3) {
            let at = rng.below(chunks.len());
            chunks[at] = rng.next() as u8;
        }
        if rng.one_in(3) {
            chunks.truncate(rng.below(chunks.len()));
        }
        draft.framing = Framing::Chunks(chunks);
    }),
];

fn chunked(rng: &mut Rng, body: &[u8]) -> Vec<u8> {
    let mut chunks = vec![];
    for piece in body.chunks(1 + rng.below(500)) {
        chunks.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        chunks.extend([piece, b"\r\n"].concat());
    }
    chunks.extend(b"0\r\n\r\n");
    chunks
}

/// Draws a request. A signed one carries the signature, key or password that a genuine sender of its body has.
pub(crate) fn request(rng: &mut Rng, is_signed: bool) -> Request {
    let door = &DOORS[rng.below(DOORS.len())];
    if is_signed { signed(rng, door) } else { unsigned(rng, door) }
}

fn signed(rng: &mut Rng, door: &Door) -> Request {
    let mut class = None;
    let mut draft = genuine(rng, door, |rng, door, id| {
        let body = door.provider.body(&Named { id, kind: door.kind }, &door.input());
        if rng.one_in(2) {
            return body.to_string().into_bytes();
        }
        let (what, body) = spoilt(rng, &body);
        class = Some(what);
        body
    });
    if class.is_none() || rng.one_in(8) {
        let (what, spoil) = AROUND[rng.below(AROUND.len())];
        spoil(rng, &mut draft);
        class = class.or(Some(what));
    }
    Request { class: class.expect("one of both"), is_signed: true, bytes: bytes(&draft) }
}

fn unsigned(rng: &mut Rng, door: &Door) -> Request {
    let plain = |_: &mut Rng, door: &Door, id: &str| {
        door.provider.body(&Named { id, kind: door.kind }, &door.input()).to_string().into_bytes()
    };
    let mut draft = genuine(rng, door, plain);
    let is_credential = |name: &str| name != "content-type" && name != "host" && name != "idempotency-key";
    let credentials: Vec<usize> =
        (0..draft.headers.len()).filter(|at| is_credential(&draft.headers[*at].0)).collect();
    let some = |rng: &mut Rng| credentials[rng.below(credentials.len())];
    let (class, bytes) = match rng.below(10) {
        0 if !credentials.is_empty() => {
            draft.headers.remove(some(rng));
            ("signature lost", bytes(&draft))
        }
        1 if !credentials.is_empty() => {
            let twice = draft.headers[some(rng)].clone();
            draft.headers.push(twice);
            ("signature twice", bytes(&draft))
        }
        2 if !credentials.is_empty() => {
            let value = &mut draft.headers[some(rng)].1;
            if !value.is_empty() {
                let at = rng.below(value.len());
                value[at] ^= 1 << rng.below(8);
            }
            ("signature altered", bytes(&draft))
        }
        3 if !credentials.is_empty() => {
            let at = some(rng);
            let count = rng.below(6000);
            draft.headers[at].1 = (0..count).map(|_| b' ' + (rng.next() % 95) as u8).collect();
            ("signature of noise", bytes(&draft))
        }
        4 if !credentials.is_empty() => {
            let body = draft.body.clone();
            draft.headers =
                headers(rng, &*door.impostor, door, "evt_of_somebody_else", &body, Duration::ZERO);
            ("another's secret", bytes(&draft))
        }
        5 if !credentials.is_empty() => {
            let age = Duration::from_secs(301 + rng.below(1_000_000) as u64);
            draft.headers = headers(rng, &*door.provider, door, "evt_of_long_ago", &draft.body.clone(), age);
            ("long ago", bytes(&draft))
        }
        6 => {
            let at = rng.below(draft.body.len());
            draft.body[at] ^= 1 << rng.below(8);
            ("body altered", bytes(&draft))
        }
        7 => ("cut off", {
            let mut bytes = bytes(&draft);
            bytes.truncate(rng.below(bytes.len()));
            bytes
        }),
        8 => ("noise", {
            let count = rng.below(500);
            let mut bytes = rng.bytes(count);
            if rng.one_in(2) {
                bytes.extend(b"\r\n\r\n");
            }
            bytes
        }),
        _ => ("bits flipped", {
            let mut bytes = bytes(&draft);
            for _ in 0..1 + rng.below(8) {
                let at = rng.below(bytes.len());
                bytes[at] ^= 1 << rng.below(8);
            }
            bytes
        }),
    };
    Request { class, is_signed: false, bytes }
}

/// What a genuine sender would send, with this body.
fn genuine(rng: &mut Rng, door: &Door, body: impl FnOnce(&mut Rng, &Door, &str) -> Vec<u8>) -> Draft {
    let id = format!("evt_{:016x}", rng.next());
    let body = body(rng, door, &id);
    let headers = headers(rng, &*door.provider, door, &id, &body, Duration::ZERO);
    Draft {
        method: b"POST".to_vec(),
        target: door.path.into(),
        version: b"HTTP/1.1",
        headers,
        body,
        framing: Framing::Length,
    }
}

fn headers(
    rng: &mut Rng,
    provider: &dyn bowline_ingress::Provider,
    door: &Door,
    id: &str,
    body: &[u8],
    age: Duration,
) -> Headers {
    let event = Named { id, kind: door.kind };
    let unsigned = Unsigned::new(body).named(&event);
    let signed = provider.sign(&unsigned, SystemClock.now() - age).expect("it signs").headers;
    let mut headers: Headers = vec![("host".into(), b"localhost".to_vec())];
    for (name, value) in signed {
        // Posts have a key of their own in half of the cases only.
        if name != "idempotency-key" || rng.one_in(2) {
            headers.push((name.to_string(), value.as_bytes().to_vec()));
        }
    }
    headers
}

fn bytes(draft: &Draft) -> Vec<u8> {
    let mut bytes = [&draft.method, &b" "[..], &draft.target, b" ", draft.version, b"\r\n"].concat();
    for (name, value) in &draft.headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let body = match &draft.framing {
        Framing::Length => {
            bytes.extend(format!("content-length: {}\r\n", draft.body.len()).into_bytes());
            &draft.body
        }
        Framing::Chunks(chunks) => chunks,
        Framing::Odd => &draft.body,
    };
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}
