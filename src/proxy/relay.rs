//! The relay: both directions of one connection in one poll. Read → stamp → tap → stamp → write → stamp; ends are
//! passed on as they came.
//!
//! What must not happen here: bytes changed or delayed (but for what the framer names), more read than the other side
//! takes, anything allocated or woken per chunk, a buffer kept while nothing moves.

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
};

use super::{
    HostPort,
    leg::{Broken, Input, Leg, READ_BYTES, with_raw},
    rewrite::{Connecting, Framer, Passed, Told},
};
use crate::{
    model::{
        ConnectionId, Side, Timestamp,
        side::Sides,
        trace::{Chunk, Closer, Ended, Ending, Fact, Stalled, SteppedAside, Written},
    },
    record::Tap,
};

/// After so many turns, one for each side in turn, the other tasks get theirs.
const TURNS: usize = 64;

/// What a thread's relays share while one of them runs, beside what their legs read into.
struct Scratch {
    plain: Vec<u8>,
    out: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        plain: Vec::with_capacity(READ_BYTES + (20 << 10)),
        out: Vec::new(),
    });
}

/// Where the next request goes, once all before it were answered.
#[derive(Debug)]
pub(super) enum Elsewhere {
    /// To another server.
    Server(HostPort),
    /// Into a tunnel: it is a CONNECT.
    Tunnel,
    /// Nowhere; why.
    Nowhere(&'static str),
}

/// How a relay came to its end.
#[derive(Debug)]
pub(super) enum Finish {
    /// The connection is over.
    Closed {
        /// Who began it.
        by: Closer,
        /// How it began.
        how: Ending,
        /// More.
        error: Option<String>,
    },
    /// The next request goes elsewhere; all before it have been answered.
    Elsewhere(Elsewhere),
    /// The next request goes to no server that we know of.
    Nowhere(&'static str),
}

/// One direction: what `from` sends.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// How many plaintext bytes came so far.
    pub(super) offset: u64,
    /// What the other leg got but the kernel did not have yet: up to where, and when the first write of it began.
    unwritten: Option<(u64, Timestamp)>,
    /// Since when the recorder has had no room for what waits to be read.
    stalled: Option<Timestamp>,
    /// How it first ended.
    end: Option<Ending>,
    /// TCP ended: nothing more is to be read.
    over: bool,
    /// The other side takes nothing more; why.
    refused: Option<Broken>,
}

/// See the module.
pub(super) struct Relay {
    tap: Tap,
    id: ConnectionId,
    client: Leg,
    server: Leg,
    flows: Sides<Flow>,
    /// Follows HTTP/1; gone once there is nothing more to change.
    framer: Option<Box<Framer>>,
    /// Where the held request goes.
    elsewhere: Option<Elsewhere>,
    /// Who ended first.
    first: Option<Side>,
    finish: Option<Finish>,
}

impl Relay {
    pub(super) fn new(tap: Tap, id: ConnectionId, client: Leg, server: Leg, framer: Option<Framer>) -> Self {
        Self {
            tap,
            id,
            client,
            server,
            flows: Sides::default(),
            framer: framer.filter(|framer| !framer.is_over()).map(Box::new),
            elsewhere: None,
            first: None,
            finish: None,
        }
    }

    /// Says how many bytes of each side were recorded before the relay began.
    pub(super) fn go_on_behind(&mut self, recorded: Sides<u64>) {
        self.flows.client.offset = recorded.client;
        self.flows.server.offset = recorded.server;
    }

    /// Gives the client away, with what it has sent of a CONNECT, and how many bytes of each side were recorded.
    pub(super) fn into_client(mut self) -> (Leg, Vec<u8>, Sides<u64>) {
        let connect = self.framer.as_mut().map(|framer| framer.take_connect()).unwrap_or_default();
        let recorded = Sides { client: self.flows.client.offset, server: self.flows.server.offset };
        (self.client, connect, recorded)
    }

