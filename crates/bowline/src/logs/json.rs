//! Logs as lines of JSON, each written in one pass.
//!
//! What comes in: events and the spans around them. What goes out: one line and one write for each event:
//!
//! ```json
//! {"timestamp":"2026-11-22T10:00:00.123456Z","level":"INFO","message":"run completed","target":"bowline_engine::drive","spans":[{"run":"17","workflow":"stripe-to-crm","name":"run"}]}
//! ```
//!
//! The event's fields are beside its message; spans come outermost first. A span's fields are made JSON once, when it
//! begins, and copied into each line. What must never be here: a field that nobody gave to an event or a span.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    io::Write as _,
};

use bowline_model::{Clock, SystemClock};
use jiff::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    fmt::MakeWriter,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

/// A line's buffer is kept for the next line unless it grew larger than this.
const LINE_BYTES_KEPT_MAX: usize = 64 * 1024;

/// What the fields of most spans take: room for them is asked for once.
const SPAN_BYTES: usize = 128;

/// What the `log` crate's records are called, and where they say who really wrote them.
const LOG_TARGET: &str = "log";
const LOG_FIELDS: &str = "log.";

/// Writes each event as a line of JSON.
pub(super) struct JsonLines<W> {
    out: W,
}

impl<W> JsonLines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }
}

/// The fields of a span, each with a comma behind it.
struct SpanFields(Vec<u8>);

thread_local! {
    static LINE: RefCell<Line> = RefCell::default();
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields { json: Vec::with_capacity(SPAN_BYTES), log: None };
        attributes.record(&mut fields);
        span.extensions_mut().replace(SpanFields(fields.json));
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(SpanFields(kept)) = span.extensions_mut().get_mut() {
            replace_fields(kept, fields.json);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => self.write(&mut line, event, &context),
            // A value that logs while it is shown.
            Err(_) => self.write(&mut Line::default(), event, &context),
        });
    }
}

impl<W> JsonLines<W> {
    fn write<S>(&self, line: &mut Line, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
        W: for<'writer> MakeWriter<'writer> + 'static,
    {
        let meta = event.metadata();
        line.begin(SystemClock.now(), meta.level().as_str());
        let mut fields = Fields {
            json: std::mem::take(&mut line.json),
            log: (meta.target() == LOG_TARGET).then(String::new),
        };
        event.record(&mut fields);
        line.json = fields.json;
        let target = fields.log.as_deref().filter(|target| !target.is_empty()).unwrap_or(meta.target());
        line.json.extend_from_slice(b"\"target\":");
        text(&mut line.json, target);
        if let Some(scope) = context.event_scope(event) {
            line.json.extend_from_slice(b",\"spans\":[");
            scope.from_root().for_each(|span| line.span(&span));
            line.json.pop_if(|last| *last == b',');
            line.json.push(b']');
        }
        line.json.extend_from_slice(b"}\n");
        // Nobody is left to be told that logs cannot be written.
        let _ = self.out.make_writer_for(meta).write_all(&line.json);
        line.json.clear();
        line.json.shrink_to(LINE_BYTES_KEPT_MAX);
    }
}

/// A line in the making.
#[derive(Default)]
struct Line {
    json: Vec<u8>,
    /// The last line's second, and how it is written: `2026-11-22T10:00:00`.
    second: i64,
    date: String,
}

impl Line {
    fn begin(&mut self, now: Timestamp, level: &str) {
        let micros = now.as_microsecond();
        let (second, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        if second != self.second || self.date.is_empty() {
            self.second = second;
            self.date.clear();
            let whole = Timestamp::from_second(second).unwrap_or_default();
            // Writing to a String does not fail.
            let _ = write!(self.date, "{whole:.0}");
            self.date.truncate(self.date.trim_end_matches('Z').len());
        }
        // What a value left that panicked while it was shown.
        self.json.clear();
        self.json.extend_from_slice(b"{\"timestamp\":\"");
        self.json.extend_from_slice(self.date.as_bytes());
        let _ = write!(self.json, ".{micros:06}Z\",\"level\":\"{level}\",");
    }

    fn span<'a, S: LookupSpan<'a>>(&mut self, span: &SpanRef<'a, S>) {
        self.json.push(b'{');
        if let Some(SpanFields(fields)) = span.extensions().get() {
            self.json.extend_from_slice(fields);
        }
        self.json.extend_from_slice(b"\"name\":");
        text(&mut self.json, span.name());
        self.json.extend_from_slice(b"},");
    }
}

/// Fields as JSON, each with a comma behind it.
#[derive(Default)]
struct Fields {
    json: Vec<u8>,
    /// The real target of a record of the `log` crate; `None` for what is none.
    log: Option<String>,
}

impl Fields {
    fn name(&mut self, field: &Field) {
        let name = field.name();
        text(&mut self.json, name.strip_prefix("r#").unwrap_or(name));
        self.json.push(b':');
    }

