//! One connection of one copy, from its opening to its end.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    decode::DeflateParameters,
    model::{Timestamp, trace::Ending, websocket::opcode},
    replay::{
        deflate::{deflated, pieces},
        edit::reframe,
        plan::{Act, Fill, Planned, Request, Run, Step, Template, Wait},
        script::Coding,
        trail::Trail,
        values::Source,
    },
};

use super::{
    Lateness, Shared,
    board::{Came, Progress},
    link::{Link, mask},
};

/// How long a connection that its server ended in the capture may go on.
const GRACE: Duration = Duration::from_secs(2);
/// The bit of a frame that says that its message is compressed (RFC 7692, 6).
const RSV1: u8 = 0x40;

/// What a connection has to tell.
#[derive(Default)]
pub(super) struct Log {
    pub(super) lateness: Lateness,
    pub(super) waited: Lateness,
    pub(super) trails: Vec<Trail>,
    pub(super) frames: u64,
    pub(super) troubles: Vec<String>,
}

/// Replays it.
pub(super) async fn run(shared: Arc<Shared>, run: Run) -> Log {
    let mut log = Log::default();
    let Some(planned) = shared.plan.connections.get(run.connection).cloned() else { return log };
    let mut driver = Driver {
        shared,
        run,
        planned,
        log: &mut log,
        link: None,
        impatient: false,
        deflates: false,
        rest: VecDeque::new(),
    };
    driver.go().await;
    log
}

struct Driver<'d> {
    shared: Arc<Shared>,
    run: Run,
    planned: Arc<Planned>,
    log: &'d mut Log,
    link: Option<Link>,
    /// A message of the server's was waited for in vain: further ones are not waited for.
    impatient: bool,
    /// Whether compressed messages are deflated anew from here on.
    deflates: bool,
    /// The payloads of the frames to come of such a message.
    rest: VecDeque<Vec<u8>>,
}

/// Why a step was not done.
struct Skipped(String);

