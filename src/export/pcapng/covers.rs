//! What must not be read in the bytes of a connection: the places of secrets, with what stands there instead. Lengths stay
//! as they are, so that sequence numbers, `Content-Length` and frame headers hold.
//!
//! Bytes leave only where they are understood: what belongs to no exchange and no frame (HTTP/2, bytes behind a body, a
//! connection that began before the retained segments) is blanked, and so is a body or message whose secrets stand where
//! nothing can be put in their place (in a compressed body, over the border of two chunks).

use std::{collections::BTreeMap, ops::Range};

use crate::{
    decode::content::{Decoded, decode_content},
    export::{Error, Job, Report},
    model::{ConnectionId, Side, http::Head, rows::FrameRow},
    query::{
        self,
        contents::{Content, Fullness, MessageBytes, Sockets},
    },
    redact::{Scrubber, SecretPlace},
};

/// A coded body that grows beyond this is blanked.
const LARGEST_DECODED: usize = 64 << 20;
/// What stands in the place of bytes.
const BLANK: u8 = b'*';

/// What is known of one side's bytes, by offset. Both lists ascend.
#[derive(Default)]
pub(super) struct Bytes {
    /// Bytes that may leave, but for what is covered.
    understood: Vec<Range<u64>>,
    covers: Vec<Cover>,
    next_understood: usize,
    next_cover: usize,
}

struct Cover {
    range: Range<u64>,
    /// `None`: blank.
    place: Option<SecretPlace>,
    /// The mask as it stands at the range's begin.
    mask: [u8; 4],
}

/// All of a capture.
#[derive(Default)]
pub(super) struct Covers(BTreeMap<(u64, bool), Bytes>);

fn key(connection: ConnectionId, from: Side) -> (u64, bool) {
    (connection.0, from == Side::Server)
}

