//! Runs the Qumulo emulator over a folder, for trying a client by hand.
//!
//! `cargo run -p host-emulators --example qumulo -- FOLDER [ADDRESS [PASSWORD [KIND=RATE]...]]`

use std::error::Error;
use std::io::Write;

use host_emulators::qumulo::{Options, start};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let folder = words.next().ok_or("expected a folder")?;
    let listener = TcpListener::bind(words.next().as_deref().unwrap_or("127.0.0.1:8000")).await?;
    let mut options = Options { password: words.next(), ..Options::new(folder) };
    options.faults = words.map(|word| word.parse()).collect::<Result<_, _>>()?;
    let emulator = start(listener, options).await?;
    let mut out = std::io::stdout();
    writeln!(out, "https://{} user {} password {}", emulator.addr(), emulator.user(), emulator.password())?;
    tokio::signal::ctrl_c().await?;
    emulator.stop().await;
    Ok(())
}