impl Driver<'_> {
    async fn go(&mut self) {
        let opens = self.due(self.planned.opens);
        self.until(opens).await;
        self.log.lateness.push(self.shared.clock.now().since(opens).as_nanos() as u64);
        let planned = Arc::clone(&self.planned);
        if let Err(Skipped(why)) = self.connect().await {
            self.log.troubles.push(why);
        }
        for (nth, step) in planned.steps.iter().enumerate() {
            if let Err(Skipped(why)) = self.step(step, nth as u64).await {
                self.log.troubles.push(why);
                if let Act::Request(request) = &step.act {
                    let at = self.shared.clock.now();
                    // Whoever waits for it waits in vain.
                    self.shared.board.note(self.run.copy, request.exchange, |progress| {
                        progress.answered.get_or_insert(at);
                        progress.over.get_or_insert(at);
                        progress.undecided = false;
                    });
                }
            }
        }
        self.finish(&planned).await;
    }

    /// An instant of the plan on the driver's clock.
    fn due(&self, at: Timestamp) -> Timestamp {
        Timestamp(self.run.start.0.saturating_add(at.0))
    }

    async fn until(&self, due: Timestamp) {
        let left = due.since(self.shared.clock.now());
        if !left.is_zero() {
            tokio::time::sleep(left).await;
        }
    }

    async fn connect(&mut self) -> Result<(), Skipped> {
        let planned = Arc::clone(&self.planned);
        let dialing = self.shared.dialer.dial(&planned, &self.shared.proxy);
        let dialed = match tokio::time::timeout(self.shared.options.patience, dialing).await {
            Ok(Ok(dialed)) => dialed,
            Ok(Err(error)) => return Err(Skipped(format!("{} cannot be reached: {error}", planned.authority))),
            Err(_) => return Err(Skipped(format!("{} cannot be reached in time", planned.authority))),
        };
        let (client, of) = (dialed.local, planned.of);
        let made_ns = self.shared.clock.now();
        self.log.trails.push(Trail { made_ns, client, of, session: planned.session, copy: self.run.copy });
        self.link = Some(Link::new(Arc::clone(&self.shared), self.run.copy, dialed));
        Ok(())
    }

    async fn step(&mut self, step: &Step, nth: u64) -> Result<(), Skipped> {
        let due = self.due(step.at);
        let mut ready = due;
        for wait in &step.waits {
            ready = ready.max(self.wait(wait).await?);
        }
        ready = ready.after(step.delay);
        self.until(ready).await;
        match &step.act {
            Act::Request(request) => self.request(request, due, ready).await,
            Act::Frame { socket, frame, coding, payload, opcode: kind, metadata } => {
                let copy = self.run.copy;
                if self.shared.board.look(copy, *socket, |progress| progress.over.is_some()) {
                    return Err(Skipped("a frame was not sent: its socket is not open any more".to_owned()));
                }
                let deflate = |progress: &Progress| progress.open.map(|_| progress.deflate);
                let agreed = self.shared.board.look(copy, *socket, deflate);
                let bytes = self.frame(frame, coding, payload, agreed, nth)?;
                if let Some(link) = &self.link {
                    match *kind {
                        opcode::CLOSE => link.closing(),
                        opcode::TEXT | opcode::BINARY => link.says(*metadata),
                        _ => {}
                    }
                }
                self.log.frames += 1;
                self.write(&bytes, due, ready).await.map(drop)
            }
            Act::Bytes { bytes, .. } => self.write(bytes, due, ready).await.map(drop),
        }
    }

    /// A frame as it is to be sent. A compressed message that says the same as before is sent as captured, until one is
    /// deflated anew: what follows may refer to what that said.
    fn frame(
        &mut self,
        frame: &[u8],
        coding: &Coding,
        payload: &Template,
        agreed: Option<Option<DeflateParameters>>,
        nth: u64,
    ) -> Result<Vec<u8>, Skipped> {
        // What was sent before the OPEN is so again, when nothing is agreed yet.
        let agreed = match (agreed, coding) {
            (Some(agreed), _) => agreed,
            (None, Coding::Deflated { agreed, .. }) => Some(*agreed),
            (None, _) => Some(DeflateParameters::default()),
        };
        let key = mask(self.seed(), nth);
        let anew = |payload: &[u8]| reframe(frame, payload, key).unwrap_or_else(|| frame.to_vec());
        match coding {
            Coding::Plain => return Ok(anew(&self.fill(payload, nth).0)),
            Coding::Opaque if agreed.is_none() || self.deflates => {
                let why =
                    "a compressed frame was not sent: it cannot be inflated, and what it may refer to has changed";
                return Err(Skipped(why.to_owned()));
            }
            Coding::Opaque => return Ok(frame.to_vec()),
            Coding::Deflated { lengths, agreed: before } => {
                let (message, _) = self.fill(payload, nth);
                self.rest.clear();
                self.deflates |= message != payload.bytes() || agreed != Some(*before);
                if self.deflates {
                    let coded = match agreed {
                        Some(agreed) => deflated(&message, agreed),
                        None => Some(message),
                    };
                    let coded =
                        coded.ok_or_else(|| Skipped("a message was not sent: it cannot be deflated".to_owned()))?;
                    self.rest.extend(pieces(&coded, lengths));
                }
            }
            Coding::Continued => {}
        }
        let Some(payload) = self.rest.pop_front() else { return Ok(frame.to_vec()) };
        let mut bytes = anew(&payload);
        if let (None, Some(first)) = (agreed, bytes.first_mut()) {
            // Not compressed this time.
            *first &= !RSV1;
        }
        Ok(bytes)
    }

    /// When what is waited for happened.
    async fn wait(&mut self, wait: &Wait) -> Result<Timestamp, Skipped> {
        let options = &self.shared.options;
        let patience = match wait {
            Wait::Messages(..) if self.impatient => return Ok(Timestamp(0)),
            Wait::Messages(..) => options.message_patience,
            _ => options.patience,
        };
        let came = self.shared.board.wait(self.run.copy, wait, patience).await;
        match (came, wait) {
            (Came::At(at), _) => Ok(at),
            (Came::Never(_), Wait::Open(..) | Wait::Ready(_)) => {
                Err(Skipped("not sent: the socket that it waits for did not open".to_owned()))
            }
            (Came::OutOfPatience, Wait::Open(..) | Wait::Ready(_)) => {
                Err(Skipped(format!("not sent: the socket that it waits for was not open or ready after {patience:?}")))
            }
            (Came::Never(at), _) => {
                if let Wait::Value(_) = wait {
                    self.log.troubles.push("a value that was issued in the capture was not issued again".to_owned());
                }
                Ok(at)
            }
            (Came::OutOfPatience, Wait::Messages(..)) => {
                self.impatient = true;
                self.log.troubles.push("fewer messages came on a socket than in the capture".to_owned());
                Ok(Timestamp(0))
            }
            (Came::OutOfPatience, _) => {
                self.log.troubles.push(format!("an answer was waited for in vain for {patience:?}"));
                Ok(Timestamp(0))
            }
        }
    }

    async fn request(&mut self, request: &Request, due: Timestamp, ready: Timestamp) -> Result<(), Skipped> {
        let copy = self.run.copy;
        let mut ready = ready;
        let mut pause = self.shared.plan.retry.map_or(Duration::ZERO, |retry| retry.pause);
        let most = self.shared.plan.retry.map_or(0, |retry| retry.times);
        let mut times = 0;
        loop {
            if self.link.as_ref().is_none_or(Link::is_over) {
                if self.link.take().is_some() {
                    self.log
                        .troubles
                        .push("the server had ended a connection that was used again: another was made".to_owned());
                }
                self.connect().await?;
            }
            let permit = match &self.shared.inflight {
                None => None,
                Some(inflight) => {
                    let permit = Arc::clone(inflight).acquire_owned().await.ok();
                    ready = ready.max(self.shared.clock.now());
                    permit
                }
            };
            let (bytes, cuts) = self.fill(&request.template, request.exchange.0 ^ (u64::from(times) << 48));
            board_begin(&self.shared, copy, request, times, permit);
            if let Some(link) = &self.link {
                link.begin(request.exchange);
            }
            let first = self.pieces(&bytes, &cuts, &request.pauses, due, ready).await?;
            self.shared.board.note(copy, request.exchange, |progress| {
                progress.sent.get_or_insert(first);
            });
            if most == 0 {
                return Ok(());
            }
            let came = self.shared.board.wait_for_answer(copy, request.exchange, self.shared.options.patience).await;
            let status = self.shared.board.look(copy, request.exchange, |progress| progress.status);
            let refused = status.is_none_or(|status| self.shared.options.refused.contains(status));
            if !refused || times >= most || came == Came::OutOfPatience {
                self.shared.board.note(copy, request.exchange, |progress| progress.undecided = false);
                return Ok(());
            }
            times += 1;
            ready = self.shared.clock.now().after(pause);
            pause = pause.saturating_mul(2);
            self.until(ready).await;
        }
    }

    /// Writes a request in the pieces in which it had come, as far apart.
    async fn pieces(
        &mut self,
        bytes: &[u8],
        cuts: &[usize],
        pauses: &[Duration],
        due: Timestamp,
        ready: Timestamp,
    ) -> Result<Timestamp, Skipped> {
        let mut first = None;
        let starts = cuts.iter().copied().map(|cut| cut.min(bytes.len()));
        let ends = starts.clone().skip(1).chain([bytes.len()]);
        for ((start, end), pause) in starts.zip(ends).zip(pauses) {
            let piece = bytes.get(start..end).unwrap_or_default();
            if piece.is_empty() {
                continue;
            }
            let at = first.map_or(ready, |first: Timestamp| first.after(*pause));
            self.until(at).await;
            let due = first.map_or(due, |_| at);
            let begun = self.write(piece, due, at).await?;
            first.get_or_insert(begun);
        }
        first.ok_or_else(|| Skipped("a request without a byte".to_owned()))
    }

    async fn write(&mut self, bytes: &[u8], due: Timestamp, ready: Timestamp) -> Result<Timestamp, Skipped> {
        let Some(link) = &self.link else { return Err(Skipped("not sent: there is no connection".to_owned())) };
        let writing = tokio::time::timeout(self.shared.options.patience, link.write(bytes)).await;
        match writing {
            Ok(Ok(begun)) => {
                self.log.lateness.push(begun.since(ready).as_nanos() as u64);
                self.log.waited.push(ready.since(due).as_nanos() as u64);
                Ok(begun)
            }
            Ok(Err(error)) => Err(Skipped(format!("not sent in full: {error}"))),
            Err(_) => Err(Skipped("not sent in full: the server takes no more".to_owned())),
        }
    }

    fn fill(&self, template: &Template, nth: u64) -> (Vec<u8>, Vec<usize>) {
        let shared = &self.shared;
        let copy = self.run.copy;
        let sessions = shared.plan.sessions / (shared.plan.copies as usize).max(1);
        let token = shared.plan.tokens.get(copy as usize * sessions + self.planned.session_index).map(String::as_str);
        template.filled(&Fill {
            copy,
            seed: self.seed(),
            key_seed: self.seed().rotate_left(17) ^ nth,
            token,
            value: &|source: &Source| shared.board.value(copy, source),
        })
    }

    /// The same for all connections of a session of a copy.
    fn seed(&self) -> u64 {
        let own = (self.planned.session.0 << 32) | u64::from(self.run.copy);
        (self.shared.options.seed ^ own).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Ends it as it had ended.
    async fn finish(&mut self, planned: &Planned) {
        for step in &planned.steps {
            if let Act::Request(request) = &step.act
                && request.answered
            {
                let wait = Wait::Answered(request.exchange);
                self.shared.board.wait(self.run.copy, &wait, self.shared.options.patience).await;
            }
        }
        let Some(link) = self.link.take() else { return };
        match planned.client_ends {
            Some((at, how)) => {
                tokio::select! {
                    () = self.until(self.due(at)) => {}
                    () = link.ended() => {}
                }
                if how != Ending::Rst {
                    link.shutdown().await;
                    let _ = tokio::time::timeout(GRACE, link.ended()).await;
                }
                link.drop_hard(how == Ending::Rst);
            }
            None => {
                let end = self.due(planned.ends).after(GRACE);
                tokio::select! {
                    () = self.until(end) => {}
                    () = link.ended() => {}
                }
                link.shutdown().await;
                link.drop_hard(false);
            }
        }
    }
}

/// Notes that a request goes out, for the first time or once more.
fn board_begin(
    shared: &Shared,
    copy: u32,
    request: &Request,
    times: u32,
    permit: Option<tokio::sync::OwnedSemaphorePermit>,
) {
    shared.board.note(copy, request.exchange, |progress| {
        progress.times = times + 1;
        progress.undecided = shared.plan.retry.is_some();
        progress.permit = permit;
        progress.status = None;
        progress.answered = None;
        progress.over = None;
    });
}