impl Covers {
    /// Reads the whole capture, whatever of it is exported: what is not wanted shares connections with what is.
    pub(super) fn read(job: &Job<'_>, report: &mut Report) -> Result<Self, Error> {
        let mut covers = Self::default();
        let mut scrubber = job.scrubber.borrow_mut();
        let mut sockets = BTreeMap::new();
        job.capture.contents(query::Query::default(), job.options.body_limit, &mut |content| {
            covers.exchange(&content, &mut scrubber, report);
            if content.row.websocket.is_some() {
                sockets.insert(content.row.id, content.row.connection);
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        if !sockets.is_empty() {
            let largest = usize::try_from(job.options.body_limit).unwrap_or(usize::MAX);
            let mut messages = Messages { decoders: Sockets::of(job.capture, largest)?, waiting: BTreeMap::new() };
            job.capture
                .frames(&|_| true, &mut |row, bytes| messages.frame(row, bytes, &mut covers, &mut scrubber, report))?;
        }
        for side in covers.0.values_mut() {
            side.settle();
        }
        Ok(covers)
    }

    fn exchange(&mut self, content: &Content, scrubber: &mut Scrubber, report: &mut Report) {
        let offsets = content.row.offsets;
        let connection = content.row.connection;
        let (sent, answered) = content.bodies();
        let request = (offsets.request_start, offsets.request_head_end, offsets.request_end);
        let side = self.0.entry(key(connection, Side::Client)).or_default();
        side.message(&content.request, content.request_head().as_ref(), &sent, request, scrubber, report);
        if content.row.proxy_made {
            return;
        }
        let response = (offsets.response_start, offsets.response_head_end, offsets.response_end);
        let side = self.0.entry(key(connection, Side::Server)).or_default();
        side.message(&content.response, content.response_head().as_ref(), &answered, response, scrubber, report);
    }

    /// Makes bytes that stand at `offset` such that they may leave. To be called with ascending offsets for each side.
    pub(super) fn apply(&mut self, connection: ConnectionId, from: Side, offset: u64, bytes: &mut [u8]) -> Applied {
        match self.0.get_mut(&key(connection, from)) {
            Some(side) => side.apply(offset, bytes),
            None => {
                bytes.fill(BLANK);
                Applied { blanked: bytes.len() as u64 }
            }
        }
    }

    /// Nothing more comes of a connection.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        for from in Side::BOTH {
            self.0.remove(&key(connection, from));
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Bytes that belong to nothing that is understood.
    pub(super) blanked: u64,
}

impl Bytes {
    fn cover(&mut self, base: u64, places: Vec<SecretPlace>) {
        for place in places {
            let range = base + place.range.start as u64..base + place.range.end as u64;
            self.covers.push(Cover { range, place: Some(place), mask: [0; 4] });
        }
    }

    fn blank(&mut self, range: Range<u64>, mask: [u8; 4]) {
        if !range.is_empty() {
            self.covers.push(Cover { range, place: None, mask });
        }
    }

    fn message(
        &mut self,
        message: &MessageBytes,
        head: Option<&Head>,
        body: &[u8],
        (start, head_end, end): (u64, u64, u64),
        scrubber: &mut Scrubber,
        report: &mut Report,
    ) {
        let Some(head) = head else { return };
        self.understood.push(start..end.max(head_end));
        if message.extent == Fullness::None {
            return;
        }
        if !head.raw.starts_with(b"HTTP/") {
            let at = head.start.get(1).map_or(0, |span| span.start);
            self.cover(start + u64::from(at), scrubber.in_target(head.target()));
        }
        for field in &head.fields {
            let (name, value) = (field.name.of(&head.raw), field.value.of(&head.raw));
            self.cover(start + u64::from(field.value.start), scrubber.in_header(name, value));
        }
        self.cover(start, scrubber.in_values(message.head()));
        let raw = message.body_raw();
        let body_range = head_end..end;
        if message.extent != Fullness::Whole {
            if !body_range.is_empty() {
                report.left_out("bodies that are blanked: too large or not whole in the capture", 1);
                self.blank(body_range, [0; 4]);
            }
            return;
        }
        if raw.is_empty() {
            return;
        }
        let places = scrubber.in_text(raw);
        if hides(head, raw, body, &places, scrubber) {
            report.left_out("bodies that are blanked: secrets in a coding", 1);
            match chunk_payloads(raw).filter(|_| head.has_token("transfer-encoding", "chunked")) {
                Some(payloads) => {
                    for payload in payloads {
                        self.blank(head_end + payload.start as u64..head_end + payload.end as u64, [0; 4]);
                    }
                }
                None => self.blank(body_range, [0; 4]),
            }
            return;
        }
        self.cover(head_end, places);
    }

    /// In order, without overlaps: a blank wins, and of two places the first, to the end of both.
    fn settle(&mut self) {
        self.understood.sort_by_key(|range| (range.start, range.end));
        self.understood.dedup_by(|later, earlier| {
            let joined = later.start <= earlier.end;
            if joined {
                earlier.end = earlier.end.max(later.end);
            }
            joined
        });
        self.covers.sort_by_key(|cover| (cover.range.start, std::cmp::Reverse(cover.range.end)));
        let mut end = 0;
        self.covers.retain_mut(|cover| {
            if cover.range.end <= end {
                return false;
            }
            if cover.range.start < end {
                // What sticks out behind another is blanked.
                let shift = usize::try_from((end - cover.range.start) % 4).unwrap_or(0);
                cover.mask.rotate_left(shift);
                cover.range.start = end;
                cover.place = None;
            }
            end = cover.range.end;
            true
        });
        self.understood.shrink_to_fit();
        self.covers.shrink_to_fit();
    }

    fn apply(&mut self, offset: u64, bytes: &mut [u8]) -> Applied {
        let end = offset + bytes.len() as u64;
        let at = |position: u64| usize::try_from(position.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut blanked = 0;
        // What is not understood.
        let mut from = offset;
        while from < end {
            let next = self.understood.get(self.next_understood).cloned();
            match next {
                Some(range) if range.end <= from => self.next_understood += 1,
                Some(range) if range.start <= from => from = range.end.min(end),
                other => {
                    let upto = other.map_or(end, |range| range.start.min(end));
                    if let Some(part) = bytes.get_mut(at(from)..at(upto))
                        && !is_interim(part)
                    {
                        part.fill(BLANK);
                        blanked += part.len() as u64;
                    }
                    from = upto;
                }
            }
        }
        // What is covered.
        while let Some(cover) = self.covers.get(self.next_cover) {
            if cover.range.start >= end {
                break;
            }
            let filling = cover.place.as_ref().map(Scrubber::filling);
            for position in cover.range.start.max(offset)..cover.range.end.min(end) {
                let within = usize::try_from(position - cover.range.start).unwrap_or(usize::MAX);
                let byte = filling.as_ref().and_then(|filling| filling.get(within)).copied().unwrap_or(BLANK);
                if let (Some(place), Some(mask)) = (bytes.get_mut(at(position)), cover.mask.get(within % 4)) {
                    *place = byte ^ mask;
                }
            }
            if cover.range.end > end {
                break;
            }
            self.next_cover += 1;
        }
        Applied { blanked }
    }
}

/// An interim response (RFC 9110, 15.2) whole and without anything that could be a secret: `100 Continue` and its like.
fn is_interim(bytes: &[u8]) -> bool {
    bytes.len() <= 64
        && bytes.starts_with(b"HTTP/1.1 1")
        && bytes.ends_with(b"\r\n\r\n")
        && memchr::memchr(b':', bytes).is_none()
}

/// Where the payloads of a chunked body lie (RFC 9112, 7.1); `None` where it is not well-formed.
fn chunk_payloads(raw: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut payloads = Vec::new();
    let mut at = 0;
    loop {
        let line_end = at + memchr::memchr(b'\n', raw.get(at..)?)?;
        let line = std::str::from_utf8(raw.get(at..line_end)?).ok()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(payloads);
        }
        let begin = line_end + 1;
        let end = begin.checked_add(size).filter(|end| *end <= raw.len())?;
        payloads.push(begin..end);
        at = end + 2;
    }
}

/// Whether the body, codings taken off, holds secrets beside those that were found in its raw bytes.
fn hides(head: &Head, raw: &[u8], body: &[u8], places: &[SecretPlace], scrubber: &mut Scrubber) -> bool {
    let coding = head.header("content-encoding");
    if coding.is_none() && body == raw {
        return false;
    }
    match coding {
        Some(coding) => match decode_content(coding, body, LARGEST_DECODED) {
            Decoded::Whole(plain) => !scrubber.in_text(&plain).is_empty(),
            Decoded::Capped(_) | Decoded::Damaged(_) | Decoded::Unsupported(_) => true,
        },
        None => scrubber.in_text(body).len() != places.len(),
    }
}

/// Where a payload lies, and its mask.
type Masked = (Range<u64>, [u8; 4]);

/// Frames, each covered by what its message holds.
struct Messages {
    decoders: Sockets,
    /// The payloads of a message whose end has not come, with their masks.
    waiting: BTreeMap<(u64, bool), Vec<Masked>>,
}

impl Messages {
    fn frame(
        &mut self,
        row: &FrameRow,
        bytes: &[u8],
        covers: &mut Covers,
        scrubber: &mut Scrubber,
        report: &mut Report,
    ) -> Result<(), query::Error> {
        let side = covers.0.entry(key(row.connection, row.from)).or_default();
        side.understood.push(row.start..row.end);
        let Some((header, mask)) = header_of(bytes).filter(|_| bytes.len() as u64 == row.end - row.start) else {
            side.blank(row.start..row.end, [0; 4]);
            report.left_out("frames that are blanked: too large or not whole in the capture", 1);
            return Ok(());
        };
        let payload = row.start + header as u64..row.end;
        let control = row.opcode >= 8;
        let simple = row.fin && row.opcode != 0 && !row.compressed;
        if control || simple {
            let plain: Vec<u8> =
                bytes.get(header..).unwrap_or_default().iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
            for place in scrubber.in_text(&plain) {
                let range = payload.start + place.range.start as u64..payload.start + place.range.end as u64;
                let mut mask = mask;
                mask.rotate_left(place.range.start % 4);
                side.covers.push(Cover { range, place: Some(place), mask });
            }
            // The decoder must see it all the same, for its windows.
            return self.decoders.frame(row, bytes, &mut |_| Ok(()));
        }
        let waiting = self.waiting.entry((row.exchange.0, row.from == Side::Server)).or_default();
        waiting.push((payload, mask));
        let mut verdict = None;
        self.decoders.frame(row, bytes, &mut |message| {
            verdict = Some(message.whole && scrubber.in_text(message.payload).is_empty());
            Ok(())
        })?;
        if row.fin {
            let frames = std::mem::take(waiting);
            if verdict != Some(true) {
                report.left_out("messages that are blanked: secrets in compressed or fragmented frames", 1);
                frames.into_iter().for_each(|(range, mask)| side.blank(range, mask));
            }
        }
        Ok(())
    }
}

/// Where a frame's payload begins, and its mask (zeros where it has none).
fn header_of(frame: &[u8]) -> Option<(usize, [u8; 4])> {
    let second = *frame.get(1)?;
    let begin = match second & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    if second & 0x80 == 0 {
        return (frame.len() >= begin).then_some((begin, [0; 4]));
    }
    Some((begin + 4, frame.get(begin..begin + 4)?.try_into().ok()?))
}
