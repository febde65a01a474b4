//! Bodies of answers: written piece by piece on a blocking thread, sent as fast as the reader takes them.

use std::{
    convert::Infallible,
    io::{self, Write},
    pin::Pin,
    task,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// Pieces that wait for a slow reader; then the writing thread waits.
const AHEAD: usize = 8;
/// How large a piece becomes.
const PIECE: usize = 32 << 10;

/// A body.
pub(super) enum Answer {
    /// In one piece; `None` once it was given.
    Whole(Option<Bytes>),
    /// In pieces: one that came already, and those to come. An error cuts the body off.
    Pieces(Option<Bytes>, mpsc::Receiver<Piece>),
}

/// A piece, or that what wrote them has failed.
pub(super) type Piece = Result<Bytes, CutOff>;

/// The body ends before its end. The reason was logged.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
pub(super) struct CutOff;

/// Where a blocking thread writes a body.
pub(super) struct Pipe {
    pieces: mpsc::Sender<Piece>,
    buffer: Vec<u8>,
}

/// A pipe and its other end.
pub(super) fn pipe() -> (Pipe, mpsc::Receiver<Piece>) {
    let (pieces, receiver) = mpsc::channel(AHEAD);
    (Pipe { pieces, buffer: Vec::new() }, receiver)
}

impl Pipe {
    /// Tells the reader that there is an end too early.
    pub(super) fn cut_off(self) {
        let _ = self.pieces.blocking_send(Err(CutOff));
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Answer {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }
}

impl From<Infallible> for CutOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let first = match self.get_mut() {
            Self::Whole(bytes) => return task::Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(first, pieces) => match first.take() {
                None => return pieces.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
                Some(first) => first,
            },
        };
        task::Poll::Ready(Some(Ok(Frame::data(first))))
    }
}
