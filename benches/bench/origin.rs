//! The origin: a fast HTTPS server of its own (a library would be the bottleneck). `/b/N` answers N bytes, a POST is read
//! to its end first, an upgrade becomes a socket that echoes what it gets.

use std::path::PathBuf;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = PathBuf::from(std::env::var("BENCH_FOLDER").unwrap());
        let acceptor = tokio_rustls::TlsAcceptor::from(super::tls::server(&folder));
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1024).unwrap();
        println!("port {}", listener.local_addr().unwrap().port());
        loop {
            let Ok((tcp, _)) = listener.accept().await else { continue };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = serve(tcp, acceptor).await;
            });
        }
    });
}

async fn serve(tcp: TcpStream, acceptor: tokio_rustls::TlsAcceptor) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut stream = acceptor.accept(tcp).await?;
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let Some(head_end) = read_head(&mut stream, &mut buffer).await? else { return Ok(()) };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let length: usize = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        while buffer.len() < head_end + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        buffer.drain(..head_end + length);
        if let Some(key) = header(&head, "sec-websocket-key") {
            let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await?;
            return echo(stream, buffer).await;
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let size: usize = path.strip_prefix("/b/").and_then(|n| n.parse().ok()).unwrap_or(20);
        let mut answer = Vec::with_capacity(size + 256);
        answer.extend_from_slice(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Correlation-Id: 5f0c3f5e-1b1a-4c8e-9d3f-000000000001\r\nCache-Control: no-cache\r\nContent-Length: {size}\r\n\r\n"
            )
            .as_bytes(),
        );
        answer.resize(answer.len() + size, b'x');
        stream.write_all(&answer).await?;
    }
}

async fn read_head<S: AsyncReadExt + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> std::io::Result<Option<usize>> {
    loop {
        if let Some(at) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Echoes masked frames of up to 65,535 bytes as unmasked ones, as many per write as came per read.
async fn echo<S: AsyncReadExt + AsyncWriteExt + Unpin>(mut stream: S, mut buffer: Vec<u8>) -> std::io::Result<()> {
    let mut out = Vec::new();
    loop {
        let mut used = 0;
        while let Some((frame, payload)) = whole_frame(&buffer[used..]) {
            let bytes = &buffer[used..used + frame];
            let mask: [u8; 4] = bytes[payload.start - 4..payload.start].try_into().unwrap();
            out.push(bytes[0]);
            match payload.len() {
                n @ 0..126 => out.push(n as u8),
                n => {
                    out.push(126);
                    out.extend_from_slice(&(n as u16).to_be_bytes());
                }
            }
            out.extend(bytes[payload].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            used += frame;
        }
        buffer.drain(..used);
        if !out.is_empty() {
            stream.write_all(&out).await?;
            out.clear();
        }
        if buffer.is_empty() {
            // An idle socket of the origin should not cost the machine memory that is not the proxy's.
            buffer = Vec::new();
            out = Vec::new();
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// The length of the masked frame at the front and its payload's place, if all of it is there.
fn whole_frame(bytes: &[u8]) -> Option<(usize, std::ops::Range<usize>)> {
    let short = usize::from(bytes.get(1)? & 127);
    let (length, at) = match short {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        n => (n, 2),
    };
    let start = at + 4;
    (bytes.len() >= start + length).then_some((start + length, start..start + length))
}
