//! What people see and say: operator commands and the admin API.
