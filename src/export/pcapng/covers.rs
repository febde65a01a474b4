//! What must not be read in the bytes of a connection: the places of secrets, with what stands there instead. Lengths stay
//! as they are, so that sequence numbers, `Content-Length` and frame headers hold.
//!
//! Bytes leave only where they are understood: what belongs to no exchange and no frame (HTTP/2, bytes behind a body, a
//! connection that began before the retained segments) is blanked, and so is a body or message whose secrets stand where
//! nothing can be put in their place (in a compressed body, over the border of two chunks).

use std::{collections::BTreeMap, iter, ops::Range};

use crate::{
    decode::{
        http1::{
            chunks::{Chunked, chunked},
            head,
        },
        websocket::header_of,
    },
    export::{Error, Job, Report, body},
    model::{ConnectionId, Side, http::Head, rows::FrameRow},
    query::{
        self,
        contents::{Content, Fullness, MessageBytes, Sockets},
    },
    redact::{Digest, Scrubber, SecretPlace},
};

/// A coded body that grows beyond this is blanked.
const LARGEST_DECODED: usize = 64 << 20;
/// What stands in the place of bytes.
const BLANK: u8 = b'*';

/// What is known of one side's bytes, by offset. Both lists ascend.
#[derive(Default)]
struct Bytes {
    /// Bytes that may leave, but for what is covered.
    understood: Vec<Range<u64>>,
    covers: Vec<Cover>,
    next_understood: usize,
    next_cover: usize,
}

/// One for each place of a secret in the whole capture: small.
#[derive(Clone, Copy, Debug)]
struct Cover {
    start: u64,
    length: u32,
    mark: Mark,
    /// The mask as it stands at the begin.
    mask: [u8; 4],
}

impl Cover {
    fn end(&self) -> u64 {
        self.start + u64::from(self.length)
    }
}

/// What stands in the place of bytes: the number of a secret, or blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u32);

const BLANKS: Mark = Mark(u32::MAX);

/// The secrets, each once.
#[derive(Default)]
struct Marks {
    known: BTreeMap<(&'static str, Digest), u32>,
    all: Vec<(&'static str, Digest)>,
}

impl Marks {
    fn of(&mut self, place: &SecretPlace) -> Mark {
        let key = (place.kind, place.digest);
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let number = *self.known.entry(key).or_insert(next);
        if number == next && number != BLANKS.0 {
            self.all.push(key);
        }
        Mark(number)
    }

    /// What is put there; `None` for blanks.
    fn filling(&self, mark: Mark, length: u32) -> Option<Vec<u8>> {
        let (kind, digest) = *self.all.get(usize::try_from(mark.0).ok()?)?;
        let length = usize::try_from(length).ok()?;
        Some(Scrubber::filling(&SecretPlace { range: 0..length, kind, digest }))
    }
}

/// All of a capture.
#[derive(Default)]
pub(super) struct Covers {
    sides: BTreeMap<(u64, bool), Bytes>,
    marks: Marks,
}

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
            covers.exchange(job, &content, &mut scrubber, report);
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
        for side in covers.sides.values_mut() {
            side.settle();
        }
        Ok(covers)
    }

    fn exchange(&mut self, job: &Job<'_>, content: &Content, scrubber: &mut Scrubber, report: &mut Report) {
        let offsets = content.row.offsets;
        let connection = content.row.connection;
        let (sent, answered) = content.bodies();
        let request = (offsets.request_start, offsets.request_head_end, offsets.request_end);
        let side = self.sides.entry(key(connection, Side::Client)).or_default();
        let mut known = Known { marks: &mut self.marks, scrubber, report };
        let id = content.row.id;
        let body = (&*sent, job.nameless.contains(id, Side::Client));
        side.message(&content.request, content.request_head().as_ref(), body, request, &mut known);
        if content.row.proxy_made {
            return;
        }
        let response = (offsets.response_start, offsets.response_head_end, offsets.response_end);
        let side = self.sides.entry(key(connection, Side::Server)).or_default();
        let body = (&*answered, job.nameless.contains(id, Side::Server));
        side.message(&content.response, content.response_head().as_ref(), body, response, &mut known);
    }

    /// Makes bytes that stand at `offset` such that they may leave. To be called with ascending offsets for each side.
    pub(super) fn apply(&mut self, connection: ConnectionId, from: Side, offset: u64, bytes: &mut [u8]) -> Applied {
        match self.sides.get_mut(&key(connection, from)) {
            Some(side) => side.apply(&self.marks, offset, bytes),
            None => {
                bytes.fill(BLANK);
                Applied { blanked: bytes.len() as u64 }
            }
        }
    }

