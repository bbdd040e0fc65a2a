//! Chapters for a reader; nothing here is code to call.

pub mod backends;
