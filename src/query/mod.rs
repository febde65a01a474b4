//! The reading side: an opened capture, whoever holds it, its rows, its bytes, and what a person is shown of them.
//!
//! - [`capture`]: finds a capture and opens it: finished, running, or killed.
//! - [`source`]: what all readers need of it; [`mod@list`], [`mod@show`]: rows with their joins; [`raw`]: exact bytes.
//! - [`contents`]: all exchanges with their bytes, all messages of sockets: for exports.
//! - [`details`]: everything about one id, for people.
//! - [`columns`]: captures as what a diagnosis reads; [`dialogue`]: which messages a server refuses.
//! - [`wire`] and [`client`]: the same over a running capture's socket.
//! - [`filter`]: the language of `--filter`.
//!
//! Nothing here writes into a capture, and nothing opens its catalogue: the tables and segments say it all, and sled
//! admits one process only.

pub mod capture;
pub mod client;
pub mod columns;
pub mod contents;
pub mod details;
pub mod dialogue;
pub mod filter;
pub mod list;
pub mod raw;
pub mod show;
pub mod source;
pub mod wire;

mod bodies;
mod bytes;
mod error;
mod judge;
mod known;
mod order;
mod secrets;
mod text;

pub use bytes::{Copied, Missing};
pub use capture::{Capture, Gone, Standing};
pub use details::{
    ConnectionDetails, Details, Excerpt, ExchangeDetails, FrameDetails, Message, SessionDetails, gather, row,
};
pub use dialogue::{Dialogue, Says};
pub use error::Error;
pub use filter::Filter;
pub use known::collect;
pub use list::{About, Each, Query, Secrets, list};
pub use raw::Part;
pub use show::show;
pub use source::{Kind, Shelf};