    /// Nothing more comes of a connection.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        for from in Side::BOTH {
            self.sides.remove(&key(connection, from));
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Bytes that belong to nothing that is understood.
    pub(super) blanked: u64,
}

/// What finds secrets and counts them.
struct Known<'k> {
    marks: &'k mut Marks,
    scrubber: &'k mut Scrubber,
    report: &'k mut Report,
}

impl Bytes {
    /// These bytes may leave. Messages follow one another: what is understood of a side is few ranges.
    fn understand(&mut self, range: Range<u64>) {
        match self.understood.last_mut() {
            Some(last) if (last.start..=last.end).contains(&range.start) => last.end = last.end.max(range.end),
            _ => self.understood.push(range),
        }
    }

    fn cover(&mut self, base: u64, places: Vec<SecretPlace>, marks: &mut Marks) {
        for place in places {
            self.cover_masked(base, &place, [0; 4], marks);
        }
    }

    fn cover_masked(&mut self, base: u64, place: &SecretPlace, mask: [u8; 4], marks: &mut Marks) {
        let start = base + place.range.start as u64;
        match u32::try_from(place.range.len()) {
            Ok(length) => self.covers.push(Cover { start, length, mark: marks.of(place), mask }),
            Err(_) => self.blank(start..base + place.range.end as u64, mask),
        }
    }

    fn blank(&mut self, range: Range<u64>, mask: [u8; 4]) {
        // In pieces that leave a mask as it stands.
        const MOST: u32 = u32::MAX - 3;
        let mut start = range.start;
        while start < range.end {
            let length = u32::try_from(range.end - start).map_or(MOST, |length| length.min(MOST));
            self.covers.push(Cover { start, length, mark: BLANKS, mask });
            start += u64::from(length);
        }
    }

    fn message(
        &mut self,
        message: &MessageBytes,
        head: Option<&Head>,
        (body, nameless): (&[u8], bool),
        (start, head_end, end): (u64, u64, u64),
        Known { marks, scrubber, report }: &mut Known<'_>,
    ) {
        let Some(head) = head else { return };
        self.understand(start..end.max(head_end));
        if message.extent == Fullness::None {
            return;
        }
        let before = self.covers.len();
        if !head.raw.starts_with(b"HTTP/") {
            let at = head.start.get(1).map_or(0, |span| span.start);
            self.cover(start + u64::from(at), scrubber.in_target(head.target()), marks);
        }
        for field in &head.fields {
            let (name, value) = (field.name.of(&head.raw), field.value.of(&head.raw));
            self.cover(start + u64::from(field.value.start), scrubber.in_header(name, value), marks);
        }
        // What no field's name tells.
        let named = self.covers.get(before..).unwrap_or_default().to_vec();
        let mut values = scrubber.in_values(message.head());
        values.retain(|place| {
            let (begin, end) = (start + place.range.start as u64, start + place.range.end as u64);
            !named.iter().any(|cover| cover.start <= begin && end <= cover.end())
        });
        self.cover(start, values, marks);
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
        let at = |range: Range<usize>| head_end + range.start as u64..head_end + range.end as u64;
        let chunked = chunked(raw, 0).filter(|_| head.has_token("transfer-encoding", "chunked"));
        if let Some(Chunked { trailers, .. }) = &chunked {
            // They name secrets as headers do.
            self.blank(at(trailers.clone()), [0; 4]);
        }
        if nameless {
            // It has no coding either.
            return self.cover(head_end, scrubber.in_values(raw), marks);
        }
        let places = scrubber.in_text(raw);
        if hides(head, raw, body, &places, scrubber) {
            report.left_out("bodies that are blanked: secrets in a coding", 1);
            match chunked {
                Some(Chunked { chunks, trailers, .. }) => {
                    // Between them stand sizes, which must stay, and extensions, which may hold anything.
                    let mut upto = 0;
                    for data in
                        chunks.into_iter().map(|chunk| chunk.data).chain(iter::once(trailers.start..trailers.start))
                    {
                        let line = raw.get(upto..data.start).unwrap_or_default();
                        self.cover(head_end + upto as u64, scrubber.in_text(line), marks);
                        upto = data.end;
                        self.blank(at(data), [0; 4]);
                    }
                }
                None => self.blank(body_range, [0; 4]),
            }
            return;
        }
        self.cover(head_end, places, marks);
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
        self.covers.sort_by_key(|cover| (cover.start, std::cmp::Reverse(cover.length)));
        let mut end = 0;
        self.covers.retain_mut(|cover| {
            let own_end = cover.end();
            if own_end <= end {
                return false;
            }
            if cover.start < end {
                // What sticks out behind another is blanked.
                let shift = usize::try_from((end - cover.start) % 4).unwrap_or(0);
                cover.mask.rotate_left(shift);
                (cover.start, cover.length) = (end, u32::try_from(own_end - end).unwrap_or(u32::MAX));
                cover.mark = BLANKS;
            }
            end = own_end;
            true
        });
        self.understood.shrink_to_fit();
        self.covers.shrink_to_fit();
    }

