//! A connection to a broker that can be told to fail at the worst moment.
//!
//! It understands as much of Kafka's protocol as it needs: the length before each message, the
//! first words of a request, and the number that an answer repeats.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What happens to the next request that commits a transaction (`EndTxn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not reach the broker, and the connection is down from then on.
    LoseRequest,
    /// It reaches the broker, the answer is lost, and the connection is down from then on.
    LoseAnswer,
    /// It reaches the broker after this time, and so does what the client asks again meanwhile.
    Delay(Duration),
}

#[derive(Default)]
struct State {
    target: Option<SocketAddr>,
    armed: Option<Fault>,
    happened: bool,
    held_until: Option<Instant>,
    is_down: bool,
    open: Vec<TcpStream>,
}

/// A proxy on a port of its own. Its threads end with the process.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accept(client, &shared);
            }
        });
        Proxy { address, state }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Says where the broker is.
    pub(crate) fn lead_to(&self, target: &str) {
        lock(&self.state).target = Some(target.parse().unwrap());
    }

    /// Makes the next commit fail.
    pub(crate) fn arm(&self, fault: Fault) {
        let mut state = lock(&self.state);
        (state.armed, state.happened) = (Some(fault), false);
    }

    /// Whether the fault has happened.
    pub(crate) fn has_happened(&self) -> bool {
        lock(&self.state).happened
    }

    /// Lets connections through again.
    pub(crate) fn come_up(&self) {
        lock(&self.state).is_down = false;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn go_down(state: &Mutex<State>) {
    let mut state = lock(state);
    (state.is_down, state.happened) = (true, true);
    for stream in state.open.drain(..) {
        // Closed by the other side already is as good.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn hold(state: &Mutex<State>) {
    let until = lock(state).held_until;
    thread::sleep(until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now())));
}

fn accept(client: TcpStream, state: &Arc<Mutex<State>>) {
    let broker = {
        let mut state = lock(state);
        // Dropped connections are refused ones, as far as a client can see.
        let Some(target) = state.target.filter(|_| !state.is_down) else { return };
        let Ok(broker) = TcpStream::connect(target) else { return };
        state.open.extend([client.try_clone().unwrap(), broker.try_clone().unwrap()]);
        broker
    };
    client.set_nodelay(true).unwrap();
    broker.set_nodelay(true).unwrap();
    // The number of the answer that is to be lost, for the thread that sees answers.
    let lost: Arc<Mutex<Option<[u8; 4]>>> = Arc::default();
    let (requests, answers) = (Arc::clone(state), Arc::clone(state));
    let (to_lose, from_client, from_broker) =
        (Arc::clone(&lost), client.try_clone().unwrap(), broker.try_clone().unwrap());
    thread::spawn(move || {
        pump(from_client, broker, |request| {
            if !commits(request) {
                return true;
            }
            let fault = lock(&requests).armed.take();
            match fault {
                None => {
                    hold(&requests);
                    true
                }
                Some(Fault::LoseRequest) => {
                    go_down(&requests);
                    false
                }
                Some(Fault::LoseAnswer) => {
                    *to_lose.lock().unwrap_or_else(PoisonError::into_inner) = request[8..12].try_into().ok();
                    true
                }
                Some(Fault::Delay(time)) => {
                    lock(&requests).held_until = Some(Instant::now() + time);
                    hold(&requests);
                    lock(&requests).happened = true;
                    true
                }
            }
        });
    });
    thread::spawn(move || {
        pump(from_broker, client, |answer| {
            let is_lost = *lost.lock().unwrap_or_else(PoisonError::into_inner) == answer[4..8].try_into().ok();
            if is_lost {
                go_down(&answers);
            }
            !is_lost
        });
    });
}

/// Whether this request, length included, is an `EndTxn` (26) that commits: the last byte of its
/// versions without tagged fields, up to 2.
fn commits(request: &[u8]) -> bool {
    let word = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
    word(4) == 26 && word(6) <= 2 && request.last() == Some(&1)
}

/// Moves messages until one side ends or `pass` holds one back.
fn pump(mut from: TcpStream, mut to: TcpStream, mut pass: impl FnMut(&[u8]) -> bool) {
    let mut message = vec![0; 4];
    while from.read_exact(&mut message[..4]).is_ok() {
        let len = u32::from_be_bytes([message[0], message[1], message[2], message[3]]) as usize;
        message.resize(4 + len, 0);
        if from.read_exact(&mut message[4..]).is_err() || !pass(&message) || to.write_all(&message).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
