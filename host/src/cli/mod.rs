//! The command line: arguments, what is shown, exit codes. Commands are in files of their own.
//!
//! Exit codes: 0 clean, 1 failed while running, 2 refused to start.
//! Standard output holds results only; what the host is doing goes to standard error.

mod args;
mod catalog;
mod connector;
mod demo;
mod dlq;
mod emulate;
mod ingest;
mod keys;
mod log;
mod output;
mod plugin;
mod progress;
mod run;
mod spool;
mod summary;
mod telemetry;

use crate::error::{Error, ErrorClass, OrError, Result};
use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;
use tokio::runtime::Runtime;

/// How a command failed.
#[derive(Debug)]
enum Failure {
    /// Before anything ran: exit code 2.
    Refused(Error),
    /// While it ran: exit code 1.
    Failed(Error),
}

impl From<Error> for Failure {
    /// What the operator must change is told before anything runs.
    fn from(error: Error) -> Self {
        match error.class() {
            ErrorClass::Config | ErrorClass::Deny => Failure::Refused(error),
            _ => Failure::Failed(error),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::set_up();
    // One TLS provider for every client; installing it twice is no failure.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let done = match &cli.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Demo(arguments) => demo::demo(arguments),
        Command::Plugin { command } => plugin::plugin(command),
        Command::Emulate { command } => emulate::emulate(command),
        Command::Log { command } => log::log(command),
        Command::Spool { command } => spool::spool(command),
        Command::Ingest { command } => ingest::ingest(command),
        Command::Keys { command } => keys::keys(command),
        Command::Connector { command } => connector::connector(command),
    };
    let (error, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => (error, 1),
        Err(Failure::Refused(error)) => (error, 2),
    };
    output::error_line(&format!("error: {error}"));
    if let Some(hint) = error.hint() {
        output::error_line(&format!("hint: {hint}"));
    }
    ExitCode::from(code)
}

/// The runtime of feeds and emulators; tasks have threads of their own.
fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().or_retry("starting the async runtime")
}

/// Resolves with the first Ctrl-C or SIGTERM; a second one ends the process at once.
fn on_interrupt(runtime: &Runtime) -> std::sync::mpsc::Receiver<()> {
    let (tell, told) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return;
        };
        for asked in 0..2 {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            if asked > 0 {
                std::process::exit(1);
            }
            // Nobody listens any more only when the process is ending anyway.
            let _ = tell.send(());
        }
    });
    told
}
