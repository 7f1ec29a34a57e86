//! The document over HTTP, by as little as can be.

use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
};

use crate::Result;

/// Answers every connection with the document, in a thread of this process: its time is not the contenders'.
pub(crate) fn serve(path: &Path) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let path = path.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A contender that fails says so itself.
            answer(stream, &path).ok();
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, path: &PathBuf) -> Result {
    let mut request = vec![];
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    std::io::copy(&mut file, &mut stream)?;
    Ok(())
}
