//! A client of HTTP/1.1 that shows what others hide: whether an answer came whole, was cut in order, or was
//! broken off. Every wait has a bound.

use crate::feeds::runtime;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A server that says nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(60);

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By its own rules: all bytes of its length, or the last chunk.
    Whole,
    /// The connection was closed in order before that.
    Cut,
    /// The connection was reset before that.
    Reset,
}

/// An answer, or what came of it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status; 0 where not even the head came.
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// How it ended.
    pub end: End,
}

impl Answer {
    /// The value of a header; none: it is not there.
    ///
    /// # Panics
    /// When it is there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found: Vec<&str> =
            self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        assert!(found.len() <= 1, "`{name}` is there {} times", found.len());
        found.first().copied()
    }

    /// Checks the status, and that it came whole and as it is: Druid does not undo encodings.
    ///
    /// # Panics
    /// When it is another, with what was said.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.header("content-encoding"), None);
        let said = String::from_utf8_lossy(self.body.get(..300).unwrap_or(&self.body)).into_owned();
        assert_eq!((self.status, self.end), (status, End::Whole), "{said}");
        self
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Who asks one server, with a new connection for each request.
#[derive(Debug, Clone)]
pub struct Client {
    addr: SocketAddr,
    host: String,
    is_narrow: bool,
    tls: Option<Arc<ClientConfig>>,
    headers: Vec<(String, String)>,
}

impl Client {
    /// For the server at `http://IP:PORT` or `https://IP:PORT`; the latter only after [`Client::trusting`].
    ///
    /// # Panics
    /// For other addresses.
    pub fn new(url: &str) -> Self {
        let addr = url.rsplit('/').next().and_then(|addr| addr.parse().ok());
        let addr: SocketAddr = addr.unwrap_or_else(|| panic!("`{url}` is no address"));
        Client { addr, host: addr.to_string(), is_narrow: false, tls: None, headers: Vec::new() }
    }

    /// Says that it came for this name.
    pub fn called(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Has little room for what it has not read yet, so that a server soon notices that it does not read.
    pub fn narrow(mut self) -> Self {
        self.is_narrow = true;
        self
    }

    /// Speaks TLS with who has a certificate of this authority.
    ///
    /// # Panics
    /// When there is none in the file.
    pub fn trusting(mut self, pem: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pem).unwrap()).unwrap();
        // Already installed is as good.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        self.tls = Some(Arc::new(config));
        self
    }

    /// Sends a header with each request.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Says by HTTP Basic who asks.
    pub fn basic(self, user: &str, password: &str) -> Self {
        self.with("Authorization", &format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }

    /// Whom it asks.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Gets a path.
    ///
    /// # Panics
    /// When no connection is made, or the server is silent.
    pub fn get(&self, path: &str) -> Answer {
        self.open("GET", path, &[], b"").answer()
    }

    /// Gets a path with headers.
    ///
    /// # Panics
    /// As [`Client::get`].
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.open("GET", path, headers, b"").answer()
    }

    /// Gets a part of a path.
    ///
    /// # Panics
    /// As [`Client::get`].
    pub fn range(&self, path: &str, range: &str) -> Answer {
        self.get_with(path, &[("Range", &format!("bytes={range}"))])
    }

    /// Sends JSON.
    ///
    /// # Panics
    /// As [`Client::get`].
    pub fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.open("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes()).answer()
    }

    /// Sends a request and reads nothing yet.
    ///
    /// # Panics
    /// When no connection is made.
    pub fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Exchange {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.host);
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        own.chain(headers.iter().copied()).for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let sent = stream.write_all(&[head.as_bytes(), body].concat()).and_then(|()| stream.flush());
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        Exchange { stream: BufReader::with_capacity(1024, stream), is_head: method == "HEAD" }
    }

    /// Connects and says nothing.
    ///
    /// # Panics
    /// When no connection is made.
    pub fn connect(&self) -> Box<dyn Connection> {
        let stream = match self.is_narrow {
            false => TcpStream::connect_timeout(&self.addr, SILENCE).unwrap(),
            true => self.connect_narrowly(),
        };
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        stream.set_write_timeout(Some(SILENCE)).unwrap();
        match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::IpAddress(self.addr.ip().into());
                Box::new(StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream))
            }
        }
    }
}

impl Client {
    fn connect_narrowly(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        // The system makes it as large as it has to be.
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = runtime().block_on(async { socket.connect(self.addr).await.unwrap() }).into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    }
}

/// A connection, with TLS or without.
pub trait Connection: Read + Write + Send {}

impl<T: Read + Write + Send> Connection for T {}

/// A request whose answer is still to be read.
pub struct Exchange {
    stream: BufReader<Box<dyn Connection>>,
    is_head: bool,
}

impl Exchange {
    /// Reads the answer.
    ///
    /// # Panics
    /// When the server is silent.
    pub fn answer(self) -> Answer {
        self.answer_in_pieces(&mut |_| {})
    }

    /// Reads the answer and calls `each` with every piece of the body, of 1 KiB at most.
    ///
    /// # Panics
    /// As [`Exchange::answer`].
    pub fn answer_in_pieces(mut self, each: &mut dyn FnMut(&[u8])) -> Answer {
        let mut answer = Answer { status: 0, headers: Vec::new(), body: Vec::new(), end: End::Whole };
        if let Err(end) = self.read(&mut answer, each) {
            answer.end = end;
        }
        answer
    }

    fn read(&mut self, answer: &mut Answer, each: &mut dyn FnMut(&[u8])) -> Result<(), End> {
        let head = self.line()?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        answer.status = status.unwrap_or_else(|| panic!("`{head}` is no head of an answer"));
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("`{line}` is no header"));
            answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if self.is_head || matches!(answer.status, 204 | 304) {
            return Ok(());
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.line()?;
                let size =
                    usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("`{size}` is no size of a chunk"));
                self.take(size, &mut answer.body, each)?;
                assert_eq!(self.line()?, "", "a chunk is followed by its break");
                if size == 0 {
                    return Ok(());
                }
            }
        }
        let length = answer.header("content-length").map(|length| length.parse().unwrap());
        self.take(length.expect("a length, or chunks"), &mut answer.body, each)
    }

    fn line(&mut self) -> Result<String, End> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).map_err(ended)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8(line.to_vec()).unwrap()),
            None => Err(End::Cut),
        }
    }

    fn take(&mut self, mut left: usize, body: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) -> Result<(), End> {
        while left > 0 {
            let some = self.stream.fill_buf().map_err(ended)?;
            if some.is_empty() {
                return Err(End::Cut);
            }
            let taken = some.len().min(left);
            body.extend_from_slice(&some[..taken]);
            each(&some[..taken]);
            self.stream.consume(taken);
            left -= taken;
        }
        Ok(())
    }
}

/// What an error says of the end.
fn ended(error: std::io::Error) -> End {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => End::Reset,
        ErrorKind::UnexpectedEof => End::Cut,
        kind => panic!("reading an answer: {kind}: {error}"),
    }
}
