//! Reads a body within its limits: bytes of one, bytes of all at once. (The time it may take is [`crate::serve`]'s.)

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{problem::Refusal, serve::BodyTooSlow};

/// Bodies in memory, all requests together: past it, requests are answered 503.
pub(crate) const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How much of a refused body is read and thrown away, so that the sender gets to see the answer: a socket that is
/// closed on unread bytes is reset, and the answer is lost with it.
const DISCARD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A body, and its share of the memory for bodies.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) share: Option<OwnedSemaphorePermit>,
}

/// Reads the whole body. Memory is charged as bytes arrive, not as they are announced: who only announces holds
/// nothing.
pub(crate) async fn read(
    body: &mut Body,
    bytes_max: usize,
    memory: &Arc<Semaphore>,
) -> Result<Held, Refusal> {
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        return Err(Refusal::BodyTooLarge { bytes_max });
    }
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    let mut share: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Err(Refusal::BodyTooLarge { bytes_max });
        }
        charge(&mut share, memory, data.len())?;
        // Most bodies come in one piece, which is then never copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&data);
        }
    }
    let bytes = if rest.is_empty() { first } else { rest.freeze() };
    Ok(Held { bytes, share })
}

fn charge(
    share: &mut Option<OwnedSemaphorePermit>,
    memory: &Arc<Semaphore>,
    bytes: usize,
) -> Result<(), Refusal> {
    let bytes = u32::try_from(bytes).map_err(|_| Refusal::Crowded)?;
    let more = Arc::clone(memory).try_acquire_many_owned(bytes).map_err(|_| Refusal::Crowded)?;
    match share {
        Some(share) => share.merge(more),
        None => *share = Some(more),
    }
    Ok(())
}

fn broken(error: &axum::Error) -> Refusal {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(BodyTooSlow { limit }) = error.downcast_ref() {
            return Refusal::BodyTooSlow { limit: *limit };
        }
        cause = error.source();
    }
    Refusal::BodyBroken
}

/// Throws away what is left of a refused body.
pub(crate) async fn discard(body: &mut Body) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > DISCARD_BYTES_MAX {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    fn in_pieces(pieces: &[&'static str]) -> Body {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes()))))
            .collect();
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn pieces_become_one_body_of_which_the_memory_is_held() {
        let memory = Arc::new(Semaphore::new(10));
        let held = read(&mut in_pieces(&["", "ab", "", "cd", "e"]), 5, &memory).await.unwrap();
        assert_eq!((&held.bytes[..], memory.available_permits()), (&b"abcde"[..], 5));
        drop(held.share);
        assert_eq!(memory.available_permits(), 10);
    }

    #[tokio::test]
    async fn a_body_for_which_there_is_no_memory_is_refused_and_holds_nothing() {
        let memory = Arc::new(Semaphore::new(10));
        let first = read(&mut in_pieces(&["1234", "5678"]), 100, &memory).await.unwrap();
        let second = read(&mut in_pieces(&["1", "234"]), 100, &memory).await;
        assert!(matches!(second, Err(Refusal::Crowded)));
        assert_eq!(memory.available_permits(), 2);
        drop(first);
        assert!(read(&mut in_pieces(&["1", "234"]), 100, &memory).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_over_its_limit_is_refused_before_it_is_held() {
        let memory = Arc::new(Semaphore::new(100));
        let refused = read(&mut in_pieces(&["12345", "6"]), 5, &memory).await;
        assert!(matches!(refused, Err(Refusal::BodyTooLarge { bytes_max: 5 })));
        let announced = read(&mut Body::from("123456"), 5, &memory).await;
        assert!(matches!(announced, Err(Refusal::BodyTooLarge { bytes_max: 5 })));
        assert_eq!(memory.available_permits(), 100);
    }
}
