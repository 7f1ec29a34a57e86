//! Bodies as they were before their transfer: gzip, brotli and zstd undone while bytes arrive.
//!
//! What comes in: the head of an answer, and chunks of its body. What goes out: pieces of what was encoded. What must
//! never happen here: a body that is accepted though it is cut short, damaged, or followed by something else; memory or
//! time that grows with what a few hostile bytes stand for.
//!
//! | Limit | |
//! |---|---|
//! | decoded size | what the call says: [`Decoder::new`] |
//! | growth | [`GROWTH_MAX`] times what was fed, beyond [`GROWTH_BYTES_FREE`]: no document does that |
//! | window of zstd | 8 MiB (RFC 9659), of brotli 16 MiB (RFC 7932) |
//! | encodings, one around the other | [`ENCODINGS_MAX`] |

use std::fmt;

use async_compression::{
    codecs::{BrotliDecoder, DecodeV2, GzipDecoder, ZstdDecoder},
    core::util::{PartialBuffer, WriteBuffer},
    zstd::DParameter,
};
use bytes::{Buf, Bytes, BytesMut};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};

/// What is understood here: sent with every call that does not want the bytes as they are stored.
pub(crate) const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("gzip, br, zstd");

/// Most times that a body may grow.
pub(crate) const GROWTH_MAX: u64 = 1000;
/// So much a body may be, however few bytes stand for it.
pub(crate) const GROWTH_BYTES_FREE: u64 = 1024 * 1024;
/// Most encodings, one around the other.
const ENCODINGS_MAX: usize = 4;
/// 8 MiB: what a sender of zstd over HTTP may expect of a receiver (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The bits with which a stream of brotli asks for a window of up to 1 GiB; RFC 7932 knows no such thing.
const BROTLI_LARGE_WINDOW: u8 = 0b001_0001;
/// The largest piece that goes out.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Why a body could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// It is not what its head says.
    Corrupt { encoding: &'static str, why: String },
    /// It ends before it is complete.
    Truncated { encoding: &'static str },
    /// Something follows it.
    GoesOn { encoding: &'static str },
    /// It is larger than the call allows.
    TooLarge { bytes_max: u64 },
    /// It grows as no document does.
    Bomb { fed: u64 },
}

impl Undecodable {
    /// Whether the connection may be to blame: another attempt may bring all of it.
    pub(crate) fn is_truncated(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }
}

/// As a part of a sentence about the body: `its body …`.
impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { encoding, why } => {
                write!(f, "is damaged: not {encoding}, as its head says: {why}")
            }
            Self::Truncated { encoding } => write!(f, "ends early: its {encoding} is not complete"),
            Self::GoesOn { encoding } => write!(f, "goes on after its {encoding} is complete"),
            Self::TooLarge { bytes_max } => write!(f, "is larger than {bytes_max} bytes"),
            Self::Bomb { fed } => write!(
                f,
                "grows more than {GROWTH_MAX} times when it is decoded ({fed} bytes were read): it is not read on"
            ),
        }
    }
}

/// Decodes one body.
pub(crate) struct Decoder {
    /// In the order in which they are undone. None: the body is passed on.
    stages: Vec<Stage>,
    /// What was fed, and is not looked at yet.
    input: Bytes,
    ended: bool,
    bytes_max: u64,
    fed: u64,
    made: u64,
    /// All that is allowed was made, and there is more.
    is_over: bool,
}

impl Decoder {
    /// Decodes what the head says, up to `bytes_max` bytes.
    ///
    /// # Errors
    /// Names the encoding that was not asked for, as a part of a sentence about the body.
    pub(crate) fn new(headers: &HeaderMap, bytes_max: u64) -> Result<Self, String> {
        Ok(Self { stages: encodings(headers)?, ..Self::plain(bytes_max) })
    }

    /// Passes on what comes, up to `bytes_max` bytes.
    pub(crate) fn plain(bytes_max: u64) -> Self {
        Self { stages: vec![], input: Bytes::new(), ended: false, bytes_max, fed: 0, made: 0, is_over: false }
    }

    /// Sets another limit, before the first piece.
    pub(crate) fn limit(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// Whether the body is passed on as it comes.
    pub(crate) fn is_plain(&self) -> bool {
        self.stages.is_empty()
    }

    /// Takes a chunk. Ask for pieces until there is none before feeding more.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.input.is_empty(), "what was fed is read first");
        self.fed += chunk.len() as u64;
        self.input = chunk;
    }

    /// Says that nothing more will be fed.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next piece. `None`: feed more; after [`end`](Decoder::end): it was the last one, and the body is complete.
    pub(crate) fn piece(&mut self) -> Result<Option<Bytes>, Undecodable> {
        if self.is_over {
            return Err(Undecodable::TooLarge { bytes_max: self.bytes_max });
        }
        let Some(mut piece) = pull(&mut self.stages, &mut self.input, self.ended)? else { return Ok(None) };
        let room = self.bytes_max - self.made;
        if piece.len() as u64 > room {
            self.is_over = true;
            // The first bytes of what is too large may yet be shown to a person.
            piece.truncate(usize::try_from(room).expect("less than a piece"));
            return if piece.is_empty() { self.piece() } else { Ok(Some(piece)) };
        }
        self.made += piece.len() as u64;
        if !self.is_plain()
            && self.made > GROWTH_BYTES_FREE
            && self.made > self.fed.saturating_mul(GROWTH_MAX)
        {
            return Err(Undecodable::Bomb { fed: self.fed });
        }
        Ok(Some(piece))
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<_> = self.stages.iter().map(|stage| stage.encoding).collect();
        f.debug_struct("Decoder").field("stages", &stages).field("made", &self.made).finish_non_exhaustive()
    }
}

