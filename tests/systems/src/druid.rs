//! A real Apache Druid on this machine: coordinator (as overlord too), indexer, historical and
//! broker, with ZooKeeper, six Java processes in all.
//!
//! Needs Java 17 and Maven. The jars are fetched once, see `druid/pom.xml`; a start takes some 20 s
//! and 1.3 GB on two cores. What a process logs is in a file whose end is part of every error.

use crate::http::{Answer, call};
use crate::maven::{jars, last_lines, version};
use crate::or_skip;
use crate::port::free_port;
use crate::watched::Watched;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const POM: &str = include_str!("../druid/pom.xml");
const COMMON: &str = include_str!("../druid/common.runtime.properties");
const LOGGING: &str = include_str!("../druid/log4j2.properties");
const OPTIONS: &str = include_str!("../druid/jvm.options");

/// A start takes some 20 s, several times that when everything else builds on the same cores.
const READY_WITHIN: Duration = Duration::from_secs(240);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(100);

/// One of the processes, all of which run in folders of their own.
struct Role {
    name: &'static str,
    properties: &'static str,
    /// Java's settings for the heap and for the memory outside it.
    memory: [&'static str; 2],
}

const ZOOKEEPER: Role = Role {
    name: "zookeeper",
    properties: include_str!("../druid/zookeeper.properties"),
    memory: ["-Xmx64m", "-XX:MaxDirectMemorySize=16m"],
};
const COORDINATOR: Role = Role {
    name: "coordinator",
    properties: include_str!("../druid/coordinator.properties"),
    memory: ["-Xmx256m", "-XX:MaxDirectMemorySize=64m"],
};
const INDEXER: Role = Role {
    name: "indexer",
    properties: include_str!("../druid/indexer.properties"),
    memory: ["-Xmx512m", "-XX:MaxDirectMemorySize=128m"],
};
const HISTORICAL: Role = Role {
    name: "historical",
    properties: include_str!("../druid/historical.properties"),
    memory: ["-Xmx192m", "-XX:MaxDirectMemorySize=64m"],
};
const BROKER: Role = Role {
    name: "broker",
    properties: include_str!("../druid/broker.properties"),
    memory: ["-Xmx256m", "-XX:MaxDirectMemorySize=64m"],
};

const ROUTER: Role = Role {
    name: "router",
    properties: include_str!("../druid/router.properties"),
    memory: ["-Xmx128m", "-XX:MaxDirectMemorySize=64m"],
};

/// A running Druid. Dropping it ends it and removes what it stored.
pub struct Druid {
    overlord_url: String,
    zookeeper: Process,
    coordinator: Process,
    indexer: Process,
    historical: Process,
    broker: Process,
    router: Process,
}

struct Process {
    name: &'static str,
    server: SocketAddr,
    log: PathBuf,
    _watched: Watched,
}

/// The Druid that all tests of a program share; none where there is none to be had.
///
/// # Panics
/// When there is none and [`crate::REQUIRE`] is set.
pub fn druid() -> Option<&'static Druid> {
    static DRUID: OnceLock<Result<Druid, String>> = OnceLock::new();
    or_skip(DRUID.get_or_init(Druid::start).as_ref().map_err(Clone::clone))
}

