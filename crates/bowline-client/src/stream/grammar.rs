//! One JSON value after another (RFC 8259), checked byte by byte and built never.
//!
//! What comes in: bytes, in pieces of any size. What goes out: where the value ends, or the first byte that does not
//! fit. What must never happen here: recursion, a look back, or a byte that is looked at twice.

/// What a byte told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not fit.
    Unexpected,
    /// It opens one level too many.
    TooDeep,
}

/// Where within a value the last piece ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before a value.
    Value,
    /// Behind `[`.
    FirstElement,
    /// Behind `{`.
    FirstName,
    /// Behind a comma in an object.
    Name,
    /// Behind a name.
    Colon,
    /// Behind a value in an array or an object.
    After,
    Text(Text),
    /// Within a text that is a name.
    NameText(Text),
    Number(Number),
    /// Within `true`, `false` or `null`: what is left of it.
    Literal(&'static [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Plain,
    /// Behind a backslash.
    Escape,
    /// So many hexadecimal digits of `\u` are missing.
    Hex(u8),
}

/// Named after what came last (RFC 8259 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    /// A leading zero: no digit may follow.
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

/// Reads one value.
#[derive(Debug)]
pub(super) struct Scan {
    at: At,
    open: Open,
    levels_max: usize,
}

impl Scan {
    pub(super) fn new() -> Self {
        Self { at: At::Value, open: Open::default(), levels_max: 0 }
    }

    /// Begins a new value, in which at most `levels_max` arrays and objects are open at a time.
    pub(super) fn begin(&mut self, levels_max: usize) {
        self.at = At::Value;
        self.open.clear();
        self.levels_max = levels_max;
    }

    /// Begins behind the opening quote of a text.
    pub(super) fn begin_text(&mut self) {
        self.begin(0);
        self.at = At::Text(Text::Plain);
    }

    /// Reads on. Returns how many bytes belong to the value once it is complete; a number needs to see what follows it.
    ///
    /// # Errors
    /// The index of the byte that does not fit.
    pub(super) fn run(&mut self, bytes: &[u8]) -> Result<Option<usize>, (usize, Fault)> {
        let mut next = 0;
        while let Some(&byte) = bytes.get(next) {
            match self.at {
                At::Text(text) | At::NameText(text) => {
                    let (read, text) =
                        text_on(text, &bytes[next..]).map_err(|fits| (next + fits, Fault::Unexpected))?;
                    next += read;
                    match (text, self.at) {
                        (Some(text), At::NameText(_)) => self.at = At::NameText(text),
                        (Some(text), _) => self.at = At::Text(text),
                        (None, At::NameText(_)) => self.at = At::Colon,
                        (None, _) if self.ends() => return Ok(Some(next)),
                        (None, _) => {}
                    }
                }
                At::Number(number) => match number.then(byte) {
                    Some(number) => {
                        self.at = At::Number(number);
                        next += 1;
                    }
                    None if !number.is_complete() => return Err((next, Fault::Unexpected)),
                    // What follows the number is none of its bytes.
                    None if self.ends() => return Ok(Some(next)),
                    None => {}
                },
                At::Literal([first, rest @ ..]) if *first == byte => {
                    next += 1;
                    self.at = At::Literal(rest);
                    if rest.is_empty() && self.ends() {
                        return Ok(Some(next));
                    }
                }
                At::Literal(_) => return Err((next, Fault::Unexpected)),
                At::Value | At::FirstElement | At::FirstName | At::Name | At::Colon | At::After => {
                    if !is_space(byte) && self.mark(byte).map_err(|fault| (next, fault))? {
                        return Ok(Some(next + 1));
                    }
                    next += 1;
                }
            }
        }
        Ok(None)
    }

    /// A byte between values. `true` if it ends the whole value.
    fn mark(&mut self, byte: u8) -> Result<bool, Fault> {
        self.at = match (self.at, byte) {
            (At::FirstElement, b']') | (At::FirstName, b'}') => return Ok(self.close()),
            (At::After, b']' | b'}') if self.open.is_object() == (byte == b'}') => return Ok(self.close()),
            (At::After, b',') if self.open.is_object() => At::Name,
            (At::After, b',') | (At::Colon, b':') => At::Value,
            (At::FirstName | At::Name, b'"') => At::NameText(Text::Plain),
            (At::Value | At::FirstElement, b'{' | b'[') => self.enter(byte == b'{')?,
            (At::Value | At::FirstElement, b'"') => At::Text(Text::Plain),
            (At::Value | At::FirstElement, b't') => At::Literal(b"rue"),
            (At::Value | At::FirstElement, b'f') => At::Literal(b"alse"),
            (At::Value | At::FirstElement, b'n') => At::Literal(b"ull"),
            (At::Value | At::FirstElement, b'-') => At::Number(Number::Minus),
            (At::Value | At::FirstElement, b'0') => At::Number(Number::Zero),
            (At::Value | At::FirstElement, b'1'..=b'9') => At::Number(Number::Digits),
            (
                At::Value
                | At::FirstElement
                | At::FirstName
                | At::Name
                | At::Colon
                | At::After
                | At::Text(_)
                | At::NameText(_)
                | At::Number(_)
                | At::Literal(_),
                _,
            ) => return Err(Fault::Unexpected),
        };
        Ok(false)
    }

