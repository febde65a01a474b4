//! Reads a capture's records from any position on, follows a segment that is still being written, and crosses into the
//! next. Events borrow their bytes from the reader's one buffer; memory is bounded by the largest record.
//!
//! What looks damaged at the end of the last, unsealed segment, with no whole record behind it, is a *torn tail*: "no
//! more for now". Damage anywhere else is an error with its place; [`SegmentReader::resync`] goes on behind it. Nothing is
//! ever written here.

use std::{fs::File, io, path::PathBuf};

use crate::model::{rows::Position, trace::TraceEvent};

use super::{
    CaptureDir,
    blocks::Blocks,
    error::{Error, IoContext},
    format::{self, Damage, Frame, Header, PREFIX_LEN, Record, Seal},
    recovery::{DamagedRange, OnDamage},
};

/// How many bytes of would-be records are tried at most in one search for a whole one. Prefixes that look sound occur
/// once in 16 million bytes, unless somebody sent many of them, so that they are payload.
const RESYNC_BUDGET: usize = 1 << 30;

/// Reads events in the order of recording. See the module.
#[derive(Debug)]
pub struct SegmentReader {
    dir: CaptureDir,
    on_damage: OnDamage,
    segment: Option<OpenSegment>,
    /// The buffer of the segment before, where none is open.
    spare: Vec<u8>,
    /// Where to go on where no segment is open yet.
    at: Position,
    sealed_upto: u64,
    /// Damage that was passed over, not yet taken.
    damage: Vec<DamagedRange>,
}

/// One segment's file and where the reader stands in it.
#[derive(Debug)]
pub(super) struct OpenSegment {
    number: u64,
    path: PathBuf,
    blocks: Blocks,
    header: Option<Header>,
    /// The next record.
    offset: u64,
    seal: Option<Seal>,
    /// A whole record was looked for behind the trouble at `.0` in a file of length `.1`, and there was none.
    torn: Option<(u64, u64)>,
}

/// What stands at the reader's place.
#[derive(Debug)]
pub(super) enum Step {
    /// A whole record, at this offset. The reader has gone on behind it.
    Record(u64, Frame),
    /// No more for now.
    End,
}

impl SegmentReader {
    /// Begins at a position: that of a record, or offset 0 for a segment's begin; segment 0 for the first one that is
    /// there. The segment need not exist yet.
    pub fn open(dir: &CaptureDir, at: Position) -> Result<Self, Error> {
        Self::open_with(dir, at, OnDamage::Stop)
    }

    /// The same with a policy for damage.
    pub fn open_with(dir: &CaptureDir, at: Position, on_damage: OnDamage) -> Result<Self, Error> {
        let mut reader = Self {
            dir: dir.clone(),
            on_damage,
            segment: None,
            spare: Vec::new(),
            at,
            sealed_upto: at.segment.saturating_sub(1),
            damage: Vec::new(),
        };
        // To refuse a version that cannot be read at once, not at the first event.
        reader.enter()?;
        Ok(reader)
    }

