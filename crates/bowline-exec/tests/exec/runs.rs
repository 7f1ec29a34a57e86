//! Programs in real runs.
