//! The records of a CSV document, found while the document arrives.

use std::{collections::VecDeque, mem};

use bytes::{Buf, Bytes};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::memchr2_iter;
use serde::de::DeserializeOwned;

use super::{Error, ITEM_BYTES_MAX, Split, record::Record};

/// Most fields of a record: four times what spreadsheets can hold.
pub const FIELDS_MAX: usize = 65_536;

/// How much room a record has at first, in bytes of its fields and in fields. Both grow.
const ROOM_BYTES: usize = 4096;
const ROOM_FIELDS: usize = 64;
/// What a document may begin with: a mark that it is UTF-8.
const MARK: [u8; 3] = *b"\xef\xbb\xbf";

/// Splits CSV (RFC 4180) into its records.
///
/// The first record names the fields: each further one is read into a struct (or map) by these names, and must have as
/// many fields. Without a header ([`no_header`](CsvRecords::no_header)) records are read by position, into a tuple, a
/// list, or a struct whose fields stand in that order.
///
/// A record ends with LF, CRLF or CR; the last one may end with the input. Empty lines are skipped, a byte order mark
/// too. A field in quotes may hold delimiters, line ends, and quotes that are doubled; quotes within another field are
/// taken as they are. Text is UTF-8.
///
/// Every field is text. It is read as a number or `true`/`false` where the type asks for one, spaces around it
/// aside; an empty field is `None` to an `Option`. (So a type that asks for nothing, as `serde_json::Value` or what
/// `#[serde(flatten)]` holds, receives text: `007` stays `007`.) Enums without data are read by their names.
///
/// A record that does not fit is an [`Error::Item`], which names its line, and the next one follows. `index` counts
/// records without the header.
///
/// # Lines of a spreadsheet
/// ```
/// use bowline_client::stream::{CsvRecords, Split};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, PartialEq, Debug)]
/// struct Price { sku: String, price: f64, note: Option<String> }
///
/// let mut prices = CsvRecords::new().delimiter(b';');
/// prices.feed("sku;price;note\r\nA-1;9.5;\r\nA-2;\"1".into());
/// assert_eq!(prices.next_item()?, Some(Price { sku: "A-1".into(), price: 9.5, note: None }));
/// assert_eq!(prices.next_item::<Price>()?, None, "more is needed");
/// prices.feed("0\";\"a \"\"b\"\"; c\"".into());
/// prices.end();
/// assert_eq!(prices.next_item()?, Some(Price { sku: "A-2".into(), price: 10.0, note: Some("a \"b\"; c".into()) }));
/// # Ok::<(), bowline_client::stream::Error>(())
/// ```
#[derive(Debug)]
pub struct CsvRecords {
    delimiter: u8,
    quote: u8,
    reader: Reader,
    begins: Begins,
    has_header: bool,
    /// The names of the fields, once they are known.
    names: Option<Vec<String>>,
    item_bytes_max: usize,
    chunks: VecDeque<Bytes>,
    /// The record so far as it was written, in earlier chunks.
    begun: Vec<u8>,
    /// The fields of the record so far, one behind the other, and where each ends.
    fields: Vec<u8>,
    fields_bytes: usize,
    ends: Vec<usize>,
    ends_count: usize,
    place: Place,
    /// Of the record's first byte.
    start: Place,
    count: u64,
    ended: bool,
    failed: Option<Error>,
}

/// What is known of the document's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    /// So many bytes of a mark were seen.
    Mark(usize),
    /// The reader has seen nothing: it would take what looks like a mark, if that is in one chunk.
    Unread,
    Read,
}

/// Of a byte in the document.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    /// Counted from 1.
    line: u64,
    /// The byte before is a carriage return: an LF here belongs to it.
    after_return: bool,
}

impl Place {
    fn pass(&mut self, bytes: &[u8]) {
        for at in memchr2_iter(b'\r', b'\n', bytes) {
            let follows_return = if at == 0 { self.after_return } else { bytes[at - 1] == b'\r' };
            if bytes[at] == b'\r' || !follows_return {
                self.line += 1;
            }
        }
        self.offset += bytes.len() as u64;
        self.after_return = bytes.last().map_or(self.after_return, |byte| *byte == b'\r');
    }
}

impl CsvRecords {
    /// Records separated by commas, below a header.
    pub fn new() -> Self {
        let place = Place { offset: 0, line: 1, after_return: false };
        Self {
            delimiter: b',',
            quote: b'"',
            reader: Reader::new(),
            begins: Begins::Mark(0),
            has_header: true,
            names: None,
            item_bytes_max: ITEM_BYTES_MAX,
            chunks: VecDeque::new(),
            begun: vec![],
            fields: vec![0; ROOM_BYTES],
            fields_bytes: 0,
            ends: vec![0; ROOM_FIELDS],
            ends_count: 0,
            place,
            start: place,
            count: 0,
            ended: false,
            failed: None,
        }
    }

