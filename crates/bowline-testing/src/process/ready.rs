//! When a program counts as started.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs},
    time::Duration,
};

use bowline_model::{Clock, SystemClock};

use super::output::Output;

/// How often a health check is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How much of an answer is read: its first line is enough.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

#[derive(Debug, Clone)]
pub(super) enum Ready {
    AtOnce,
    Line(String),
    Http(String),
}

/// A port of 127.0.0.1 that was free a moment ago: for a program that must find the same port after a restart.
///
/// # Panics
/// If loopback has no free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Asks until the answer is 200. The error says what came last instead.
pub(super) fn wait_for_http(output: &Output, url: &str, within: Duration) -> Result<(), String> {
    let deadline = SystemClock.monotonic() + within;
    loop {
        let last = match status_line(url) {
            Ok(line) if line.split(' ').nth(1) == Some("200") => return Ok(()),
            Ok(line) => line,
            Err(error) => error.to_string(),
        };
        if SystemClock.monotonic() >= deadline || !output.wait_a_little(ASK_EVERY) {
            return Err(last);
        }
    }
}

fn status_line(url: &str) -> io::Result<String> {
    let invalid =
        || io::Error::new(io::ErrorKind::InvalidInput, format!("{url} is not http://host:port/path"));
    let rest = url.strip_prefix("http://").ok_or_else(invalid)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = host.to_socket_addrs()?.next().ok_or_else(invalid)?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream
        .write_all(format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or("an empty answer").to_owned())
}