    fn enter(&mut self, object: bool) -> Result<At, Fault> {
        if self.open.levels == self.levels_max {
            return Err(Fault::TooDeep);
        }
        self.open.push(object);
        Ok(if object { At::FirstName } else { At::FirstElement })
    }

    fn close(&mut self) -> bool {
        self.open.pop();
        self.ends()
    }

    /// A value ended: the whole one, or one within it.
    fn ends(&mut self) -> bool {
        self.at = At::After;
        self.open.levels == 0
    }

    /// What could stand where the last piece ended.
    pub(super) fn expected(&self) -> &'static str {
        match self.at {
            At::Value => "a value",
            At::FirstElement => "a value or `]`",
            At::FirstName => "a name in quotes or `}`",
            At::Name => "a name in quotes",
            At::Colon => "`:`",
            At::After if self.open.is_object() => "`,` or `}`",
            At::After => "`,` or `]`",
            At::Text(text) | At::NameText(text) => text.expected(),
            At::Number(number) => number.expected(),
            At::Literal(_) => "the rest of `true`, `false` or `null`",
        }
    }
}

impl Text {
    fn expected(self) -> &'static str {
        match self {
            Self::Plain => "`\"` or a character that is not a control character",
            Self::Escape => "one of `\"\\/bfnrtu` behind a backslash",
            Self::Hex(_) => "four hexadecimal digits behind `\\u`",
        }
    }
}

impl Number {
    /// What it is with one byte more; `None` if the byte is no part of it.
    fn then(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus | Self::Digits, b'0'..=b'9') => Self::Digits,
            (Self::Zero | Self::Digits, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Digits | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::Sign,
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            (
                Self::Minus
                | Self::Zero
                | Self::Digits
                | Self::Point
                | Self::Fraction
                | Self::E
                | Self::Sign
                | Self::Exponent,
                _,
            ) => return None,
        })
    }

    fn is_complete(self) -> bool {
        match self {
            Self::Zero | Self::Digits | Self::Fraction | Self::Exponent => true,
            Self::Minus | Self::Point | Self::E | Self::Sign => false,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::E => "a digit or a sign",
            Self::Zero | Self::Digits | Self::Fraction | Self::Exponent => "the number's end",
            Self::Minus | Self::Point | Self::Sign => "a digit",
        }
    }
}

/// Space between values (RFC 8259 §2).
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Reads on in a text, of which there is at least a byte: how many bytes, and where it is then; `None` behind its
/// closing quote.
fn text_on(text: Text, bytes: &[u8]) -> Result<(usize, Option<Text>), usize> {
    let byte = bytes[0];
    match text {
        Text::Plain => {
            let plain = plain_bytes(bytes);
            match bytes.get(plain) {
                None => Ok((plain, Some(Text::Plain))),
                Some(b'"') => Ok((plain + 1, None)),
                Some(b'\\') => Ok((plain + 1, Some(Text::Escape))),
                Some(_) => Err(plain),
            }
        }
        Text::Escape if byte == b'u' => Ok((1, Some(Text::Hex(4)))),
        Text::Escape if b"\"\\/bfnrt".contains(&byte) => Ok((1, Some(Text::Plain))),
        Text::Hex(1) if byte.is_ascii_hexdigit() => Ok((1, Some(Text::Plain))),
        Text::Hex(missing) if byte.is_ascii_hexdigit() => Ok((1, Some(Text::Hex(missing - 1)))),
        Text::Escape | Text::Hex(_) => Err(0),
    }
}

/// How many bytes stand before the first quote, backslash or control character: eight at a time, for most bytes of
/// most documents are such.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // Sets the high bit of bytes that are below `limit`. A borrow may set it above such a byte as well, never below.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let special = quote | backslash | below(word, 0x20);
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
    bytes.len() - rest.len() + plain
}

/// Which arrays and objects are open, a bit for each: set for an object.
#[derive(Debug, Default)]
struct Open {
    /// The innermost 64.
    inner: u64,
    /// Those around them, 64 at a time.
    outer: Vec<u64>,
    levels: usize,
}

impl Open {
    fn push(&mut self, object: bool) {
        if self.levels > 0 && self.levels.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(object);
        self.levels += 1;
    }

    fn pop(&mut self) {
        self.levels -= 1;
        self.inner >>= 1;
        if self.levels.is_multiple_of(64)
            && let Some(inner) = self.outer.pop()
        {
            self.inner = inner;
        }
    }

    fn is_object(&self) -> bool {
        self.inner & 1 == 1
    }

    fn clear(&mut self) {
        self.inner = 0;
        self.outer.clear();
        self.levels = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_plain_up_to_the_first_special_byte() {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for place in 0..40 {
                for filler in [b'a', b'!', b' ', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                    let mut bytes = [filler; 40];
                    bytes[place] = special;
                    assert_eq!(plain_bytes(&bytes), place, "{special} in {filler}");
                    assert_eq!(plain_bytes(&bytes[..place]), place);
                }
            }
        }
    }

    #[test]
    fn remembers_what_is_open_at_any_depth() {
        let kinds: Vec<bool> =
            (0..1000_u32).map(|level| level.wrapping_mul(2_654_435_761) & 8 == 0).collect();
        let mut open = Open::default();
        for again in 0..2 {
            kinds.iter().for_each(|object| open.push(*object));
            for object in kinds.iter().rev() {
                assert_eq!(open.is_object(), *object, "{again}, level {}", open.levels);
                open.pop();
            }
        }
        assert_eq!(open.levels, 0);
    }
}