impl Druid {
    /// Fetches and starts a Druid with nothing in it, and waits until it takes tasks and queries.
    ///
    /// # Errors
    /// Why there is none: no Java, no Maven, artifacts that cannot be fetched, or what the process
    /// that does not become ready said last.
    pub fn start() -> Result<Self, String> {
        let found = Command::new("java").arg("-version").output();
        found.map_err(|error| format!("Druid needs Java 17: starting `java`: {error}"))?;
        let jars = jars(&format!("druid-{}", version(POM)), POM)?;
        let (zookeeper, metadata) = (free_port()?, free_port()?);
        let stored = folder(&INDEXER)?;
        // The indexer alone writes there, and its folder goes when it has gone.
        let (segments, reports) = (stored.path().join("segments"), stored.path().join("reports"));
        let common = format!(
            "{COMMON}\ndruid.zk.service.host = 127.0.0.1:{zookeeper}\n\
             druid.metadata.storage.connector.connectURI = jdbc:derby://127.0.0.1:{metadata}/metadata;create=true\n\
             druid.metadata.storage.connector.port = {metadata}\n\
             druid.storage.storageDirectory = {}\ndruid.indexer.logs.directory = {}\n",
            segments.display(),
            reports.display()
        );
        let started = |role: &Role, folder: TempDir| {
            let port = free_port()?;
            let own = format!("{}\ndruid.plaintextPort = {port}\n", role.properties);
            let files = [("common.runtime.properties", common.as_str()), ("runtime.properties", &own)];
            let words = ["org.apache.druid.cli.Main", "server", role.name];
            Process::start(role, folder, &files, port, &jars, &words)
        };
        eprintln!("starting Druid {}: six Java processes", version(POM));
        let druid = Druid {
            zookeeper: {
                let own = format!("{}\nclientPort = {zookeeper}\n", ZOOKEEPER.properties);
                let words = ["org.apache.zookeeper.server.ZooKeeperServerMain", "./zookeeper.properties"];
                let files = [("zookeeper.properties", own.as_str())];
                Process::start(&ZOOKEEPER, folder(&ZOOKEEPER)?, &files, zookeeper, &jars, &words)?
            },
            coordinator: started(&COORDINATOR, folder(&COORDINATOR)?)?,
            indexer: started(&INDEXER, stored)?,
            historical: started(&HISTORICAL, folder(&HISTORICAL)?)?,
            broker: started(&BROKER, folder(&BROKER)?)?,
            router: started(&ROUTER, folder(&ROUTER)?)?,
            overlord_url: String::new(),
        };
        let druid = Druid { overlord_url: format!("http://{}", druid.coordinator.server), ..druid };
        druid.wait_until_ready()?;
        Ok(druid)
    }

    /// Where the overlord is, which takes tasks: `http://host:port`.
    pub fn overlord_url(&self) -> &str {
        &self.overlord_url
    }

    /// Where the router is, which passes on tasks and queries: `http://host:port`.
    pub fn router_url(&self) -> String {
        format!("http://{}", self.router.server)
    }

    /// The version of Druid.
    pub fn version(&self) -> &'static str {
        version(POM)
    }

    /// Asks the overlord, which is the coordinator too, with `GET`.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub fn get(&self, path: &str) -> Result<Answer, String> {
        call(self.coordinator.server, path, None)
    }

    /// Gives the overlord a task.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub fn submit(&self, task: &Value) -> Result<Answer, String> {
        call(self.coordinator.server, "/druid/indexer/v1/task", Some(&task.to_string()))
    }

    /// The status of a task that was taken, once it has ended, well or not.
    ///
    /// # Errors
    /// When the task is not known, or has not ended within this time.
    pub fn ended(&self, task: &str, within: Duration) -> Result<Value, String> {
        let deadline = Instant::now() + within;
        loop {
            let answer = self.get(&format!("/druid/indexer/v1/task/{task}/status"))?;
            let status = parsed(&answer)?["status"].take();
            if status["status"] != "RUNNING" {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(format!("task `{task}` after {within:?}: {status}\n{}", self.indexer.log_tail()));
            }
            sleep(PAUSE);
        }
    }

    /// What a task that has ended reports of its rows: the payload of `ingestionStatsAndErrors`.
    ///
    /// # Errors
    /// When there is no report.
    pub fn report(&self, task: &str) -> Result<Value, String> {
        let answer = self.get(&format!("/druid/indexer/v1/task/{task}/reports"))?;
        Ok(parsed(&answer)?["ingestionStatsAndErrors"]["payload"].take())
    }

    /// The rows that a query gives, each an array; exact, where Druid by default estimates.
    ///
    /// # Errors
    /// What the broker has against the query: a datasource that it does not know (yet) is an error.
    pub fn sql(&self, query: &str) -> Result<Value, String> {
        let exact = json!({ "useApproximateCountDistinct": false, "useApproximateTopN": false });
        let asked = json!({ "query": query, "resultFormat": "array", "context": exact }).to_string();
        parsed(&call(self.broker.server, "/druid/v2/sql", Some(&asked))?).map_err(|error| format!("{query}: {error}"))
    }

    /// Queries until the rows are these: what a task has published can be queried a second or two later.
    ///
    /// # Errors
    /// What the last query gave, when they are not within this time.
    pub fn sql_gives(&self, query: &str, rows: &Value, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            let given = self.sql(query);
            if given.as_ref().is_ok_and(|given| given == rows) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!("{query}\nafter {within:?}, {rows} wanted: {given:?}"));
            }
            sleep(PAUSE);
        }
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        let mut said = "";
        while let Some((awaited, process)) = self.awaited() {
            if said != awaited {
                eprintln!("Druid: waiting for {awaited}");
                said = awaited;
            }
            let log = process.log_tail();
            if Instant::now() >= deadline || process.gave_up() {
                return Err(format!("Druid: waiting for {awaited}, its {} said last:\n{log}", process.name));
            }
            sleep(PAUSE);
        }
        Ok(())
    }

    /// What is not there yet, and the process to blame.
    fn awaited(&self) -> Option<(&'static str, &Process)> {
        if TcpStream::connect(self.zookeeper.server).is_err() {
            return Some((self.zookeeper.name, &self.zookeeper));
        }
        let processes = [&self.coordinator, &self.indexer, &self.historical, &self.broker, &self.router];
        if let Some(process) = processes.into_iter().find(|process| !process.healthy()) {
            return Some((process.name, process));
        }
        let workers = self.get("/druid/indexer/v1/workers").and_then(|answer| parsed(&answer));
        if workers.is_ok_and(|workers| workers[0].is_null()) {
            return Some(("the overlord to see its worker", &self.coordinator));
        }
        let servers = self.sql("SELECT COUNT(*) FROM sys.servers WHERE server_type = 'historical'");
        if servers != Ok(json!([[1]])) {
            return Some(("the broker to see the historical", &self.broker));
        }
        None
    }
}

