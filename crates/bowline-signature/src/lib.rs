//! Verifies and signs webhooks of every provider: pure, useful alone.
