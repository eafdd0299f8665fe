//! `host emulate irc|eventstreams|qumulo|overlord`: what the host connects to, for people without it.

use super::args::{EmulateArgs, EmulateCommand, EmulateOverlordArgs, EmulateQumuloArgs};
use super::output::{bytes, error_line, number};
use super::{Failure, on_interrupt, runtime};
use crate::error::{OrError, Result};
use crate::secret::Secret;
use host_emulators::{Handle, Lines, eventstreams, irc, overlord, qumulo};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// How often the counts are said.
const SAY_EVERY: Duration = Duration::from_secs(10);

pub(super) fn emulate(command: &EmulateCommand) -> std::result::Result<(), Failure> {
    let runtime = runtime()?;
    match command {
        EmulateCommand::Qumulo(arguments) => return qumulo(arguments, &runtime),
        EmulateCommand::Overlord(arguments) => return overlord(arguments, &runtime),
        EmulateCommand::Irc(_) | EmulateCommand::Eventstreams(_) => {}
    }
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
        EmulateCommand::Qumulo(_) | EmulateCommand::Overlord(_) => return Ok(()),
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

fn qumulo(arguments: &EmulateQumuloArgs, runtime: &Runtime) -> std::result::Result<(), Failure> {
    let password = arguments.password.as_ref().map(|name| Secret::resolve("--password", name)).transpose();
    let password = password.map_err(Failure::Refused)?;
    let options = qumulo::Options {
        user: arguments.user.clone(),
        password: password.as_ref().map(|password| password.expose().to_owned()),
        faults: arguments.faults.clone(),
        seed: arguments.seed,
        ..qumulo::Options::new(&arguments.dir)
    };
    let handle = runtime.block_on(async {
        let listener =
            TcpListener::bind(arguments.listen).await.or_config(format!("listening on `{}`", arguments.listen))?;
        qumulo::start(listener, options).await.or_config("Qumulo emulator")
    });
    let handle = handle.map_err(Failure::Refused)?;
    if let (Some(path), Some(pem)) = (&arguments.tls_cert_out, handle.certificate_pem()) {
        std::fs::write(path, pem).or_config(format!("certificate `{}`", path.display())).map_err(Failure::Refused)?;
    }
    error_line(&format!("Qumulo API on https://{}, user `{}`; Ctrl-C stops it", handle.addr(), handle.user()));
    if password.is_none() {
        // Drawn for this start and known to nobody else.
        error_line(&format!("password: {}", handle.password()));
    }
    let interrupted = on_interrupt(runtime);
    while let Err(RecvTimeoutError::Timeout) = interrupted.recv_timeout(SAY_EVERY) {
        say_filer(&handle);
    }
    say_filer(&handle);
    runtime.block_on(handle.stop());
    Ok(())
}

fn say_filer(handle: &qumulo::QumuloHandle) {
    let stats = handle.stats();
    let (connections, requests, faulted, watchers) =
        (stats.connections_now, stats.requests, stats.faulted, stats.watchers_now);
    let (read, written) = (bytes(stats.bytes_read), bytes(stats.bytes_written));
    error_line(&format!(
        "{connections} connections, {requests} requests, {faulted} made to fail, {read} read, {written} written, \
         {watchers} watchers"
    ));
}

fn overlord(arguments: &EmulateOverlordArgs, runtime: &Runtime) -> std::result::Result<(), Failure> {
    let options = overlord::Options {
        legacy: arguments.legacy,
        data_dir: arguments.dir.clone(),
        faults: arguments.faults.clone(),
        seed: arguments.seed,
        ..overlord::Options::default()
    };
    let handle = runtime.block_on(async {
        let listener =
            TcpListener::bind(arguments.listen).await.or_config(format!("listening on `{}`", arguments.listen))?;
        overlord::start(listener, options).await.or_config("Overlord emulator")
    });
    let handle = handle.map_err(Failure::Refused)?;
    error_line(&format!("Druid's task API on {}, SQL at /druid/v2/sql; Ctrl-C stops it", handle.url()));
    let interrupted = on_interrupt(runtime);
    while let Err(RecvTimeoutError::Timeout) = interrupted.recv_timeout(SAY_EVERY) {
        say_tasks(&handle);
    }
    say_tasks(&handle);
    runtime.block_on(handle.stop());
    Ok(())
}

fn say_tasks(handle: &overlord::OverlordHandle) {
    let stats = handle.stats();
    let open = stats.running + stats.pending + stats.waiting;
    let rows = stats.rows.iter().map(|(name, rows)| format!("{} rows in `{name}`", number(*rows)));
    let rows = rows.collect::<Vec<_>>().join(", ");
    let (succeeded, failed) = (stats.succeeded, stats.failed);
    error_line(&format!(
        "{open} tasks open, {succeeded} succeeded, {failed} failed; {}",
        if rows.is_empty() { "no rows" } else { &rows }
    ));
}

fn lines<const PORT: u16>(arguments: &EmulateArgs<PORT>) -> Result<Option<Lines>> {
    arguments.lines.as_ref().map(Lines::read).transpose().or_config("recorded lines")
}

async fn bind<const PORT: u16>(arguments: &EmulateArgs<PORT>) -> Result<TcpListener> {
    TcpListener::bind(arguments.listen).await.or_config(format!("listening on `{}`", arguments.listen))
}
