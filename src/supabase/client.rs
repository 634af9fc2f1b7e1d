//! A client of the Management API for one token.

mod billing;
mod exchange;
mod http;
mod keys;
mod listing;
mod operations;
#[cfg(test)]
mod tests;

pub use http::Client;
pub use listing::PAGE;
