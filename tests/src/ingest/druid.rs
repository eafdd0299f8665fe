//! The emulated Druid, driven from tests that are not async.

use super::client::Client;
use super::proxy::Request;
use crate::feeds::runtime;
use crate::spool::WITHIN;
use host_emulators::overlord::{self, Options, OverlordFault, OverlordHandle, OverlordRequest, OverlordStats};
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::net::TcpListener;

/// The data source that tests load into.
pub const DATA_SOURCE: &str = "wikipedia";

/// An emulated Druid.
pub struct Druid {
    handle: OverlordHandle,
    client: Client,
}

impl Druid {
    /// On a free port; fetches are repeated soon.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(change: impl FnOnce(&mut Options)) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), change)
    }

    /// At an address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_at(addr: SocketAddr, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options { retry_base: Duration::from_millis(10), ..Options::default() };
        change(&mut options);
        let login = options.login.clone();
        let handle = runtime().block_on(async {
            let listener = TcpListener::bind(addr).await.unwrap();
            overlord::start(listener, options).await.unwrap()
        });
        let client = Client::new(&handle.url());
        let client = match login {
            Some((user, password)) => client.basic(&user, &password),
            None => client,
        };
        Druid { handle, client }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.handle.addr()
    }

    /// Its address as a host is configured with it.
    pub fn url(&self) -> String {
        self.handle.url()
    }

    /// Makes it fail.
    pub fn fault(&self, fault: OverlordFault) {
        runtime().block_on(self.handle.fault(fault));
    }

    /// Ends it.
    pub fn stop(self) {
        runtime().block_on(self.handle.stop());
    }

    /// Its counters.
    pub fn stats(&self) -> OverlordStats {
        self.handle.stats()
    }

    /// The handle itself.
    pub fn handle(&self) -> &OverlordHandle {
        &self.handle
    }

    /// Waits until its counters are as `condition` asks.
    ///
    /// # Panics
    /// When they do not get there, with the counters.
    pub fn wait(&self, what: &str, condition: impl Fn(&OverlordStats) -> bool) {
        let reached = runtime().block_on(self.handle.wait_for(condition, WITHIN));
        assert!(reached, "waited {WITHIN:?} in vain: {what}: {:#?}", self.stats());
    }

    /// Calls that handed a task in.
    pub fn submissions(&self) -> Vec<OverlordRequest> {
        let is_one = |request: &OverlordRequest| request.method == "POST" && request.target == "/druid/indexer/v1/task";
        self.handle.requests().into_iter().filter(is_one).collect()
    }

    /// A task as it was handed in.
    ///
    /// # Panics
    /// When it has none of this name.
    pub fn task(&self, id: &str) -> Value {
        self.client.get(&format!("/druid/indexer/v1/task/{id}")).expect(200).json()["payload"].take()
    }

    /// Rows, and the sum of what was added, by SQL; nothing stored is zero of both.
    ///
    /// # Panics
    /// When it answers otherwise.
    pub fn totals(&self) -> (u64, i64) {
        let query = format!(r#"SELECT COUNT(*) AS "rows", SUM("added") AS "added" FROM "{DATA_SOURCE}""#);
        let answer = self.client.post("/druid/v2/sql", &json!({ "query": query }));
        if answer.status == 400 && answer.text().contains("not found") {
            return (0, 0);
        }
        let found = answer.expect(200).json();
        (found[0]["rows"].as_u64().unwrap(), found[0]["added"].as_i64().unwrap_or(0))
    }
}

/// An Overlord that does not lead: it sends every call on to the one that does. Lasts as long as the process.
///
/// # Panics
/// When there is no free port.
pub fn follower(leader: SocketAddr) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || send_on(stream, leader));
        }
    });
    url
}

fn send_on(mut stream: TcpStream, leader: SocketAddr) -> Option<()> {
    let request = Request::read(&mut BufReader::new(stream.try_clone().ok()?))?;
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{leader}{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        request.path()
    );
    stream.write_all(answer.as_bytes()).ok()
}
