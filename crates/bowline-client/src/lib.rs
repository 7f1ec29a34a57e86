//! The API client of Bowline: one attempt, one verdict; useful alone.