    /// The next event and where its record stands. `None` at the present end; it may be called again later, when more
    /// was written. After [`Error::Damaged`] it gives the same error again until [`Self::resync`] was called; but
    /// where a sound record holds what cannot be understood ([`Damage::Shape`]), it gives it once and goes on.
    #[expect(clippy::should_implement_trait, reason = "it lends from itself, which an Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<(Position, TraceEvent<'_>)>, Error> {
        let (number, at, frame) = loop {
            let Some((number, at, frame)) = self.locate()? else { return Ok(None) };
            // Looked at twice, so that the borrow ends where the loop goes on; it is cheap, but for JSON, which is rare.
            if self.on_damage == OnDamage::Stop || self.understands(number, at, frame) {
                break (number, at, frame);
            }
        };
        let position = Position { segment: number, offset: at };
        let Some(segment) = &self.segment else { return Ok(None) };
        match format::parse(frame, segment.record(at, frame)) {
            Ok(Record::Event(event)) => Ok(Some((position, event))),
            Ok(Record::Seal(_) | Record::Unknown(_)) => Ok(None),
            Err(damage) => Err(Error::Damaged { path: segment.path.clone(), position, damage }),
        }
    }

    /// After [`Error::Damaged`]: goes on at the next whole record, and tells what was passed over. `None` where the
    /// reader does not stand at damage.
    pub fn resync(&mut self) -> Result<Option<DamagedRange>, Error> {
        if self.segment.is_none() {
            // It stands before a segment whose header is damaged.
            self.enter_with(OnDamage::Skip)?;
            return Ok(self.damage.pop());
        }
        let Some(segment) = &mut self.segment else { return Ok(None) };
        let is_last = !self.dir.segment_path(segment.number + 1).exists();
        segment.resync(is_last)
    }

    /// The damage that was passed over under [`OnDamage::Skip`] since this was last called.
    pub fn take_damage(&mut self) -> Vec<DamagedRange> {
        std::mem::take(&mut self.damage)
    }

    /// The last segment that was read to its end: up to its seal, or up to where the next one took over. Its tables may
    /// be written.
    pub fn sealed_upto(&self) -> u64 {
        self.sealed_upto
    }

    /// Where the next record stands or will stand.
    pub fn position(&self) -> Position {
        match &self.segment {
            Some(segment) => Position { segment: segment.number, offset: segment.offset },
            None => self.at,
        }
    }

    /// How many bytes stand behind the last whole record of the segment that is being read: what a killed recorder left
    /// of its last write, or what a living one is writing. 0 is usual.
    pub fn tail(&self) -> Result<u64, Error> {
        let Some(segment) = &self.segment else { return Ok(0) };
        let len = segment.blocks.file_len().context("look at", &segment.path)?;
        Ok(len.saturating_sub(segment.offset))
    }

    /// The next record that bears a fact, of whatever segment.
    fn locate(&mut self) -> Result<Option<(u64, u64, Frame)>, Error> {
        loop {
            if !self.enter()? {
                return Ok(None);
            }
            let Some(segment) = &mut self.segment else { return Ok(None) };
            let number = segment.number;
            let step = match segment.step() {
                Err(Error::Damaged { .. }) if self.on_damage == OnDamage::Skip => {
                    let is_last = !self.dir.segment_path(number + 1).exists();
                    self.damage.extend(segment.resync(is_last)?);
                    continue;
                }
                other => other?,
            };
            match step {
                Step::Record(at, frame) if !frame.is_seal() && frame.is_known() => {
                    return Ok(Some((number, at, frame)));
                }
                Step::Record(..) => {}
                Step::End => {
                    if !self.cross()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Opens the segment to be read where none is open. `false`: it is not there yet.
    fn enter(&mut self) -> Result<bool, Error> {
        self.enter_with(self.on_damage)
    }

    fn enter_with(&mut self, on_damage: OnDamage) -> Result<bool, Error> {
        if self.segment.is_some() {
            return Ok(true);
        }
        let number = match self.at.segment {
            0 => match self.first()? {
                Some(first) => first,
                None => return Ok(false),
            },
            number => number,
        };
        let mut found = OpenSegment::open(&self.dir, number, self.at.offset, on_damage, &mut self.spare)?;
        if found.is_none() {
            // Not begun yet, or taken by retention, which takes the ones before it first.
            if number > 1 && self.dir.segment_path(number - 1).exists() {
                return Ok(false);
            }
            let Some(next) = self.dir.segments()?.into_iter().find(|there| *there > number) else { return Ok(false) };
            // It may have been begun, and others after it, since it was looked for. Now that a later one is known to be
            // there, it is there or gone.
            found = OpenSegment::open(&self.dir, number, self.at.offset, on_damage, &mut self.spare)?;
            if found.is_none() {
                self.at = Position { segment: next, offset: 0 };
                return self.enter_with(on_damage);
            }
        }
        let Some((segment, damage)) = found else { return Ok(false) };
        self.damage.extend(damage);
        self.sealed_upto = self.sealed_upto.max(number - 1);
        self.segment = Some(segment);
        Ok(true)
    }

    /// The first segment that is there. Listed twice where it is not number 1: a folder that changes while it is listed
    /// may show a new file but not the one that was made before it.
    fn first(&self) -> Result<Option<u64>, Error> {
        match self.dir.segments()?.first() {
            None => Ok(None),
            Some(1) => Ok(Some(1)),
            Some(_) => Ok(self.dir.segments()?.first().copied()),
        }
    }

    /// At a segment's end: goes over to the next one, if there is one.
    fn cross(&mut self) -> Result<bool, Error> {
        let Some(segment) = &mut self.segment else { return Ok(false) };
        let next = Position { segment: segment.number + 1, offset: 0 };
        if segment.seal.is_none() {
            if !self.dir.segment_path(next.segment).exists() {
                return Ok(false);
            }
            // The next one was begun, so this one is finished; but it may have grown since it was last looked at.
            segment.blocks.forget();
            if let Step::Record(at, _) = segment.step()? {
                segment.offset = at;
                return Ok(true);
            }
            if self.tail()? > 0 {
                let Some(segment) = &mut self.segment else { return Ok(false) };
                match self.on_damage {
                    OnDamage::Stop => return Err(segment.damaged(segment.offset, Damage::CutShort)),
                    OnDamage::Skip => self.damage.extend(segment.resync(false)?),
                }
            }
        }
        self.sealed_upto = self.sealed_upto.max(next.segment - 1);
        if let Some(ended) = self.segment.take() {
            self.spare = ended.blocks.into_buffer();
        }
        self.at = next;
        Ok(true)
    }

    /// Whether a record's fact can be read; one that cannot is noted as damage.
    fn understands(&mut self, number: u64, at: u64, frame: Frame) -> bool {
        let Some(segment) = &self.segment else { return false };
        match format::parse(frame, segment.record(at, frame)) {
            Ok(_) => true,
            Err(damage) => {
                let end = at + frame.len as u64;
                self.damage.push(DamagedRange { segment: number, start: at, end, damage });
                false
            }
        }
    }
}

impl OpenSegment {
    /// `offset` 0 is the first record. `None`: there is no such segment. A damaged header is an error, or passed over and
    /// told: the records can be read without it. `spare` is a buffer to be used, if it is there.
    pub(super) fn open(
        dir: &CaptureDir,
        number: u64,
        offset: u64,
        on_damage: OnDamage,
        spare: &mut Vec<u8>,
    ) -> Result<Option<(Self, Option<DamagedRange>)>, Error> {
        let path = dir.segment_path(number);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("open", &path),
        };
        let mut blocks = Blocks::new(file, std::mem::take(spare));
        let bytes = blocks.at(0, format::MAX_HEADER).context("read", &path)?;
        // A segment gets its name once its header is whole, so a shorter one was cut.
        let decoded = Header::decode(bytes).and_then(|header| header.ok_or(Damage::Header));
        let (header, first, damaged) = match decoded {
            Ok((header, _)) if !header.version.is_readable() => {
                return Err(Error::TooNew { path, found: header.version });
            }
            Ok((header, first)) => (Some(header), first, None),
            Err(damage) if on_damage == OnDamage::Stop => {
                return Err(Error::Damaged { path, position: Position { segment: number, offset: 0 }, damage });
            }
            Err(damage) => {
                let end = format::HEADER_LEN as u64;
                (None, end, Some(DamagedRange { segment: number, start: 0, end, damage }))
            }
        };
        let offset = offset.max(first);
        Ok(Some((Self { number, path, blocks, header, offset, seal: None, torn: None }, damaged)))
    }

    /// `None` where it is damaged.
    pub(super) fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    pub(super) fn seal(&self) -> Option<Seal> {
        self.seal
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn file_len(&self) -> Result<u64, Error> {
        self.blocks.file_len().context("look at", &self.path)
    }

    /// The bytes of the record that [`Self::step`] found last.
    pub(super) fn record(&self, at: u64, frame: Frame) -> &[u8] {
        self.blocks.held(at).get(..frame.len).unwrap_or_default()
    }

    /// Goes over the next whole record.
    pub(super) fn step(&mut self) -> Result<Step, Error> {
        if self.seal.is_some() {
            return Ok(Step::End);
        }
        let at = self.offset;
        let frame = match self.frame(at)? {
            Ok(Some(frame)) => frame,
            // What was read of a record that is not whole is read again next time: its writer may take it back.
            Ok(None) => {
                self.blocks.forget();
                return Ok(Step::End);
            }
            Err(_) => {
                // The same for damage: only bytes that were read at once count.
                self.blocks.forget();
                match self.frame(at)? {
                    Ok(Some(frame)) => frame,
                    Ok(None) => {
                        self.blocks.forget();
                        return Ok(Step::End);
                    }
                    Err(damage) => return self.trouble(at, damage),
                }
            }
        };
        self.offset = at + frame.len as u64;
        if frame.is_seal()
            && let Ok(Record::Seal(seal)) = format::parse(frame, self.record(at, frame))
        {
            self.seal = Some(seal);
        }
        Ok(Step::Record(at, frame))
    }

    /// Goes to the next whole record behind the trouble at which it stands, or, where there is none, to the end of what
    /// is there; there only if it is known that no more will come (`is_last` is false). What was passed over.
    pub(super) fn resync(&mut self, is_last: bool) -> Result<Option<DamagedRange>, Error> {
        let start = self.offset;
        let damage = match self.frame(start)? {
            Ok(Some(_)) => return Ok(None),
            Ok(None) if is_last => return Ok(None),
            Ok(None) => Damage::CutShort,
            Err(damage) => damage,
        };
        let end = match self.find_whole(start)? {
            Some(next) => next,
            None if is_last => return Ok(None),
            None => self.file_len()?,
        };
        if end == start {
            return Ok(None);
        }
        self.offset = end;
        Ok(Some(DamagedRange { segment: self.number, start, end, damage }))
    }

    /// Damage, or but a torn tail?
    fn trouble(&mut self, at: u64, damage: Damage) -> Result<Step, Error> {
        let len = self.file_len()?;
        if self.torn == Some((at, len)) {
            return Ok(Step::End);
        }
        if self.find_whole(at)?.is_some() {
            return Err(self.damaged(at, damage));
        }
        self.torn = Some((at, len));
        self.blocks.forget();
        Ok(Step::End)
    }

    /// The first whole record behind the trouble at `start`.
    fn find_whole(&mut self, start: u64) -> Result<Option<u64>, Error> {
        // Where the prefix is sound, its length leads to the next record. Bytes within a damaged record that look like
        // one (a segment may have been relayed, too) are then not mistaken for it.
        let bytes = self.blocks.at(start, PREFIX_LEN).context("read", &self.path)?;
        if let Ok(Some(len)) = format::record_len(bytes) {
            let next = start + len as u64;
            if matches!(self.frame(next)?, Ok(Some(_))) {
                return Ok(Some(next));
            }
        }
        let mut at = start + 1;
        let mut budget = RESYNC_BUDGET;
        loop {
            let bytes = self.blocks.at(at, PREFIX_LEN).context("read", &self.path)?;
            if bytes.len() < PREFIX_LEN {
                return Ok(None);
            }
            let candidate = bytes.windows(PREFIX_LEN).position(|prefix| format::record_len(prefix).is_ok());
            match candidate {
                Some(skip) => {
                    let len = bytes.get(skip..).and_then(|prefix| format::record_len(prefix).ok()?).unwrap_or(0);
                    at += skip as u64;
                    let Some(left) = budget.checked_sub(len) else { return Ok(None) };
                    budget = left;
                    if matches!(self.frame(at)?, Ok(Some(_))) {
                        return Ok(Some(at));
                    }
                    at += 1;
                }
                None => at += (bytes.len() - PREFIX_LEN + 1) as u64,
            }
        }
    }

    /// The record at `at`, whole and with a sound checksum, or not.
    fn frame(&mut self, at: u64) -> Result<Result<Option<Frame>, Damage>, Error> {
        let bytes = self.blocks.at(at, PREFIX_LEN).context("read", &self.path)?;
        let len = match format::record_len(bytes) {
            Ok(Some(len)) => len,
            Ok(None) => return Ok(Ok(None)),
            Err(damage) => return Ok(Err(damage)),
        };
        let bytes = self.blocks.at(at, len).context("read", &self.path)?;
        Ok(format::frame(bytes))
    }

    fn damaged(&self, offset: u64, damage: Damage) -> Error {
        let position = Position { segment: self.number, offset };
        Error::Damaged { path: self.path.clone(), position, damage }
    }
}

#[cfg(test)]
#[path = "segment_reader_tests.rs"]
mod tests;
