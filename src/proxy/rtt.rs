//! A TCP connection's smoothed round trip. The kernel tells it in `TCP_INFO`, which no safe interface reads as a socket
//! option; `sock_diag` (sock_diag(7)) tells the same over netlink, which needs none but safe calls.

use std::{net::SocketAddr, time::Duration};

/// The smoothed round trip of our connection from `local` to `peer`; `None` where the platform does not tell.
pub(super) fn smoothed(local: SocketAddr, peer: SocketAddr) -> Option<Duration> {
    platform::smoothed(local, peer).filter(|rtt| !rtt.is_zero())
}

#[cfg(target_os = "linux")]
mod platform {
    use std::{
        cell::OnceCell,
        net::{IpAddr, SocketAddr},
        os::fd::{AsRawFd as _, OwnedFd},
        time::Duration,
    };

    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
    };

    // linux/sock_diag.h, linux/inet_diag.h, linux/tcp.h
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const INET_DIAG_INFO: u16 = 2;
    const NO_COOKIE: [u8; 8] = [0xff; 8];
    /// `nlmsghdr` and `inet_diag_msg`, behind which the attributes stand.
    const ATTRIBUTES: usize = 16 + 72;
    /// Where `tcpi_rtt` (microseconds) stands in `tcp_info`.
    const RTT: usize = 68;

    thread_local! {
        static NETLINK: OnceCell<Option<OwnedFd>> = const { OnceCell::new() };
    }

    pub(super) fn smoothed(local: SocketAddr, peer: SocketAddr) -> Option<Duration> {
        NETLINK.with(|socket| ask(socket.get_or_init(open).as_ref()?, local, peer))
    }

    fn open() -> Option<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag).ok()
    }

    /// The kernel answers before `sendto` returns.
    fn ask(netlink: &OwnedFd, local: SocketAddr, peer: SocketAddr) -> Option<Duration> {
        let request = request(local, peer);
        let fd = netlink.as_raw_fd();
        let mut answer = [0; 1024];
        // An answer that came too late for an earlier question.
        while recv(fd, &mut answer, MsgFlags::empty()).is_ok() {}
        sendto(fd, &request, &NetlinkAddr::new(0, 0), MsgFlags::empty()).ok()?;
        let length = recv(fd, &mut answer, MsgFlags::empty()).ok()?;
        rtt(answer.get(..length)?)
    }

    fn request(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(72);
        bytes.extend_from_slice(&72_u32.to_ne_bytes());
        bytes.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        // inet_diag_req_v2: family, protocol, extensions, padding, states.
        let family = if local.is_ipv4() { nix::libc::AF_INET } else { nix::libc::AF_INET6 };
        bytes.push(u8::try_from(family).unwrap_or_default());
        bytes.push(u8::try_from(nix::libc::IPPROTO_TCP).unwrap_or_default());
        bytes.extend_from_slice(&[1 << (INET_DIAG_INFO - 1), 0]);
        bytes.extend_from_slice(&u32::MAX.to_ne_bytes());
        // inet_diag_sockid: ports, addresses, interface, cookie.
        bytes.extend_from_slice(&local.port().to_be_bytes());
        bytes.extend_from_slice(&peer.port().to_be_bytes());
        for address in [local.ip(), peer.ip()] {
            match address {
                IpAddr::V4(address) => {
                    bytes.extend_from_slice(&address.octets());
                    bytes.extend_from_slice(&[0; 12]);
                }
                IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
            }
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&NO_COOKIE);
        bytes
    }

    fn rtt(answer: &[u8]) -> Option<Duration> {
        let number = |bytes: &[u8], at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        if number(answer, 4)? != SOCK_DIAG_BY_FAMILY {
            return None;
        }
        let mut rest = answer.get(ATTRIBUTES..)?;
        loop {
            let (length, kind) = (usize::from(number(rest, 0)?), number(rest, 2)?);
            let value = rest.get(4..length)?;
            if kind == INET_DIAG_INFO {
                let micros = u32::from_ne_bytes(value.get(RTT..RTT + 4)?.try_into().ok()?);
                return Some(Duration::from_micros(micros.into()));
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    pub(super) fn smoothed(_: std::net::SocketAddr, _: std::net::SocketAddr) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn loopback_has_a_round_trip_and_a_stranger_has_none() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (local, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            let rtt = smoothed(local, peer).unwrap();
            assert!(rtt < Duration::from_secs(1), "{rtt:?}");
            drop((stream, listener));
        }
        let nobody = "127.0.0.1:1".parse().unwrap();
        assert_eq!(smoothed(nobody, nobody), None);
    }
}
