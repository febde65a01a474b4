//! The page about a frame.

use crate::{
    model::{WallAnchor, websocket::opcode},
    query::FrameDetails,
};

use super::{
    page::Page,
    rows,
    style::{Ink, Look},
    text, units,
};

/// The page.
pub fn page(details: &FrameDetails, anchor: WallAnchor, look: Look) -> String {
    let FrameDetails { row, flags } = details;
    let mut page = Page::new(look, anchor);
    let ink = if row.opcode == opcode::CLOSE { Ink::Odd } else { Ink::Strong };
    let name = rows::frame_type(row);
    page.title(&row.id.to_string(), ink, &format!("{name} frame from the {}, {}", row.from, units::size(row.bytes)));
    page.pair("belongs to", format!("exchange {} on connection {}", row.exchange, row.connection));
    page.pair("opcode", format!("{}{}", row.opcode, if row.fin { ", ends its message" } else { ", more follow" }));
    if row.compressed {
        page.pair("compressed", "yes (permessage-deflate)");
    }
    page.instant("arrived", row.arrived_ns);
    match row.written_ns {
        Some(written) => {
            page.instant("written", written);
            page.pair("held by the proxy", rows::held(row));
        }
        None => page.pair_in(Ink::Odd, "written", "not, as far as is known"),
    }
    super::flags(&mut page, flags);
    if let Some(text) = &row.text {
        page.section("Text");
        for line in text.lines() {
            page.line(&format!("  {}", text::clean(line)));
        }
    }
    page.into_text()
}
