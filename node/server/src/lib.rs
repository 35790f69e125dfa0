//! (being written)
pub mod config;
pub mod log;
pub mod process;