    /// What separates fields: `,` unless said; often `;` or a tab.
    ///
    /// # Semicolons
    /// ```
    /// use bowline_client::stream::{CsvRecords, Split};
    ///
    /// let mut records = CsvRecords::new().delimiter(b'\t').no_header();
    /// records.feed("A-1\t9.5\n".into());
    /// assert_eq!(records.next_item()?, Some(("A-1".to_owned(), 9.5)));
    /// # Ok::<(), bowline_client::stream::Error>(())
    /// ```
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self.renewed()
    }

    /// What a field is put in that holds delimiters: `"` unless said.
    ///
    /// # Single quotes
    /// ```
    /// use bowline_client::stream::{CsvRecords, Split};
    ///
    /// let mut records = CsvRecords::new().quote(b'\'').no_header();
    /// records.feed("'a, b',c\n".into());
    /// assert_eq!(records.next_item()?, Some(["a, b".to_owned(), "c".to_owned()]));
    /// # Ok::<(), bowline_client::stream::Error>(())
    /// ```
    pub fn quote(mut self, quote: u8) -> Self {
        self.quote = quote;
        self.renewed()
    }

    fn renewed(mut self) -> Self {
        self.reader = ReaderBuilder::new().delimiter(self.delimiter).quote(self.quote).build();
        self
    }

    /// The first record is one as all others.
    ///
    /// # Tuples
    /// ```
    /// use bowline_client::stream::{CsvRecords, Split};
    ///
    /// let mut records = CsvRecords::new().no_header();
    /// records.feed("1,2,3\n".into());
    /// assert_eq!(records.next_item()?, Some(vec![1, 2, 3]));
    /// # Ok::<(), bowline_client::stream::Error>(())
    /// ```
    pub fn no_header(mut self) -> Self {
        self.has_header = false;
        self
    }

    /// The longest record as it is written, in bytes and without its end: 16 MiB unless said.
    ///
    /// # Short records
    /// ```
    /// let records = bowline_client::stream::CsvRecords::new().item_bytes_max(64 * 1024);
    /// ```
    pub fn item_bytes_max(mut self, bytes: usize) -> Self {
        self.item_bytes_max = bytes;
        self
    }

    /// The next record, header or not, as it is written. `None`: the input is used up.
    fn record(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.begin() {
            return Ok(None);
        }
        loop {
            if self.begun.is_empty()
                && self.ends_count == 0
                && self.fields_bytes == 0
                && !self.skip_line_ends()
            {
                return Ok(None);
            }
            let Some(chunk) = self.chunks.front() else {
                return if self.ended { self.last_record() } else { Ok(None) };
            };
            let window =
                if self.begins == Begins::Unread { &chunk[..chunk.len().min(2)] } else { &chunk[..] };
            self.begins = Begins::Read;
            let (result, read, bytes, ends) = self.reader.read_record(
                window,
                &mut self.fields[self.fields_bytes..],
                &mut self.ends[self.ends_count..],
            );
            self.fields_bytes += bytes;
            self.ends_count += ends;
            let part = self.take(read);
            match result {
                ReadRecordResult::Record => return self.complete(part).map(Some),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.more_ends()?,
            }
            self.begun.extend_from_slice(&part);
            self.check(self.begun.len())?;
        }
    }

    /// Looks for the mark at the beginning. `false`: more is needed.
    fn begin(&mut self) -> bool {
        while let Begins::Mark(seen) = self.begins {
            match self.chunks.front() {
                Some(chunk) if seen < MARK.len() && chunk[0] == MARK[seen] => {
                    self.take(1);
                    self.begins = Begins::Mark(seen + 1);
                }
                None if !self.ended => return seen == MARK.len(),
                Some(_) | None => {
                    if (1..MARK.len()).contains(&seen) {
                        self.chunks.push_front(Bytes::from_static(&MARK).slice(..seen));
                        self.place.offset = 0;
                    }
                    self.begins = Begins::Unread;
                }
            }
        }
        true
    }

    /// Before a record. `false`: there is nothing before it yet but line ends.
    fn skip_line_ends(&mut self) -> bool {
        while let Some(chunk) = self.chunks.front() {
            let ends = chunk.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let is_all = ends == chunk.len();
            self.take(ends);
            if !is_all {
                break;
            }
        }
        self.start = self.place;
        !self.chunks.is_empty()
    }

    fn take(&mut self, bytes: usize) -> Bytes {
        let Some(chunk) = self.chunks.front_mut() else { return Bytes::new() };
        let part = chunk.split_to(bytes);
        if !chunk.has_remaining() {
            self.chunks.pop_front();
        }
        self.place.pass(&part);
        part
    }

    fn more_ends(&mut self) -> Result<(), Error> {
        if self.ends.len() >= FIELDS_MAX {
            let problem = format!("more than {FIELDS_MAX} fields on line {}", self.start.line);
            return Err(Error::Malformed { format: "CSV", offset: self.start.offset, problem });
        }
        self.ends.resize(self.ends.len() * 2, 0);
        Ok(())
    }

    fn check(&self, bytes: usize) -> Result<(), Error> {
        let bytes_max = self.item_bytes_max;
        if bytes > bytes_max {
            return Err(Error::TooLarge { index: self.count, offset: self.start.offset, bytes_max });
        }
        Ok(())
    }

    fn complete(&mut self, part: Bytes) -> Result<Bytes, Error> {
        let mut record = if self.begun.is_empty() {
            part
        } else {
            self.begun.extend_from_slice(&part);
            mem::take(&mut self.begun).into()
        };
        if record.ends_with(b"\n") || record.ends_with(b"\r") {
            record.truncate(record.len() - 1);
        }
        self.check(record.len())?;
        Ok(record)
    }

    /// The input ended within a record: a line end completes it, if it is not in quotes.
    fn last_record(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let (result, _, bytes, ends) = self.reader.read_record(
                b"\n",
                &mut self.fields[self.fields_bytes..],
                &mut self.ends[self.ends_count..],
            );
            self.fields_bytes += bytes;
            self.ends_count += ends;
            match result {
                ReadRecordResult::Record => return self.complete(Bytes::new()).map(Some),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {
                    let expected = "the closing quote of a field";
                    return Err(Error::Truncated { offset: self.place.offset, expected });
                }
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.more_ends()?,
            }
        }
    }

    /// The next record that is no header, as it is written. Its fields are at hand until the next one is read.
    fn next_record(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let record = self.record_below_header();
        record.inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn record_below_header(&mut self) -> Result<Option<Bytes>, Error> {
        if self.has_header && self.names.is_none() {
            if self.record()?.is_none() {
                return if self.ended { Err(self.no_header_found()) } else { Ok(None) };
            }
            let not_utf8 = Error::NotUtf8 { offset: self.start.offset };
            let header = Record::new(&self.fields[..self.fields_bytes], &self.ends[..self.ends_count], None);
            let header = header.ok_or(not_utf8)?;
            if header.fields().next().is_some_and(|name| name.starts_with('<')) {
                let problem = "it begins as HTML or XML does".to_owned();
                return Err(Error::Malformed { format: "CSV", offset: self.start.offset, problem });
            }
            self.names = Some(header.fields().map(str::to_owned).collect());
            self.forget();
        }
        let record = self.record()?;
        if record.is_some() {
            self.count += 1;
        }
        Ok(record)
    }

    fn no_header_found(&self) -> Error {
        let problem = "it is empty, where a header was expected".to_owned();
        Error::Malformed { format: "CSV", offset: self.place.offset, problem }
    }

    /// The fields of the record that was read.
    fn forget(&mut self) {
        self.fields_bytes = 0;
        self.ends_count = 0;
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        let (fields, ends) = (&self.fields[..self.fields_bytes], &self.ends[..self.ends_count]);
        let names = self.names.as_deref();
        if let Some(names) = names
            && names.len() != ends.len()
        {
            return Err(format!("has {} fields where the header names {}", ends.len(), names.len()));
        }
        let record = Record::new(fields, ends, names).ok_or("is not UTF-8: ask for the export in UTF-8")?;
        T::deserialize(record).map_err(|error| format!("does not fit: {error}"))
    }
}

impl Default for CsvRecords {
    fn default() -> Self {
        Self::new()
    }
}

impl Split for CsvRecords {
    const FORMAT: &'static str = "CSV";

    fn anew(&self) -> Self {
        let Self { delimiter, quote, has_header, item_bytes_max, .. } = *self;
        Self { has_header, item_bytes_max, ..Self::new().delimiter(delimiter).quote(quote) }
    }

    fn feed(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>, Error> {
        let record = self.next_record()?;
        if record.is_some() {
            self.forget();
        }
        Ok(record)
    }

    fn next_item<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        if self.next_record()?.is_none() {
            return Ok(None);
        }
        let value = self.read();
        self.forget();
        let Place { offset, line, .. } = self.start;
        value.map(Some).map_err(|problem| Error::Item {
            index: self.count - 1,
            offset,
            problem: format!("on line {line}, {problem}"),
        })
    }
}
