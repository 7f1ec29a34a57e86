//! Chunks that may end within a character, as pieces that do not.

use std::{collections::VecDeque, str};

use bytes::Bytes;
use bytes_utils::Str;

/// The longest character, in bytes.
const CHARACTER_BYTES_MAX: usize = 4;

/// Lets through what is UTF-8. The beginning of a character waits for the rest of it, in the next chunk.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// The beginning of a character at the end of what came so far.
    begun: Vec<u8>,
}

impl Gate {
    /// Puts what can be read now behind `pieces`: the chunk's own bytes, and at most one character that spans chunks.
    ///
    /// # Errors
    /// If something is not UTF-8; what stands before it is in `pieces`.
    pub(super) fn pass(&mut self, mut chunk: Bytes, pieces: &mut VecDeque<Str>) -> Result<(), NotUtf8> {
        while !self.begun.is_empty() && !chunk.is_empty() {
            self.begun.extend_from_slice(&chunk.split_to(1));
            match str::from_utf8(&self.begun) {
                Ok(character) => {
                    pieces.push_back(character.into());
                    self.begun.clear();
                }
                Err(error) if error.error_len().is_some() => return Err(NotUtf8),
                Err(_) => debug_assert!(self.begun.len() < CHARACTER_BYTES_MAX),
            }
        }
        if !chunk.is_empty() {
            self.begun = chunk.split_off(chunk.len() - begun_bytes(&chunk)).to_vec();
        }
        let (good, rest) = match Str::from_inner(chunk) {
            Ok(good) => (good, Ok(())),
            Err(error) => {
                let good_bytes = error.utf8_error().valid_up_to();
                let good = error.into_inner().slice(..good_bytes);
                (Str::from_inner(good).unwrap_or_default(), Err(NotUtf8))
            }
        };
        pieces.extend(Some(good).filter(|good| !good.is_empty()));
        rest
    }

    /// Whether a character was begun and is not complete.
    pub(super) fn is_within_a_character(&self) -> bool {
        !self.begun.is_empty()
    }
}

/// How many bytes at the end begin a character that is not complete.
fn begun_bytes(chunk: &[u8]) -> usize {
    let is_begun = |bytes: &usize| {
        let end = &chunk[chunk.len() - bytes..];
        str::from_utf8(end).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..CHARACTER_BYTES_MAX.min(chunk.len() + 1)).find(is_begun).unwrap_or(0)
}

/// Behind the pieces stands what is not UTF-8.
#[derive(Debug)]
pub(super) struct NotUtf8;

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes through, and whether all of it did.
    fn pass(text: &[u8], size: usize) -> (Vec<u8>, bool) {
        let (mut gate, mut pieces) = (Gate::default(), VecDeque::new());
        let good =
            text.chunks(size).all(|chunk| gate.pass(Bytes::copy_from_slice(chunk), &mut pieces).is_ok());
        (pieces.iter().flat_map(|piece| piece.bytes()).collect(), good && !gate.is_within_a_character())
    }

    #[test]
    fn characters_may_span_chunks() {
        let text = "aé€😀é€😀z".as_bytes();
        for size in 1..=text.len() {
            assert_eq!(pass(text, size), (text.to_vec(), true), "{size}");
        }
    }

    #[test]
    fn what_is_not_a_character_is_stopped_wherever_the_chunks_end() {
        // Cut short, too long a form, half of a pair, beyond the last character, never a byte of UTF-8.
        for bad in
            [&b"\xC3("[..], b"\xC0\xAF", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\xFF", b"\x80", b"\xE2\x82"]
        {
            let text = [b"ab", bad].concat();
            for size in 1..=text.len() {
                assert_eq!(pass(&text, size), (b"ab".to_vec(), false), "{bad:x?} in chunks of {size}");
            }
        }
    }
}
