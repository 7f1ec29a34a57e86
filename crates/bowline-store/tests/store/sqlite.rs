//! What SQLite adds to the suite.
