//! What was fed and not read yet, in pieces that are UTF-8.

use std::collections::VecDeque;

use bytes::Bytes;
use bytes_utils::Str;

use super::{
    Error,
    utf8::{Gate, NotUtf8},
};

/// What was fed, in pieces that are UTF-8.
#[derive(Debug, Default)]
pub(super) struct Input {
    gate: Gate,
    pieces: VecDeque<Str>,
    /// Behind the pieces stands what is not UTF-8.
    spoilt: bool,
    /// The piece that is being read.
    piece: Str,
    /// How much of it was read.
    pub(super) at: usize,
    /// How many bytes came before the piece.
    before: u64,
    /// How many bytes were fed.
    pub(super) fed: u64,
    pub(super) ended: bool,
}

impl Input {
    pub(super) fn feed(&mut self, chunk: Bytes) {
        self.fed += chunk.len() as u64;
        if !self.spoilt {
            self.spoilt = matches!(self.gate.pass(chunk, &mut self.pieces), Err(NotUtf8));
        }
    }

    /// Whether what was fed last stops within a character.
    pub(super) fn is_within_a_character(&self) -> bool {
        self.gate.is_within_a_character()
    }

    /// The piece that is being read.
    pub(super) fn piece(&self) -> &Bytes {
        self.piece.inner()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.piece()[self.at..]
    }

    /// The same, to whoever need not check it again. No character is read in part.
    pub(super) fn rest_as_text(&self) -> &str {
        &self.piece[self.at..]
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Of the next byte, in the document.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    /// Takes the next piece, when the last one is read. `false`: there is none yet.
    pub(super) fn advance(&mut self) -> Result<bool, Error> {
        let Some(next) = self.pieces.pop_front() else {
            return if self.spoilt { Err(Error::NotUtf8 { offset: self.offset() }) } else { Ok(false) };
        };
        self.before += self.piece.len() as u64;
        self.piece = next;
        self.at = 0;
        Ok(true)
    }
}
