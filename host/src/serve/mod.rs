//! What the host answers over HTTP: the ingestion endpoint, and the page that shows a pipeline.
//!
//! `server` holds connections within bounds, `access` says who may, `endpoint` and `body` give out batches,
//! `board` and `edits` are the page's numbers, `swap` changes plugins, `prometheus` says what they use.

mod access;
mod board;
mod body;
mod edits;
mod endpoint;
mod prometheus;
mod range;
mod server;
mod swap;

pub use access::Access;
pub use board::{Board, Hop, board};
pub use edits::EditCounter;
pub use endpoint::{Endpoint, endpoint};
pub use prometheus::{metrics, record_metrics};
pub use server::{Server, ServerLimits, ServerSettings, TlsFiles};
pub use swap::{Swap, swaps};
