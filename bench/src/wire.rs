//! HTTP/1.1 as the load generator and the mock CRM read it: just enough, so that they take little of the machine that
//! the contenders are measured on.

use memchr::memmem;

/// Where one message ends that begins at the start of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes of the head, its empty line included.
    pub(crate) head: usize,
    /// Bytes in all.
    pub(crate) whole: usize,
}

/// The first message of the buffer, once it is there whole. Its body is as long as `content-length` says; a chunked one
/// would be taken for none.
pub(crate) fn extent(buffer: &[u8]) -> Option<Extent> {
    let head = memmem::find(buffer, b"\r\n\r\n")? + 4;
    let body = header(&buffer[..head], "content-length")
        .and_then(|value| std::str::from_utf8(value).ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    let whole = head + body;
    (buffer.len() >= whole).then_some(Extent { head, whole })
}

/// The status of a response's head.
pub(crate) fn status(head: &[u8]) -> Option<u16> {
    let code = head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

/// The value of the first header of that name.
pub(crate) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        if !found.eq_ignore_ascii_case(name.as_bytes()) {
            return None;
        }
        Some(value.strip_prefix(b":")?.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Content-Length: 9\r\n\r\nok";

    #[test]
    fn sees_a_message_only_when_it_is_whole() {
        for cut in 0..ANSWER.len() {
            assert_eq!(extent(&ANSWER[..cut]), None, "cut at {cut}");
        }
        let whole = extent(ANSWER).unwrap();
        assert_eq!(&ANSWER[whole.head..whole.whole], b"ok");
        let followed = [ANSWER, ANSWER].concat();
        assert_eq!(extent(&followed), Some(whole));
    }

    #[test]
    fn reads_a_status_and_a_header_by_any_case() {
        assert_eq!(status(ANSWER), Some(200));
        assert_eq!(header(ANSWER, "content-length"), Some(&b"2"[..]));
        assert_eq!(header(ANSWER, "length"), None);
    }
}
