//! The items of an answer that is too large to hold, for a loop in a run.

use std::{fmt, marker::PhantomData, time::Duration};

use bowline_model::{Attempt, Effect, Opened, Recorded, Shape, Streaming, Verdict};

use crate::{Call, Streamed, stream::Split};

/// The items of an answer, described: what [`Call::streaming`] makes of a call, and `cx.for_each` goes over.
///
/// Nothing is sent until a loop needs items.
///
/// # Lines of an export
/// ```
/// use bowline_client::{Api, stream::JsonLines};
///
/// let crm = Api::new("crm").base_url("https://crm.example.com");
/// let events = crm.get("/events.ndjson").streaming::<serde_json::Value, _>(JsonLines::new());
/// # let _ = events;
/// ```
#[must_use = "this is only a description: give it to a loop"]
pub struct Flowing<T, P> {
    call: Call,
    form: P,
    item: PhantomData<fn() -> T>,
}

impl Call {
    /// The items that `form` finds in the call's answer, for a loop in a run: `cx.for_each("import", items, 16, ..).keyed(..)`.
    /// Outside of runs: [`stream_with`](Call::stream_with).
    ///
    /// The answer is read as the loop works on its items, and no faster: until a remote loses patience. After that, and after
    /// a crash, the call is sent again, and what had been read is skipped: so the answer must come in the same order each time
    /// (the loop looks whether the item before its place is still the same, and fails if not). An item that does not fit `T`
    /// fails the loop; where single bad ones are to be expected, read a `serde_json::Value`, and turn it into what it should be
    /// within the loop: then it is an item that failed.
    ///
    /// An answer may take as long to begin as [`Api::attempt_timeout`](crate::Api::attempt_timeout) says. Once it has begun the
    /// call counts no longer as under way where the Api's concurrency is limited: items may make calls to the same Api.
    ///
    /// # Durability
    /// What has been read is recorded before an item of it begins: up to 256 items or 512 KiB at a time.
    ///
    /// # Prices of a shop
    /// ```
    /// use bowline_client::{Api, stream::CsvRecords};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Price { sku: String, price: f64 }
    ///
    /// let shop = Api::new("shop").base_url("https://shop.example.com");
    /// let prices = shop.get("/prices.csv").streaming::<Price, _>(CsvRecords::new().delimiter(b';'));
    /// # let _ = prices;
    /// // cx.for_each("import", prices, 16, async |cx, price| { .. }).keyed(|price| price.sku.clone()).await?;
    /// ```
    pub fn streaming<T, P>(self, form: P) -> Flowing<T, P>
    where
        T: Recorded + 'static,
        P: Split + Send + Sync + 'static,
    {
        Flowing { call: self, form, item: PhantomData }
    }
}

impl<T, P> Streaming for Flowing<T, P>
where
    T: Recorded + 'static,
    P: Split + Send + Sync + 'static,
{
    type Item = T;
    type Items = Streamed<T, P>;

    fn shape(&self) -> Shape {
        Effect::shape(&self.call)
    }

    fn open_timeout(&self) -> Option<Duration> {
        Some(self.call.api().settings().attempt_timeout)
    }

    async fn open(&self, _: u64, attempt: &Attempt) -> Verdict<Opened<Streamed<T, P>>> {
        let verdict = Streamed::open(&self.call, attempt, self.form.anew()).await;
        verdict.map(|mut items| {
            items.is_read_among_calls();
            Opened { items, begins_at: 0 }
        })
    }
}

/// Shows the call.
impl<T, P> fmt::Debug for Flowing<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flowing").field("call", &self.call).finish_non_exhaustive()
    }
}
