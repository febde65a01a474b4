//! A verdict for people: the answer in two sentences, then what it rests on. All forms are made from the same
//! [`Verdict`](crate::model::finding::Verdict), so that they cannot say different things.

mod curve;
pub mod html;
pub mod markdown;
pub mod text;
mod words;

pub use words::{Subject, lead};