    /// Sends the server what the framer let pass before there was a server, then what it held for it.
    pub(super) fn begin(&mut self, passed: &[u8]) {
        let mut out = passed.to_vec();
        self.resume(&mut out);
    }

    /// Goes on with another server.
    pub(super) fn reconnect(&mut self, server: Leg, to: HostPort) {
        self.server = server;
        let offset = self.flows.server.offset;
        self.flows.server = Flow { offset, ..Flow::default() };
        self.first = self.first.filter(|side| *side == Side::Client);
        if let Some(framer) = &mut self.framer {
            framer.connected(to);
        }
        self.resume(&mut Vec::new());
    }

    fn resume(&mut self, out: &mut Vec<u8>) {
        if let Some(framer) = &mut self.framer {
            let mut more = Vec::new();
            let passed = framer.resume(&mut more, &mut teller(&self.tap, self.id));
            out.extend_from_slice(&more);
            self.passed(passed);
        }
        self.write(Side::Client, out);
        self.let_go_of_framer();
    }

    pub(super) fn client(&mut self) -> &mut Leg {
        &mut self.client
    }

    pub(super) fn server(&self) -> &Leg {
        &self.server
    }

    fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn record(&self, fact: Fact<'_>) {
        self.tap.record(self.id, fact);
    }

    /// Moves what `from` sent; whether anything moved.
    fn pump(&mut self, from: Side, cx: &mut Context<'_>, raw: &mut [u8], scratch: &mut Scratch) -> bool {
        let moved = match self.flush(from.other(), cx) {
            Poll::Ready(moved) => moved,
            // Nothing more is read than the other side takes.
            Poll::Pending => return false,
        };
        let flow = self.flows.of(from);
        if flow.over || flow.refused.is_some() || (from == Side::Client && self.elsewhere.is_some()) {
            return moved;
        }
        if self.leg(from).poll_readable(cx).is_pending() || !self.has_room(from, cx) {
            return moved;
        }
        scratch.plain.clear();
        let clock = *self.tap.clock();
        let Poll::Ready(input) = self.leg(from).poll_read(cx, &clock, raw, &mut scratch.plain) else {
            return moved;
        };
        let bytes = match input.raw {
            Some(length) => raw.get(..length).unwrap_or_default(),
            None => &scratch.plain,
        };
        if !bytes.is_empty() {
            scratch.out.clear();
            self.chunk(from, bytes, &mut scratch.out);
        }
        self.ends(from, input);
        // TLS may have something of its own to say: tickets, key updates, alerts.
        if self.leg(from).is_waiting() {
            let _ = self.flush(from, cx);
        }
        true
    }

    /// Brings on what waits for `to`; whether anything did.
    fn flush(&mut self, to: Side, cx: &mut Context<'_>) -> Poll<bool> {
        let flow = self.flows.of(to.other());
        if flow.refused.is_some() || (flow.unwritten.is_none() && !self.leg(to).is_waiting()) {
            return Poll::Ready(false);
        }
        match self.leg(to).poll_flush(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => self.written(to.other()),
            Poll::Ready(Err(error)) => self.refuses(to, error.into()),
        }
        Poll::Ready(true)
    }

    /// Everything that was sent to the other side of `from` is in the kernel.
    fn written(&mut self, from: Side) {
        if let Some((upto, begun)) = self.flows.of_mut(from).unwritten.take() {
            let written = self.tap.clock().now();
            self.record(Fact::Written(Written { from, upto, begun, written }));
        }
    }

    fn has_room(&mut self, from: Side, cx: &mut Context<'_>) -> bool {
        let room = self.tap.poll_room(cx).is_ready();
        if room && self.flows.of(from).stalled.is_none() {
            return true;
        }
        let now = self.tap.clock().now();
        let stalled = &mut self.flows.of_mut(from).stalled;
        if !room {
            stalled.get_or_insert(now);
        } else if let Some(since) = stalled.take() {
            let waited_ns = now.0.saturating_sub(since.0);
            self.record(Fact::Stalled(Stalled { at: now, from, waited_ns }));
        }
        room
    }