    /// Whether the field is of the `log` crate's own, and not for people.
    fn is_of_log(&self, field: &Field) -> bool {
        self.log.is_some() && field.name().starts_with(LOG_FIELDS)
    }

    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        if !self.is_of_log(field) {
            self.name(field);
            // Writing to a Vec does not fail.
            let _ = write!(self.json, "{value},");
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.is_of_log(field) {
            if field.name() == "log.target" {
                self.log = Some(value.to_owned());
            }
            return;
        }
        self.name(field);
        text(&mut self.json, value);
        self.json.push(b',');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.is_of_log(field) {
            return;
        }
        self.name(field);
        self.json.push(b'"');
        // A value that cannot be shown is shown as far as it got.
        let _ = write!(Escaped(&mut self.json), "{value:?}");
        self.json.extend_from_slice(b"\",");
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            // As Debug has it: `1.0`, not `1`, and a number to JSON in all its forms.
            self.plain(field, format_args!("{value:?}"));
        } else {
            self.plain(field, "null");
        }
    }
}

/// Fields recorded later stand for earlier ones of the same name. Rare, so the price is here.
fn replace_fields(kept: &mut Vec<u8>, mut later: Vec<u8>) {
    type Object = serde_json::Map<String, serde_json::Value>;
    let read = |fields: &[u8]| -> Option<Object> {
        let fields = fields.strip_suffix(b",").unwrap_or(fields);
        serde_json::from_slice(&[b"{", fields, b"}"].concat()).ok()
    };
    if kept.is_empty() {
        *kept = later;
        return;
    }
    let (Some(mut all), Some(new)) = (read(kept), read(&later)) else { return };
    all.extend(new);
    later.clear();
    for (name, value) in &all {
        text(&mut later, name);
        let _ = write!(later, ":{value},");
    }
    *kept = later;
}

fn text(json: &mut Vec<u8>, text: &str) {
    json.push(b'"');
    escape(json, text);
    json.push(b'"');
}

/// Writes into a string of JSON.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// RFC 8259 §7: the quote, the backslash and what is below the space.
fn escape(json: &mut Vec<u8>, text: &str) {
    let special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    let bytes = text.as_bytes();
    // Most texts hold none. Without an early end the look at all bytes is a few wide instructions.
    if !bytes.iter().fold(false, |found, byte| found | special(*byte)) {
        json.extend_from_slice(bytes);
        return;
    }
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| special(**byte)) {
        json.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' | b'\\' => json.extend_from_slice(&[b'\\', *byte]),
            b'\n' => json.extend_from_slice(b"\\n"),
            b'\r' => json.extend_from_slice(b"\\r"),
            b'\t' => json.extend_from_slice(b"\\t"),
            // Writing to a Vec does not fail.
            _ => drop(write!(json, "\\u{byte:04x}")),
        }
    }
    json.extend_from_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests;