    fn apply(&mut self, marks: &Marks, offset: u64, bytes: &mut [u8]) -> Applied {
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
                    if let Some(part) = bytes.get_mut(at(from)..at(upto)) {
                        blanked += blank_unknown(part);
                    }
                    from = upto;
                }
            }
        }
        // What is covered.
        while let Some(cover) = self.covers.get(self.next_cover) {
            if cover.start >= end {
                break;
            }
            let filling = marks.filling(cover.mark, cover.length);
            for position in cover.start.max(offset)..cover.end().min(end) {
                let within = usize::try_from(position - cover.start).unwrap_or(usize::MAX);
                let byte = filling.as_ref().and_then(|filling| filling.get(within)).copied().unwrap_or(BLANK);
                if let (Some(place), Some(mask)) = (bytes.get_mut(at(position)), cover.mask.get(within % 4)) {
                    *place = byte ^ mask;
                }
            }
            if cover.end() > end {
                break;
            }
            self.next_cover += 1;
        }
        Applied { blanked }
    }
}

/// Blanks bytes that belong to no exchange. Of interim responses (RFC 9110, 15.2: `100 Continue` and its like) the lines
/// stay, so that the answer behind them is found. How much was blanked.
fn blank_unknown(bytes: &mut [u8]) -> u64 {
    let (mut done, mut blanked) = (0, 0);
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| rest.starts_with(INTERIM))
        && let Some(end) = head::find_head_end(rest, 0)
        && let Some(head) = rest.get_mut(..end)
    {
        for (nth, line) in head.split_mut(|b| *b == b'\n').enumerate() {
            // The status and the names of fields.
            let kept = match memchr::memchr(b':', line) {
                _ if nth == 0 => INTERIM.len() + 2,
                Some(colon) if line.first().is_some_and(u8::is_ascii_graphic) => colon + 1,
                _ => 0,
            };
            for byte in line.iter_mut().skip(kept).filter(|b| !b.is_ascii_whitespace()) {
                *byte = BLANK;
                blanked += 1;
            }
        }
        done += end;
    }
    let rest = bytes.get_mut(done..).unwrap_or_default();
    rest.fill(BLANK);
    blanked + rest.len() as u64
}

/// How one begins.
const INTERIM: &[u8] = b"HTTP/1.1 1";

/// Whether the body holds secrets beside those that were found in its raw bytes: over the border of two chunks, or in a
/// coding.
fn hides(head: &Head, raw: &[u8], body: &[u8], places: &[SecretPlace], scrubber: &mut Scrubber) -> bool {
    let coded = head.header("content-encoding").is_some();
    (!coded && body != raw && scrubber.in_text(body).len() != places.len())
        || body::hides(head, body, LARGEST_DECODED, scrubber)
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
        let Covers { sides, marks } = covers;
        let side = sides.entry(key(row.connection, row.from)).or_default();
        side.understand(row.start..row.end);
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
            if body::hides_within(&plain, LARGEST_DECODED, scrubber) {
                report.left_out("messages that are blanked: secrets in a coding", 1);
                side.blank(payload, mask);
                return self.decoders.frame(row, bytes, &mut |_| Ok(()));
            }
            for place in scrubber.in_text(&plain) {
                let mut mask = mask;
                mask.rotate_left(place.range.start % 4);
                side.cover_masked(payload.start, &place, mask, marks);
            }
            // The decoder must see it all the same, for its windows.
            return self.decoders.frame(row, bytes, &mut |_| Ok(()));
        }
        let waiting = self.waiting.entry((row.exchange.0, row.from == Side::Server)).or_default();
        waiting.push((payload, mask));
        let mut verdict = None;
        self.decoders.frame(row, bytes, &mut |message| {
            let payload = message.payload;
            let hides = body::hides_within(payload, LARGEST_DECODED, scrubber);
            verdict = Some(message.whole && !hides && scrubber.in_text(payload).is_empty());
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