impl Process {
    fn start(
        role: &Role,
        folder: TempDir,
        files: &[(&str, &str)],
        port: u16,
        jars: &Path,
        program: &[&str],
    ) -> Result<Self, String> {
        for (name, text) in files.iter().chain(&[("log4j2.properties", LOGGING), ("jvm.options", OPTIONS)]) {
            let written = std::fs::write(folder.path().join(name), text);
            written.map_err(|error| format!("`{name}` of Druid's {}: {error}", role.name))?;
        }
        // From here on the watching shell removes the folder.
        let folder = folder.keep();
        let mut temporary = OsString::from("-Djava.io.tmpdir=");
        temporary.push(&folder);
        let mut classes = OsString::from(".:");
        classes.push(jars.join("*"));
        let mut words: Vec<&OsStr> = vec![OsStr::new("java"), OsStr::new("@jvm.options"), &temporary];
        words.extend(role.memory.iter().map(OsStr::new));
        words.extend([OsStr::new("-cp"), &classes]);
        words.extend(program.iter().map(OsStr::new));
        let log = folder.join(format!("{}.log", role.name));
        let mut watched = Watched::new(&folder, &log, &words)?;
        watched.start()?;
        Ok(Process { name: role.name, server: (Ipv4Addr::LOCALHOST, port).into(), log, _watched: watched })
    }

    fn healthy(&self) -> bool {
        call(self.server, "/status/health", None).is_ok_and(|answer| answer.status == 200)
    }

    /// Whether it ended by itself.
    fn gave_up(&self) -> bool {
        let ends = |line: &str| {
            line.starts_with("Error: ")
                || line.contains("Error when starting up")
                || line.contains("Exiting JVM with code")
        };
        self.log_tail().lines().any(ends)
    }

    /// The last lines of its log.
    fn log_tail(&self) -> String {
        last_lines(&std::fs::read_to_string(&self.log).unwrap_or_default(), 30)
    }
}

fn folder(role: &Role) -> Result<TempDir, String> {
    let made = tempfile::Builder::new().prefix(&format!("druid-{}-", role.name)).tempdir();
    made.map_err(|error| format!("folder of Druid's {}: {error}", role.name))
}

/// The JSON of an answer that is not an error.
fn parsed(answer: &Answer) -> Result<Value, String> {
    let value = serde_json::from_str(&answer.body).ok().filter(|_| answer.status == 200);
    value.ok_or_else(|| format!("answer {}: {}", answer.status, answer.body))
}
