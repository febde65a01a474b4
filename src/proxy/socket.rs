//! The sockets themselves: their options, and reads that bring the kernel's receive time along.

use std::{io, time::Duration};

use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::{io::Interest, net::TcpStream};

/// Dead peers are found after about 60 s + 4 × 15 s without a word; living idle ones are kept for ever.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EACH: Duration = Duration::from_secs(15);

/// What every socket of ours gets. A failure here costs latency or stamps, not the connection.
pub(super) fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EACH);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    stamps::ask_for(stream);
}

/// Has what clients send stamped before we have accepted them; accepted sockets inherit it.
pub(super) fn prepare_listener(listener: &Socket) {
    stamps::ask_for(listener);
}

/// Ends our sending, in order.
pub(super) fn shut_write(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(std::net::Shutdown::Write)
}

/// One read: how many bytes, and when the kernel had received the last of them (time since 1970), where it tells.
///
/// A read that does not fill `buffer` has emptied the socket (epoll reports edges), so tokio is told so at once; that
/// saves the second read that would only find nothing. An end of the connection stays readable all the same.
pub(super) fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<Duration>)> {
    let mut short = None;
    let read = stream.try_io(Interest::READABLE, || {
        let (read, stamp) = stamps::receive(stream, buffer)?;
        if stamps::EDGES && read > 0 && read < buffer.len() {
            short = Some((read, stamp));
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok((read, stamp))
    });
    match short {
        Some(read) => Ok(read),
        None => read,
    }
}

#[cfg(target_os = "linux")]
mod stamps {
    use std::{
        cell::RefCell,
        io::{self, IoSliceMut},
        os::fd::{AsFd, AsRawFd as _},
        time::Duration,
    };

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, TimestampingFlag, recvmsg, setsockopt, sockopt};
    use tokio::net::TcpStream;

    /// Whether the readiness that tokio uses here comes as edges.
    pub(super) const EDGES: bool = true;

    thread_local! {
        static CONTROL: RefCell<Vec<u8>> = RefCell::new(nix::cmsg_space!(nix::sys::socket::Timestamps));
    }

    pub(super) fn ask_for(socket: &impl AsFd) {
        let flags = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
        let _ = setsockopt(socket, sockopt::Timestamping, &flags);
    }

    pub(super) fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<Duration>)> {
        CONTROL.with_borrow_mut(|control| {
            let mut slices = [IoSliceMut::new(buffer)];
            let got = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(control), MsgFlags::empty())?;
            let stamp = got.cmsgs().ok().and_then(|mut messages| {
                messages.find_map(|message| match message {
                    ControlMessageOwned::ScmTimestampsns(stamps) => Some(Duration::from(stamps.system)),
                    _ => None,
                })
            });
            Ok((got.bytes, stamp.filter(|stamp| !stamp.is_zero())))
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod stamps {
    use std::{io, io::Read as _, time::Duration};

    use tokio::net::TcpStream;

    pub(super) const EDGES: bool = false;

    pub(super) fn ask_for<S>(_: &S) {}

    /// No stamp: it is absent, not faked.
    pub(super) fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<Duration>)> {
        (&*socket2::SockRef::from(stream)).read(buffer).map(|read| (read, None))
    }
}
