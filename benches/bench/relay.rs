//! The baseline: CONNECT, TLS on both sides, bytes copied. Nothing is parsed, stamped or recorded.

use std::{path::PathBuf, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = PathBuf::from(std::env::var("BENCH_FOLDER").unwrap());
        let acceptor = tokio_rustls::TlsAcceptor::from(super::tls::server(&folder));
        let connector = tokio_rustls::TlsConnector::from(super::tls::verifying_client(&folder));
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener: TcpListener = socket.listen(1024).unwrap();
        println!("port {}", listener.local_addr().unwrap().port());
        let (acceptor, connector) = (Arc::new(acceptor), Arc::new(connector));
        loop {
            let Ok((client, _)) = listener.accept().await else { continue };
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                let _ = relay(client, &acceptor, &connector).await;
            });
        }
    });
}

async fn relay(
    mut client: TcpStream,
    acceptor: &tokio_rustls::TlsAcceptor,
    connector: &tokio_rustls::TlsConnector,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let authority = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
    let server = TcpStream::connect(&authority).await?;
    server.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut server = Box::new(connector.connect(name, server).await?);
    let mut client = Box::new(acceptor.accept(client).await?);
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
