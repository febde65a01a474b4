//! Output for people: lists, pages, lines. It turns rows and details into text that fits the terminal and that nothing
//! from the network can act through; it reads nothing and writes only to the writer that it is given.

pub mod connection;
pub mod exchange;
pub mod frame;
pub mod lines;
pub mod rows;
pub mod session;
pub mod style;
pub mod table;
pub mod text;
pub mod units;

mod head;
mod page;
mod waterfall;

use crate::{
    model::{WallAnchor, rows::FlagRow},
    query::Details,
};

use page::Page;
use style::{Ink, Look};

/// The page about one id.
pub fn details(details: &Details, anchor: WallAnchor, look: Look) -> String {
    match details {
        Details::Connection(details) => connection::page(details, anchor, look),
        Details::Exchange(details) => exchange::page(details, anchor, look),
        Details::Frame(details) => frame::page(details, anchor, look),
        Details::Session(details) => session::page(details, anchor, look),
    }
}

/// Flags with their messages, the worst first.
fn flags(page: &mut Page, flags: &[FlagRow]) {
    if flags.is_empty() {
        return;
    }
    page.section("Flags");
    let mut sorted: Vec<&FlagRow> = flags.iter().collect();
    sorted.sort_by_key(|flag| (badness(&flag.severity), flag.at_ns));
    for flag in sorted {
        let ink = Ink::of_severity(&flag.severity);
        page.pair_in(ink, &flag.severity, format!("{} on {}", flag.rule, flag.subject));
        page.pair("", &flag.message);
    }
}

/// 0 is the worst.
pub fn badness(severity: &str) -> u8 {
    match severity {
        "error" => 0,
        "warning" => 1,
        _ => 2,
    }
}
