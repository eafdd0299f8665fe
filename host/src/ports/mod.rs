//! What the core asks of the outside: one trait a file. Implementations live in `io`.

pub mod feed;
pub mod files;
pub mod geoip;
pub mod group;
pub mod http;
pub mod indexer;
pub mod log;
pub mod qumulo;
