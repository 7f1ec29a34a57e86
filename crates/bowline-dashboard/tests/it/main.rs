//! What operators rely on: decisions on literal journals, and the API over a real socket and a real store.

mod decide;
mod journal;
mod timeline;
