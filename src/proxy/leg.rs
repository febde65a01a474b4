//! One leg: a TCP connection to the client or to the server, with or without TLS, driven by hand. rustls is fed from
//! reads of ours so that each piece of plaintext keeps the kernel's stamp of the read that completed its record, and so that
//! each way of ending can be told apart and passed on.
//!
//! What must not happen here: a buffer held while the connection is idle, a write that is not asked for.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, BufRead as _, IoSlice, Write},
    task::{Context, Poll, ready},
};

use rustls::Connection as Tls;
use tokio::net::TcpStream;

use super::socket;
use crate::{
    clock::Clock,
    model::{Timestamp, trace::Ending},
};

/// How much one read takes. Plaintext of one read is at most this and one record more.
pub(super) const READ_BYTES: usize = 64 << 10;

thread_local! {
    static RAW: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Lends what all legs of a thread read into, one after the other: nothing of it lasts until the next poll.
pub(super) fn with_raw<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    RAW.with_borrow_mut(|raw| read(raw))
}

/// When the last read was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    /// When the kernel had its last byte.
    pub(super) arrived: Option<Timestamp>,
    /// When the read returned.
    pub(super) read: Timestamp,
}

impl Stamp {
    /// That of the next read. The kernel stamps in order; but each stamp is put onto our clock by two readings of its
    /// own, which differ by some 100 ns, and the wall clock may be set back. What came later did not arrive earlier.
    fn followed_by(self, arrived: Timestamp, read: Timestamp) -> Self {
        Self { arrived: self.arrived.max(Some(arrived)), read }
    }
}

/// What a read brought besides bytes.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Whether the plaintext lies in `raw` (so many bytes) or in `plain`.
    pub(super) raw: Option<usize>,
    /// TLS ended, in order.
    pub(super) close_notify: bool,
    /// TCP ended, in order.
    pub(super) fin: bool,
    /// It broke.
    pub(super) broken: Option<Broken>,
}

/// How a leg broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The kind.
    pub(super) how: Ending,
    /// In words.
    pub(super) why: String,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        let how = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Ending::Rst
            }
            io::ErrorKind::TimedOut => Ending::Timeout,
            _ => Ending::Error,
        };
        Self { how, why: super::destination::words(&error) }
    }
}

impl From<rustls::Error> for Broken {
    fn from(error: rustls::Error) -> Self {
        Self { how: Ending::Error, why: error.to_string() }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Leg {
    tcp: TcpStream,
    tls: Option<Box<Tls>>,
    /// Bytes off the wire that were read before it was known what they are.
    early: Vec<u8>,
    stamp: Stamp,
    /// Plaintext may already lie in `tls`.
    primed: bool,
    /// `close_notify` came: what follows on the wire is not looked at.
    notified: bool,
    /// Without TLS: bytes that the kernel did not take yet, and how many of them it took since.
    waiting: Vec<u8>,
    taken: usize,
    fin_wanted: bool,
    fin_sent: bool,
    quick_ack: bool,
}

impl Leg {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            tls: None,
            early: Vec::new(),
            stamp: Stamp::default(),
            primed: false,
            notified: false,
            waiting: Vec::new(),
            taken: 0,
            fin_wanted: false,
            fin_sent: false,
            quick_ack: false,
        }
    }

    /// Acknowledges what comes at once (the kernel forgets it: it is said before each read).
    pub(super) fn acknowledge_at_once(&mut self) {
        self.quick_ack = true;
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
    }

    /// When the last read was.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Puts TLS on top.
    pub(super) fn set_tls(&mut self, mut tls: Tls) {
        // What is not taken by the kernel is bounded by the relay, which then reads no more.
        tls.set_buffer_limit(None);
        self.tls = Some(Box::new(tls));
        self.primed = true;
    }

