//! A proxy between a host and a Druid that tells a test of each call, before it is passed on and before
//! its answer is handed back: the test may end the host just then, and have the connection cut.

use super::client::{Client, End};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The host has sent it, Druid has not seen it.
    Asked,
    /// Druid has answered, the host has not seen it.
    Answered,
}

/// A call as a test sees it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where it is.
    pub moment: Moment,
    /// `POST /druid/indexer/v1/task`.
    pub line: String,
    /// What was sent, or what was answered.
    pub body: String,
}

impl Call {
    /// Whether a task is handed in.
    pub fn is_submission(&self) -> bool {
        self.line == "POST /druid/indexer/v1/task"
    }

    /// Whether a task is asked after.
    pub fn is_status(&self) -> bool {
        self.line.ends_with("/status")
    }
}

/// Decides about a call: whether it goes on. One that does not has its connection cut.
type Watch = dyn Fn(&Call) -> bool + Send + Sync;
/// Makes the body that is passed on of the one that came.
type Mend = dyn Fn(String) -> String + Send + Sync;

/// Listens on a free port and passes calls on to `druid`; lasts as long as the process.
///
/// # Panics
/// When there is no free port.
pub fn proxy(druid: SocketAddr, watch: impl Fn(&Call) -> bool + Send + Sync + 'static) -> String {
    listen(druid, Arc::new(watch), Arc::new(|body| body))
}

/// As [`proxy`], and all calls go on with a body that `mend` makes.
///
/// # Panics
/// When there is no free port.
pub fn mending_proxy(druid: SocketAddr, mend: impl Fn(String) -> String + Send + Sync + 'static) -> String {
    listen(druid, Arc::new(|_: &Call| true), Arc::new(mend))
}

fn listen(druid: SocketAddr, watch: Arc<Watch>, mend: Arc<Mend>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (watch, mend) = (Arc::clone(&watch), Arc::clone(&mend));
            // A host that ended takes its connections with it.
            std::thread::spawn(move || pass(stream, druid, watch.as_ref(), mend.as_ref()));
        }
    });
    url
}

/// A request as it came.
pub(super) struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    /// Reads one; none: the connection has ended.
    pub(super) fn read(from: &mut impl BufRead) -> Option<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.map_or(Some(0), |(_, length)| length.parse().ok())?];
        from.read_exact(&mut body).ok()?;
        let line = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
        Some(Request { line, headers, body: String::from_utf8(body).ok()? })
    }

    /// Path and query.
    pub(super) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// Passes calls of one connection on, until one is not to go on or the host has had enough.
fn pass(mut host: TcpStream, druid: SocketAddr, watch: &Watch, mend: &Mend) -> Option<()> {
    let mut asked = BufReader::new(host.try_clone().ok()?);
    loop {
        let Request { line, headers, body } = Request::read(&mut asked)?;
        let call = Call { moment: Moment::Asked, line, body: mend(body) };
        if !watch(&call) {
            return None;
        }
        let (method, path) = call.line.split_once(' ')?;
        let kept = |name: &str| ["authorization", "content-type", "range"].contains(&name);
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| kept(name))
            .collect();
        let answer =
            Client::new(&format!("http://{druid}")).open(method, path, &headers, call.body.as_bytes()).answer();
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.end != End::Whole || !watch(&Call { moment: Moment::Answered, body, ..call }) {
            return None;
        }
        let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
        for (name, value) in &answer.headers {
            if ["content-type", "content-range", "location"].contains(&name.as_str()) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        host.write_all(&[head.as_bytes(), b"\r\n", &answer.body].concat()).ok()?;
    }
}