    /// One chunk, from the tap to the other side. A CONNECT's head is none of what is relayed.
    fn chunk(&mut self, from: Side, bytes: &[u8], out: &mut Vec<u8>) {
        if let (Side::Client, Some(framer)) = (from, &mut self.framer) {
            match framer.connecting(bytes) {
                Connecting::No => {}
                Connecting::Perhaps => return,
                Connecting::Yes => return self.elsewhere = Some(Elsewhere::Tunnel),
            }
            let mut before = framer.take_connect();
            if !before.is_empty() {
                before.extend_from_slice(bytes);
                return self.relay(from, &before, out);
            }
        }
        self.relay(from, bytes, out);
    }

    fn relay(&mut self, from: Side, bytes: &[u8], out: &mut Vec<u8>) {
        let stamp = self.leg(from).stamp();
        let flow = self.flows.of_mut(from);
        let offset = flow.offset;
        flow.offset += bytes.len() as u64;
        let chunk = Chunk { from, offset, arrived: stamp.arrived, read: stamp.read, bytes };
        self.record(Fact::Data(chunk));
        let Some(framer) = &mut self.framer else { return self.write(from, bytes) };
        let passed = match from {
            Side::Client => framer.client(offset, bytes, out, &mut teller(&self.tap, self.id)),
            Side::Server => {
                framer.server(offset, bytes, &mut teller(&self.tap, self.id));
                Passed::AsTheyAre
            }
        };
        let bytes = if passed == Passed::AsTheyAre { bytes } else { out };
        self.passed(passed);
        self.write(from, bytes);
        self.let_go_of_framer();
    }

    fn passed(&mut self, passed: Passed) {
        match passed {
            Passed::AsTheyAre | Passed::Changed => {}
            Passed::Elsewhere(to) => self.elsewhere = Some(Elsewhere::Server(to)),
            Passed::Refused(why) => self.elsewhere = Some(Elsewhere::Nowhere(why)),
            Passed::Nowhere(why) => self.finish = Some(Finish::Nowhere(why)),
        }
    }

    /// A framer that is over gives back what it held, and goes.
    fn let_go_of_framer(&mut self) {
        if self.framer.as_ref().is_some_and(|framer| framer.is_over())
            && let Some(mut framer) = self.framer.take()
        {
            let held = framer.take_held();
            self.write(Side::Client, &held);
        }
    }

    /// Writes to the other side of `from` what stands for its bytes so far, but for those that the framer holds.
    fn write(&mut self, from: Side, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let to = from.other();
        let held = match (&self.framer, from) {
            (Some(framer), Side::Client) => framer.held(),
            _ => 0,
        };
        let clock = *self.tap.clock();
        match self.leg(to).send(bytes, &clock) {
            Ok(begun) => {
                let flow = self.flows.of_mut(from);
                let begun = flow.unwritten.map_or(begun, |(_, earlier)| earlier);
                flow.unwritten = Some((flow.offset - held, begun));
                if !self.leg(to).is_waiting() {
                    self.written(from);
                }
            }
            Err(error) => self.refuses(to, error.into()),
        }
    }

    /// `side` takes nothing more. What it still has to say is relayed before the connection ends.
    fn refuses(&mut self, side: Side, broken: Broken) {
        if self.flows.of(side).over {
            return self.breaks(side, broken);
        }
        self.flows.of_mut(side.other()).refused.get_or_insert(broken);
    }

    /// `side` broke: so does the other one.
    fn breaks(&mut self, side: Side, broken: Broken) {
        self.note_end(side, broken.how);
        self.client.reset_on_drop();
        self.server.reset_on_drop();
        self.close(Some(broken.why));
    }

