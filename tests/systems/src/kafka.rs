//! A real Apache Kafka: one broker that is its own controller, on this machine.
//!
//! Needs Java 17 and Maven. The jars are fetched once, see `kafka/pom.xml`; a start takes some 5 s
//! and 512 MB. What the broker logs is in a file whose end is part of every error.

use crate::maven::{jars, last_lines, version};
use crate::port::free_port;
use crate::watched::Watched;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tests::campaign::Broker;

const POM: &str = include_str!("../kafka/pom.xml");
const PROPERTIES: &str = include_str!("../kafka/server.properties");
const LOGGING: &str = include_str!("../kafka/log4j2.properties");

/// Any 16 bytes in Base64 do.
const CLUSTER: &str = "c3lzdGVtcy1rYWZrYS0wMQ";
/// A start takes some 5 s, several times that when everything else builds on the same cores.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running broker, or one that was stopped. Dropping it ends it and removes what it stored.
pub struct Kafka {
    bootstrap: String,
    folder: PathBuf,
    jars: PathBuf,
    watched: Watched,
}

impl Kafka {
    /// Fetches, formats and starts a broker with nothing in it, and waits until it answers.
    ///
    /// # Errors
    /// Why there is none: no Java, no Maven, artifacts that cannot be fetched, or what the broker
    /// said last.
    pub fn start() -> Result<Self, String> {
        Self::start_with(&[])
    }

    /// The same with further broker properties, which win over those of `kafka/server.properties`.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_with(properties: &[(&str, &str)]) -> Result<Self, String> {
        let found = Command::new("java").arg("-version").output();
        found.map_err(|error| format!("Kafka needs Java 17 or later: starting `java`: {error}"))?;
        let jars = jars(&format!("kafka-{}", version(POM)), POM)?;
        let made = tempfile::Builder::new().prefix("kafka-").tempdir();
        let folder = made.map_err(|error| format!("folder of a broker: {error}"))?;
        let (port, controller) = (free_port()?, free_port()?);
        let own = format!(
            "listeners = PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.quorum.voters = 1@127.0.0.1:{controller}\nlog.dirs = {}\n",
            folder.path().join("data").display()
        );
        let given: String = properties.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        for (name, text) in
            [("server.properties", format!("{PROPERTIES}\n{own}{given}")), ("log4j2.properties", LOGGING.to_owned())]
        {
            std::fs::write(folder.path().join(name), text).map_err(|error| format!("`{name}` of a broker: {error}"))?;
        }
        let program = java_command(&jars, folder.path(), "kafka.Kafka", &["server.properties"]);
        let words: Vec<_> = std::iter::once(program.get_program()).chain(program.get_args()).collect();
        // From here on the watching shell removes the folder.
        let folder = folder.keep();
        let watched = Watched::new(&folder, &folder.join("broker.log"), &words)?;
        format_storage(&jars, &folder)?;
        let mut kafka = Kafka { bootstrap: format!("127.0.0.1:{port}"), folder, jars, watched };
        kafka.restart()?;
        Ok(kafka)
    }

    /// Its address, `host:port`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The version of Kafka.
    pub fn version(&self) -> &'static str {
        version(POM)
    }

    /// Ends it as a power failure would (SIGKILL), what it stored stays.
    ///
    /// # Errors
    /// When the shell that watches it is gone.
    pub fn kill(&mut self) -> Result<(), String> {
        self.watched.end("KILL")
    }

    /// Ends it in good order (SIGTERM), what it stored stays.
    ///
    /// # Errors
    /// As [`Kafka::kill`].
    pub fn stop(&mut self) -> Result<(), String> {
        self.watched.end("TERM")
    }

    /// Starts it again after [`Kafka::kill`] or [`Kafka::stop`], on the same ports with what it had
    /// stored, and waits until it answers.
    ///
    /// # Errors
    /// What the broker said last.
    pub fn restart(&mut self) -> Result<(), String> {
        self.watched.start()?;
        let deadline = Instant::now() + READY_WITHIN;
        while !self.answers() {
            let log = self.log_tail();
            if Instant::now() >= deadline || log.contains("fatal exception") {
                return Err(format!("Kafka at `{}` does not become ready:\n{log}", self.bootstrap));
            }
        }
        Ok(())
    }

    /// The last lines of the broker's log.
    pub fn log_tail(&self) -> String {
        last_lines(&std::fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default(), 30)
    }

    /// A command that runs another class of Kafka's, in the broker's folder.
    pub fn java(&self, class: &str, arguments: &[&str]) -> Command {
        java_command(&self.jars, &self.folder, class, arguments)
    }

    /// Whether it names itself as a living broker. Waits a second at most.
    fn answers(&self) -> bool {
        let client: Result<BaseConsumer, _> =
            ClientConfig::new().set("bootstrap.servers", &self.bootstrap).set("log_level", "0").create();
        let metadata = client.and_then(|client| client.fetch_metadata(None, Duration::from_secs(1)));
        metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
    }
}

impl Broker for Kafka {
    fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    fn kill_and_restart(&mut self) -> Result<(), String> {
        self.kill()?;
        self.restart()
    }
}

fn format_storage(jars: &Path, folder: &Path) -> Result<(), String> {
    let arguments = ["format", "-t", CLUSTER, "-c", "server.properties"];
    let output = java_command(jars, folder, "kafka.tools.StorageTool", &arguments).output();
    let output = output.map_err(|error| format!("starting `java`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Err(format!("formatting Kafka's storage ({}): {}", output.status, last_lines(&text, 10)))
}

fn java_command(jars: &Path, folder: &Path, class: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-Dlog4j2.configurationFile=log4j2.properties", "-cp"]).arg(jars.join("*"));
    command.arg(class).args(arguments).current_dir(folder);
    command
}