    /// Puts bytes back, to be read again.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        self.early.splice(..0, bytes.iter().copied());
    }

    /// Drops the connection with a reset instead of an end in order.
    pub(super) fn reset_on_drop(&self) {
        let _ = self.tcp.set_zero_linger();
    }

    /// Whether there is something to read, plaintext or not.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.primed || !self.early.is_empty() {
            return Poll::Ready(());
        }
        // An error shows itself in the read.
        self.tcp.poll_read_ready(cx).map(drop)
    }

    /// Reads off the wire.
    pub(super) fn poll_read_raw(
        &mut self,
        cx: &mut Context<'_>,
        clock: &Clock,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(self.early.drain(..length)) {
                *to = from;
            }
            if self.early.is_empty() {
                self.early = Vec::new();
            }
            return Poll::Ready(Ok(length));
        }
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            #[cfg(target_os = "linux")]
            if self.quick_ack {
                let _ = self.tcp.set_quickack(true);
            }
            match socket::receive(&self.tcp, buffer) {
                Ok((read, stamped)) => {
                    self.stamp = match stamped.map(|stamped| clock.now_and_arrival(stamped)) {
                        Some((read, arrived)) => self.stamp.followed_by(arrived, read),
                        None => Stamp { arrived: None, read: clock.now() },
                    };
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads plaintext: into `raw` where there is no TLS, else through `raw` into `plain` (which is empty before).
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        clock: &Clock,
        raw: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Poll<Input> {
        let mut input = Input::default();
        if std::mem::take(&mut self.primed) {
            let mut nothing: &[u8] = &[];
            self.feed(&mut nothing, plain, &mut input);
            if !plain.is_empty() || input.close_notify || input.broken.is_some() {
                return Poll::Ready(input);
            }
        }
        let read = match ready!(self.poll_read_raw(cx, clock, raw)) {
            Ok(0) => {
                input.fin = true;
                return Poll::Ready(input);
            }
            Ok(read) => read,
            Err(error) => {
                input.broken = Some(error.into());
                return Poll::Ready(input);
            }
        };
        if self.tls.is_none() {
            input.raw = Some(read);
        } else if !self.notified {
            let mut bytes = raw.get(..read).unwrap_or_default();
            self.feed(&mut bytes, plain, &mut input);
        }
        Poll::Ready(input)
    }

    /// Gives bytes off the wire to rustls and takes the plaintext out.
    fn feed(&mut self, bytes: &mut &[u8], plain: &mut Vec<u8>, input: &mut Input) {
        let Some(tls) = self.tls.as_deref_mut() else { return };
        loop {
            let state = tls.process_new_packets();
            // What was decrypted before an error is data all the same.
            let mut reader = tls.reader();
            while let Ok(chunk) = reader.fill_buf() {
                if chunk.is_empty() {
                    break;
                }
                plain.extend_from_slice(chunk);
                let length = chunk.len();
                reader.consume(length);
            }
            match state {
                Ok(state) if state.peer_has_closed() => {
                    input.close_notify = true;
                    self.notified = true;
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    input.broken = Some(error.into());
                    return;
                }
            }
            if bytes.is_empty() {
                return;
            }
            match tls.read_tls(bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    input.broken = Some(error.into());
                    return;
                }
            }
        }
    }

    /// Hands bytes to the kernel as far as it takes them; the rest waits here, and [`Self::poll_flush`] brings it on.
    /// Gives the instant just before the first write.
    pub(super) fn send(&mut self, bytes: &[u8], clock: &Clock) -> io::Result<Timestamp> {
        match self.tls.as_deref_mut() {
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                let begun = clock.now();
                self.write_some()?;
                Ok(begun)
            }
            None => {
                let begun = clock.now();
                let mut rest = bytes;
                while self.waiting.is_empty() && !rest.is_empty() {
                    match self.tcp.try_write(rest) {
                        Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
                self.waiting.extend_from_slice(rest);
                Ok(begun)
            }
        }
    }

    /// Passes an end on, behind everything that was sent before.
    pub(super) fn end(&mut self, how: Ending) {
        match (how, self.tls.as_deref_mut()) {
            (Ending::CloseNotify, Some(tls)) => tls.send_close_notify(),
            _ => self.fin_wanted = true,
        }
    }

    /// Whether something waits to be written.
    pub(super) fn is_waiting(&self) -> bool {
        self.tls.as_deref().is_some_and(|tls| tls.wants_write())
            || !self.waiting.is_empty()
            || self.fin_wanted != self.fin_sent
    }

    /// Brings to the kernel what waits.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.is_waiting() {
            if self.write_some()? {
                break;
            }
            ready!(self.tcp.poll_write_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes until the kernel takes no more (false) or nothing waits (true).
    fn write_some(&mut self) -> io::Result<bool> {
        if let Some(tls) = self.tls.as_deref_mut() {
            let mut writer = Writer(&self.tcp);
            while tls.wants_write() {
                match tls.write_tls(&mut writer) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
        }
        while let Some(rest) = self.waiting.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match self.tcp.try_write(rest) {
                Ok(written) => self.taken += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if !self.waiting.is_empty() {
            (self.waiting, self.taken) = (Vec::new(), 0);
        }
        if self.fin_wanted && !self.fin_sent {
            self.fin_sent = true;
            socket::shut_write(&self.tcp)?;
        }
        Ok(true)
    }

    /// Reads off the wire until there is something, and appends it. 0 is the end.
    pub(super) async fn read_raw_into(&mut self, clock: &Clock, into: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| {
            with_raw(|raw| {
                let read = ready!(self.poll_read_raw(cx, clock, raw))?;
                into.extend_from_slice(raw.get(..read).unwrap_or_default());
                Poll::Ready(Ok(read))
            })
        })
        .await
    }

    /// Reads plaintext until there is something (appended to `into`) or an end.
    pub(super) async fn read_into(&mut self, clock: &Clock, into: &mut Vec<u8>) -> Input {
        let before = into.len();
        let mut plain = Vec::new();
        loop {
            let input = poll_fn(|cx| {
                with_raw(|raw| {
                    let input = ready!(self.poll_read(cx, clock, raw, &mut plain));
                    let raw = input.raw.and_then(|length| raw.get(..length));
                    into.extend_from_slice(raw.unwrap_or_default());
                    Poll::Ready(input)
                })
            })
            .await;
            into.append(&mut plain);
            if into.len() > before || input.close_notify || input.fin || input.broken.is_some() {
                return input;
            }
        }
    }

    /// Sends and waits until the kernel has it. Gives the instant just before the first write.
    pub(super) async fn send_all(&mut self, bytes: &[u8], clock: &Clock) -> io::Result<Timestamp> {
        let begun = self.send(bytes, clock)?;
        poll_fn(|cx| self.poll_flush(cx)).await?;
        Ok(begun)
    }

    /// Brings the TLS handshake to its end. What came behind it stays to be read, with its stamp.
    pub(super) async fn handshake(&mut self, clock: &Clock) -> Result<(), Broken> {
        loop {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            if !self.tls.as_deref().is_some_and(|tls| tls.is_handshaking()) {
                return Ok(());
            }
            poll_fn(|cx| with_raw(|raw| self.poll_handshake(cx, clock, raw))).await?;
        }
    }

    /// Reads what the other side says in its handshake, as far as it has come.
    fn poll_handshake(&mut self, cx: &mut Context<'_>, clock: &Clock, raw: &mut [u8]) -> Poll<Result<(), Broken>> {
        let read = ready!(self.poll_read_raw(cx, clock, raw))?;
        if read == 0 {
            let why = "the connection was closed during the TLS handshake".into();
            return Poll::Ready(Err(Broken { how: Ending::Fin, why }));
        }
        let mut rest = raw.get(..read).unwrap_or_default();
        while let Some(tls) = self.tls.as_deref_mut().filter(|tls| tls.is_handshaking() && !rest.is_empty()) {
            tls.read_tls(&mut rest)?;
            if let Err(error) = tls.process_new_packets() {
                // The alert that says so, as far as it goes.
                let _ = self.write_some();
                return Poll::Ready(Err(error.into()));
            }
        }
        self.early.extend_from_slice(rest);
        Poll::Ready(Ok(()))
    }
}

/// What rustls writes to. It gathers records into one `writev`.
struct Writer<'a>(&'a TcpStream);

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // One record, as nearly always: `send` is the shorter way through the kernel.
            [record] => self.0.try_write(record),
            _ => self.0.try_write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_later_did_not_arrive_earlier() {
        let at = |arrived, read| Stamp { arrived: Some(Timestamp(arrived)), read: Timestamp(read) };
        let first = Stamp::default().followed_by(Timestamp(500), Timestamp(600));
        assert_eq!((first.arrived, first.read), (at(500, 600).arrived, at(500, 600).read));
        let jittered = first.followed_by(Timestamp(320), Timestamp(700));
        assert_eq!((jittered.arrived, jittered.read), (Some(Timestamp(500)), Timestamp(700)));
        assert_eq!(jittered.followed_by(Timestamp(650), Timestamp(800)).arrived, Some(Timestamp(650)));
    }
}