    fn note_end(&mut self, side: Side, how: Ending) {
        let at = self.tap.clock().now();
        self.record(Fact::Ended(Ended { at, from: side, how }));
        self.flows.of_mut(side).end.get_or_insert(how);
        self.first.get_or_insert(side);
    }

    fn close(&mut self, error: Option<String>) {
        let first = self.first.unwrap_or(Side::Client);
        let how = self.flows.of(first).end.unwrap_or(Ending::Error);
        let error = error.filter(|_| how != Ending::Fin && how != Ending::CloseNotify);
        self.finish.get_or_insert_with(|| Finish::Closed { by: first.into(), how, error });
    }

    /// Passes on how `from` ended, if it did.
    fn ends(&mut self, from: Side, input: Input) {
        if !input.close_notify && !input.fin && input.broken.is_none() {
            return;
        }
        if from == Side::Client
            && let Some(mut framer) = self.framer.take()
        {
            self.write(from, &framer.take_held());
            // What did not become a CONNECT.
            let rest = framer.take_connect();
            if !rest.is_empty() && self.elsewhere.is_none() {
                self.relay(from, &rest, &mut Vec::new());
            }
        }
        if let (Side::Server, Some(framer)) = (from, &mut self.framer) {
            framer.server_ended();
            if self.elsewhere.is_some() && framer.is_answered() {
                // It closes behind its last answer, and the client is about to leave it anyway.
                self.flows.server.over = true;
                return;
            }
        }
        if let Some(broken) = input.broken {
            return self.breaks(from, broken);
        }
        if input.close_notify {
            self.note_end(from, Ending::CloseNotify);
            self.leg(from.other()).end(Ending::CloseNotify);
        }
        if input.fin {
            if let Some(refused) = self.flows.of(from.other()).refused.clone() {
                // It had refused our bytes: what looks like an end in order was a reset.
                return self.breaks(from, refused);
            }
            self.note_end(from, Ending::Fin);
            self.flows.of_mut(from).over = true;
            // A request that waits to go elsewhere behind an answer that never comes: nothing more is read for it.
            self.flows.client.over |= self.elsewhere.is_some();
            self.leg(from.other()).end(Ending::Fin);
        }
    }

    /// Moves what there is to move, both ways, for a while.
    fn poll_pumps(&mut self, cx: &mut Context<'_>, raw: &mut [u8], scratch: &mut Scratch) -> Poll<Finish> {
        let mut still = 0;
        for from in Side::BOTH.into_iter().cycle().take(TURNS) {
            still = if self.pump(from, cx, raw, scratch) { 0 } else { still + 1 };
            if let Some(finish) = self.is_done() {
                return Poll::Ready(finish);
            }
            if still == Side::BOTH.len() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether there is nothing more to do.
    fn is_done(&mut self) -> Option<Finish> {
        if self.finish.is_none() && self.elsewhere.is_some() && !self.server.is_waiting() && !self.client.is_waiting() {
            let answered = self.framer.as_ref().is_none_or(|framer| framer.is_answered());
            self.finish = if answered { self.elsewhere.take().map(Finish::Elsewhere) } else { None };
        }
        let both = self.flows.client.over && self.flows.server.over;
        if self.finish.is_none() && both && !self.client.is_waiting() && !self.server.is_waiting() {
            self.close(None);
        }
        self.finish.take()
    }
}

/// Turns what the framer tells into facts.
fn teller<'a>(tap: &'a Tap, id: ConnectionId) -> impl FnMut(Told<'_>) + 'a {
    move |told| match told {
        Told::Rewritten(what, bytes) => tap.record(id, Fact::Rewritten(what, bytes)),
        Told::Aside(from, offset, why) => {
            let at = tap.clock().now();
            tap.record(id, Fact::SteppedAside(SteppedAside { at, from, offset, why: why.into() }));
        }
    }
}

impl Future for Relay {
    type Output = Finish;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finish> {
        with_raw(|raw| SCRATCH.with_borrow_mut(|scratch| self.poll_pumps(cx, raw, scratch)))
    }
}