/// A piece from the last stage, which asks the one before it for input.
fn pull(stages: &mut [Stage], fed: &mut Bytes, ended: bool) -> Result<Option<Bytes>, Undecodable> {
    let Some((stage, before)) = stages.split_last_mut() else {
        return Ok(Some(std::mem::take(fed)).filter(|chunk| !chunk.is_empty()));
    };
    loop {
        if let Some(piece) = stage.piece()? {
            return Ok(Some(piece));
        }
        match pull(before, fed, ended)? {
            Some(input) => stage.input = input,
            None if ended => return stage.finish().map(|()| None),
            None => return Ok(None),
        }
    }
}

/// The encodings of a body, the outermost first.
fn encodings(headers: &HeaderMap) -> Result<Vec<Stage>, String> {
    let mut stages = vec![];
    for list in headers.get_all(CONTENT_ENCODING) {
        let list = String::from_utf8_lossy(list.as_bytes());
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            stages.extend(Stage::of(name)?);
        }
    }
    if stages.len() > ENCODINGS_MAX {
        return Err(format!("has {} encodings one around the other (limit {ENCODINGS_MAX})", stages.len()));
    }
    // Named in the order in which they were applied (RFC 9110 §8.4).
    stages.reverse();
    Ok(stages)
}

/// One encoding being undone.
struct Stage {
    encoding: &'static str,
    decoder: Box<dyn DecodeV2 + Send + Sync>,
    state: State,
    input: Bytes,
    /// There was no room for all of what the decoder has.
    is_full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was read yet. An answer without a body (to a HEAD, or a 304) names the encoding that it would have.
    Before,
    Within,
    /// A member of gzip or a frame of zstd is complete; another may follow.
    Between,
    /// Nothing may follow.
    Complete,
}

impl Stage {
    fn of(name: &str) -> Result<Option<Self>, String> {
        let (encoding, decoder): (_, Box<dyn DecodeV2 + Send + Sync>) = match &*name.to_ascii_lowercase() {
            "identity" => return Ok(None),
            "gzip" | "x-gzip" => ("gzip", Box::new(GzipDecoder::new())),
            "br" => ("brotli", Box::new(BrotliDecoder::new())),
            "zstd" => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
                ("zstd", Box::new(ZstdDecoder::new_with_params(&[window])))
            }
            _ => return Err(format!("is encoded as {name}, which was not asked for")),
        };
        Ok(Some(Self { encoding, decoder, state: State::Before, input: Bytes::new(), is_full: false }))
    }

    /// What the input holds. `None`: it is used up.
    fn piece(&mut self) -> Result<Option<Bytes>, Undecodable> {
        while self.is_full || !self.input.is_empty() {
            self.begin()?;
            let mut buffer = BytesMut::zeroed(PIECE_BYTES_MAX);
            let mut output = WriteBuffer::new_initialized(&mut buffer);
            let mut input = PartialBuffer::new(&self.input[..]);
            let ends = self.decoder.decode(&mut input, &mut output);
            let (read, made) = (input.written_len(), output.written_len());
            self.input.advance(read);
            self.is_full = made == PIECE_BYTES_MAX;
            match ends {
                Ok(true) => self.end_member()?,
                Ok(false) if made == 0 && read == 0 && !self.input.is_empty() => {
                    return Err(self.corrupt("it leads nowhere"));
                }
                // Without input and without room there was nothing left to say.
                Err(_) if self.input.is_empty() && read == 0 && made == 0 => {}
                Ok(false) => {}
                Err(error) => return Err(self.corrupt(&error.to_string())),
            }
            if made > 0 {
                buffer.truncate(made);
                return Ok(Some(buffer.freeze()));
            }
        }
        Ok(None)
    }

    fn begin(&mut self) -> Result<(), Undecodable> {
        match self.state {
            State::Before if self.encoding == "brotli" && self.input[0] & 0x7f == BROTLI_LARGE_WINDOW => {
                return Err(self.corrupt("its window is larger than 16 MiB"));
            }
            State::Before | State::Between => self.state = State::Within,
            State::Within => {}
            State::Complete => return Err(Undecodable::GoesOn { encoding: self.encoding }),
        }
        Ok(())
    }

    fn end_member(&mut self) -> Result<(), Undecodable> {
        self.is_full = false;
        self.state = if self.encoding == "brotli" { State::Complete } else { State::Between };
        self.decoder.reinit().map_err(|error| self.corrupt(&error.to_string()))
    }

    /// Nothing more will come.
    fn finish(&self) -> Result<(), Undecodable> {
        match self.state {
            State::Before | State::Between | State::Complete => Ok(()),
            State::Within => Err(Undecodable::Truncated { encoding: self.encoding }),
        }
    }

    fn corrupt(&self, why: &str) -> Undecodable {
        Undecodable::Corrupt { encoding: self.encoding, why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests;
