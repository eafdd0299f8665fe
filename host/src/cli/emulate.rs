//! `host emulate irc|eventstreams`: a feed for trying things without internet.

use super::args::{EmulateArgs, EmulateCommand};
use super::output::error_line;
use super::{Failure, on_interrupt, runtime};
use crate::error::{OrError, Result};
use host_emulators::{Handle, Lines, eventstreams, irc};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use tokio::net::TcpListener;

/// How often the counts are said.
const SAY_EVERY: Duration = Duration::from_secs(10);

pub(super) fn emulate(command: &EmulateCommand) -> std::result::Result<(), Failure> {
    let runtime = runtime()?;
    let (handle, what) = match command {
        EmulateCommand::Irc(arguments) => {
            let lines = lines(arguments).map_err(Failure::Refused)?;
            let options = irc::Options { rate: arguments.rate, seed: arguments.seed, lines, ..irc::Options::default() };
            (
                runtime.block_on(async { irc::start(bind(arguments).await?, options).await.or_config("IRC feed") }),
                "IRC feed",
            )
        }
        EmulateCommand::Eventstreams(arguments) => {
            let lines = lines(arguments).map_err(Failure::Refused)?;
            let (rate, seed) = (arguments.rate, arguments.seed);
            let options = eventstreams::Options { rate, seed, lines, ..eventstreams::Options::default() };
            let started = runtime.block_on(async {
                eventstreams::start(bind(arguments).await?, options).await.or_config("EventStreams")
            });
            (started, "EventStreams at /v2/stream/recentchange")
        }
    };
    let handle = handle.map_err(Failure::Refused)?;
    error_line(&format!("{what} on {}; Ctrl-C stops it", handle.addr()));
    let interrupted = on_interrupt(&runtime);
    while let Err(RecvTimeoutError::Timeout) = interrupted.recv_timeout(SAY_EVERY) {
        say(&handle);
    }
    say(&handle);
    runtime.block_on(handle.stop());
    Ok(())
}

fn say(handle: &Handle) {
    let stats = handle.stats();
    let (clients, produced, sent, dropped) = (stats.clients_now, stats.produced, stats.frames_sent, stats.dropped);
    error_line(&format!("{clients} clients, {produced} edits, {sent} frames sent, {dropped} dropped for slow clients"));
}

fn lines<const PORT: u16>(arguments: &EmulateArgs<PORT>) -> Result<Option<Lines>> {
    arguments.lines.as_ref().map(Lines::read).transpose().or_config("recorded lines")
}

async fn bind<const PORT: u16>(arguments: &EmulateArgs<PORT>) -> Result<TcpListener> {
    TcpListener::bind(arguments.listen).await.or_config(format!("listening on `{}`", arguments.listen))
}
