//! Arguments, with help written for someone who sees this program for the first time.

mod plugin;

pub(super) use plugin::{CatalogArgs, PluginCommand, RegistryArgs};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(name = "host", version, about, long_about = "A connector host: what a Kafka Connect worker does, with connectors as \
sandboxed WebAssembly components.\n\nBegin with `host demo`, which needs nothing else.", after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 clean, 1 failed while running, 2 refused to start.\n\
Environment: HOST_LOG sets what is logged to standard error, for instance `HOST_LOG=debug`.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run connectors until stopped
    #[command(after_help = "Examples:\n  host run --plugin wiki_source.wasm\n  \
host run --plugin wiki_source.wasm --set irc.channels=#de.wikipedia --max-records 100\n  \
host run --plugin wiki_source.wasm --set bootstrap.servers=localhost:9092\n  host run config/host.toml\n\n\
Every key is in config/host.toml, a plugin's own options in `host plugin inspect FILE`.")]
    Run(RunArgs),
    /// Run the whole demonstration on this machine, with nothing installed
    #[command(after_help = "Examples:\n  host demo --duration 30s\n  host demo --records 10000 --output json\n  \
host demo --live --druid http://localhost:8888")]
    Demo(DemoArgs),
    /// Build, look into, keep, sign and share plugins
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Serve an emulated feed, filer or Druid, for trying things without them
    Emulate {
        #[command(subcommand)]
        command: EmulateCommand,
    },
    /// Look into the log: topics and their records
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Look into spools: sealed files on their way and in the data set
    Spool {
        #[command(subcommand)]
        command: SpoolCommand,
    },
    /// Serve a data set as batches of rows, and load them into Druid
    Ingest {
        #[command(subcommand)]
        command: IngestCommand,
    },
    /// Ask a host that runs: swap the plugin of a connector
    Connector {
        #[command(subcommand)]
        command: ConnectorCommand,
    },
    /// Make keys that files are sealed with, look at them, change who can open what is sealed
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConnectorCommand {
    /// Let another version of a source's plugin take over while records flow
    ///
    /// The new version is compiled and checked beside the one that runs, and takes over between two batches: the feed
    /// stays connected, no record is lost or doubled. One that does worse in its first batches is taken back.
    #[command(after_help = "Examples:\n  host connector swap wikipedia --plugin wiki_source-0.2.0.wasm\n  \
host connector swap wikipedia --plugin wiki_source@0.1.0")]
    Swap {
        /// Name of the connector
        name: String,
        /// The new component: a file, or a version of the host's catalog as NAME@VERSION
        #[arg(long, value_name = "FILE")]
        plugin: String,
        /// The host's `listeners`
        #[arg(long, default_value = "http://127.0.0.1:8083")]
        url: String,
        /// How the result is printed
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Configuration files (TOML), read in order
    #[arg(value_name = "CONFIG")]
    pub(super) configs: Vec<PathBuf>,
    /// A further configuration file; the same as naming it without the flag
    #[arg(long = "config", value_name = "FILE")]
    pub(super) more_configs: Vec<PathBuf>,
    /// Run this plugin as a connector of its own name, lending it what it wants
    #[arg(long, value_name = "FILE")]
    pub(super) plugin: Option<PathBuf>,
    /// Put this transform plugin behind it; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) transform: Vec<PathBuf>,
    /// Set a key of the connector or the worker; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) settings: Vec<(String, String)>,
    /// Topic the records go to
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Folder of the embedded log [default: ./host-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Stop after this time, for instance `30s` or `5m`
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) duration: Option<Duration>,
    /// Stop after this many records in each connector's topic
    #[arg(long, value_name = "N")]
    pub(super) max_records: Option<u64>,
    /// Let new versions of source plugins take over as their files change, or newer ones are added to the catalog
    #[arg(long)]
    pub(super) watch: bool,
    /// How the summary is printed
    #[arg(long, value_enum, default_value = "text")]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Stop after this time, for instance `30s`; without it, at Ctrl-C
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) duration: Option<Duration>,
    /// Stop after this many records
    #[arg(long, value_name = "N")]
    pub(super) records: Option<u64>,
    /// Folder of the embedded log
    #[arg(long, value_name = "DIR", default_value = "./host-data")]
    pub(super) data_dir: PathBuf,
    /// Take Wikipedia's real feed (needs internet) instead of the emulator
    #[arg(long)]
    pub(super) live: bool,
    /// Load into this Druid (a Router, or an Overlord with SQL behind it) instead of the emulator
    #[arg(long, value_name = "URL")]
    pub(super) druid: Option<String>,
    /// Edits a second from the emulator; 0 is as fast as they are read
    #[arg(long, default_value_t = 500.0, value_parser = rate)]
    pub(super) rate: f64,
    /// How the summary is printed
    #[arg(long, value_enum, default_value = "text")]
    pub(super) output: Output,
}

#[derive(Debug, Subcommand)]
pub(super) enum EmulateCommand {
    /// Wikimedia's IRC feed, to any IRC client
    #[command(after_help = "Example:\n  host emulate irc --rate 50 --seed 7\n  \
host run --plugin wiki_source.wasm --set irc.host=127.0.0.1")]
    Irc(EmulateArgs<6667>),
    /// Wikimedia's EventStreams (server-sent events), to any HTTP client
    #[command(after_help = "Example:\n  host emulate eventstreams --rate 50\n  \
curl -H 'Accept: text/event-stream' http://127.0.0.1:8088/v2/stream/recentchange")]
    Eventstreams(EmulateArgs<8088>),
    /// Druid's task API: loads what it is told to, and answers how many rows there are
    #[command(after_help = "Examples:\n  host emulate overlord --dir ./druid\n  \
host ingest run --data-dir ./host-data --set druid.url=http://127.0.0.1:8090\n  \
curl -H 'Content-Type: application/json' http://127.0.0.1:8090/druid/v2/sql \\\n    \
-d '{\"query\":\"SELECT COUNT(*) FROM wikipedia\"}'")]
    Overlord(EmulateOverlordArgs),
    /// A Qumulo cluster's REST API over a folder, to any client of it
    #[command(
        after_help = "Examples:\n  QQ_PASSWORD=… host emulate qumulo --dir ./filer --password env:QQ_PASSWORD\n  \
host emulate qumulo --dir ./filer --fault unavailable=0.01 --fault lose-answer=0.01\n\n\
Without --password one is drawn and printed. The vendor's own client `qq` works with it."
    )]
    Qumulo(EmulateQumuloArgs),
}

#[derive(Debug, Args)]
pub(super) struct EmulateQumuloArgs {
    /// Folder that is served; made if it is missing
    #[arg(long, value_name = "DIR")]
    pub(super) dir: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from(([127, 0, 0, 1], 8000)))]
    pub(super) listen: SocketAddr,
    /// User that may log in
    #[arg(long, default_value = "admin")]
    pub(super) user: String,
    /// Its password: `env:NAME` or `file:PATH` [default: drawn and printed]
    #[arg(long, value_name = "SECRET")]
    pub(super) password: Option<String>,
    /// Write the server's certificate to this file (PEM), for clients to trust
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert_out: Option<PathBuf>,
    /// Fail this share of calls in this way; may be repeated
    #[arg(long = "fault", value_name = "KIND=RATE")]
    pub(super) faults: Vec<host_emulators::qumulo::FaultRate>,
    /// Seed of the faults: the same seed fails the same calls
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct EmulateOverlordArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from(([127, 0, 0, 1], 8090)))]
    pub(super) listen: SocketAddr,
    /// Folder that tasks and row counts are kept in; without it they are forgotten at the end
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Accept tasks of Druid up to 25 too
    #[arg(long)]
    pub(super) legacy: bool,
    /// Fail in this way this often; may be repeated
    #[arg(long = "fault", value_name = "KIND=RATE")]
    pub(super) faults: Vec<host_emulators::overlord::FaultRate>,
    /// Seed of the faults
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

/// Which ingestion.
#[derive(Debug, Args)]
pub(super) struct IngestPlace {
    /// Configuration files (TOML) with `[ingest]`; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) config: Vec<PathBuf>,
    /// The data set that a demo left in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(super) data_dir: Option<PathBuf>,
    /// The ingestion of this name, where there are several
    #[arg(long, value_name = "NAME")]
    pub(super) connector: Option<String>,
    /// Set a key of it or of the worker; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) settings: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SpecMode {
    /// Add rows
    Append,
    /// Put rows in the place of all that is in the intervals
    Replace,
    /// Store the intervals in fewer segments, read from Druid itself
    Reindex,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SpecDialect {
    /// Druid 0.17 and later
    Current,
    /// Druid up to 25
    Legacy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SpecKind {
    /// A task that loads batches, or re-indexes
    Task,
    /// Druid's own task that merges the segments of an interval
    Compaction,
    /// A supervisor that loads a Kafka topic as it grows
    Supervisor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Outcome {
    /// All its rows are in Druid
    Success,
    /// None of its rows is
    Failed,
}

#[derive(Debug, Subcommand)]
pub(super) enum IngestCommand {
    /// Serve batches and load them on schedule, until stopped
    #[command(after_help = "Example:\n  host ingest run --config config/pipelines/wikipedia.toml\n\n\
Runs the ingestion alone: the configuration's other connectors may run elsewhere.")]
    Run {
        #[command(flatten)]
        place: IngestPlace,
        /// Stop after this time, for instance `30s` or `5m`
        #[arg(long, value_parser = humantime::parse_duration)]
        duration: Option<Duration>,
        /// How the summary is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Load all that waits now, serving it meanwhile, then end
    #[command(
        after_help = "Example:\n  host ingest submit --data-dir ./host-data --set druid.url=http://127.0.0.1:8090\n\n\
A host that runs the same ingestion is taken over: stop it first, or leave it to its schedule."
    )]
    Submit {
        #[command(flatten)]
        place: IngestPlace,
        /// How the summary is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Show the tasks that would be handed in next; writes nothing down
    #[command(after_help = "Example:\n  host ingest plan --data-dir ./host-data")]
    Plan {
        #[command(flatten)]
        place: IngestPlace,
        /// Said for scripts: a plan is never carried out
        #[arg(long)]
        dry_run: bool,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Print a task as it would be handed in, with placeholders for secrets
    #[command(after_help = "Examples:\n  host ingest spec --data-dir ./host-data\n  \
host ingest spec --config pipeline.toml --dialect legacy --uri http://ingest.example:9500/\n  \
host ingest spec --config pipeline.toml --kind compaction --interval 2026-02-03/2026-02-04\n  \
host ingest spec --config pipeline.toml --kind supervisor --topic wikipedia --bootstrap-servers broker:9092")]
    Spec(SpecArgs),
    /// Show what was loaded by which task
    #[command(after_help = "Example:\n  host ingest status --data-dir ./host-data --output json")]
    Status {
        #[command(flatten)]
        place: IngestPlace,
        /// Show this many tasks, the newest first
        #[arg(long, value_name = "N", default_value_t = 20)]
        tasks: usize,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Write down how a task ended that Druid has forgotten, after looking for its rows
    #[command(
        after_help = "Example:\n  host ingest settle --config pipeline.toml host_wikipedia_append_0123456789abcdef_1 success"
    )]
    Settle {
        /// The task
        task: String,
        /// How it ended
        #[arg(value_enum)]
        outcome: Outcome,
        #[command(flatten)]
        place: IngestPlace,
    },
}

#[derive(Debug, Args)]
pub(super) struct SpecArgs {
    #[command(flatten)]
    pub(super) place: IngestPlace,
    /// What is printed
    #[arg(long, value_enum, default_value = "task")]
    pub(super) kind: SpecKind,
    /// What the task does [default: as configured]
    #[arg(long, value_enum)]
    pub(super) mode: Option<SpecMode>,
    /// In which words [default: as configured]
    #[arg(long, value_enum)]
    pub(super) dialect: Option<SpecDialect>,
    /// Address of a batch; may be repeated [default: what waits in the data set]
    #[arg(long, value_name = "URI")]
    pub(super) uri: Vec<String>,
    /// Interval that is written to, `START/END`, whole chunks; may be repeated
    #[arg(long, value_name = "INTERVAL")]
    pub(super) interval: Vec<String>,
    /// Identifier of the task [default: as it would be handed in]
    #[arg(long)]
    pub(super) id: Option<String>,
    /// Topic of a supervisor
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Brokers of a supervisor, `host:port,host:port` [default: `bootstrap.servers`]
    #[arg(long, value_name = "SERVERS")]
    pub(super) bootstrap_servers: Option<String>,
    /// How it is printed: text is indented, JSON is one line
    #[arg(long, value_enum, default_value = "text")]
    pub(super) output: Output,
}

/// Which spools.
#[derive(Debug, Args)]
pub(super) struct SpoolPlace {
    /// The spools that a demo left in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(super) data_dir: Option<PathBuf>,
    /// The spools of this configuration's connectors; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) config: Vec<PathBuf>,
    /// Only the spool of this connector
    #[arg(long, value_name = "NAME")]
    pub(super) connector: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SpoolCommand {
    /// List the stages with counts, ages and bytes
    #[command(after_help = "Example:\n  host spool ls --data-dir ./host-data")]
    Ls {
        #[command(flatten)]
        place: SpoolPlace,
        /// List the files too
        #[arg(long)]
        files: bool,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Show what files say of themselves, which needs no key
    #[command(after_help = "Example:\n  host spool stat --data-dir ./host-data --output json")]
    Stat {
        /// Names of files; none: all
        names: Vec<String>,
        #[command(flatten)]
        place: SpoolPlace,
        /// How it is printed; JSON is one file a line
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Decrypt files and print their records
    #[command(after_help = "Example:\n  host spool cat --data-dir ./host-data --connector local-qf2-sink --max 3")]
    Cat {
        /// Names of files; none: all
        names: Vec<String>,
        #[command(flatten)]
        place: SpoolPlace,
        /// A key that opens them: `file:PATH`, `env:NAME` or `command:PROGRAM` [default: the demo's]
        #[arg(long = "key", value_name = "SECRET")]
        keys: Vec<String>,
        /// Print at most this many records
        #[arg(long, value_name = "N")]
        max: Option<u64>,
        /// How records are printed; JSON is one record a line
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Open every block of every file and tell what is wrong where; exit code 1 if anything is
    #[command(after_help = "Example:\n  host spool verify --data-dir ./host-data")]
    Verify {
        #[command(flatten)]
        place: SpoolPlace,
        /// A key that opens them: `file:PATH`, `env:NAME` or `command:PROGRAM` [default: the demo's]
        #[arg(long = "key", value_name = "SECRET")]
        keys: Vec<String>,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key pair: NAME.key opens or signs, NAME.pub seals or verifies
    #[command(after_help = "Examples:\n  host keys generate wikipedia --dir keys\n  \
host keys generate release --dir keys --signing\n\n\
Keep NAME.key where data is read or plugins are signed, and only there; all others need NAME.pub alone.")]
    Generate {
        /// Name of the files
        name: String,
        /// Folder for them; made if it is missing
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// One symmetric key instead, which both seals and opens
        #[arg(long, conflicts_with = "signing")]
        symmetric: bool,
        /// A pair for signatures of plugins instead
        #[arg(long)]
        signing: bool,
    },
    /// List the keys in a folder
    #[command(after_help = "Example:\n  host keys list --dir keys")]
    List {
        /// The folder
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Show one key: its id, its kind, and of a pair the public half
    #[command(after_help = "Example:\n  host keys show keys/wikipedia.key")]
    Show {
        /// The key file
        file: PathBuf,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Seal the files of a spool for other keys; their data is not touched
    #[command(after_help = "Example:\n  host keys rewrap --config pipeline.toml --connector local-qf2-sink \\\n    \
--key file:keys/old.key --recipient file:keys/new.pub\n\n\
Files are replaced one by one, each at once. Who opened a file before can still do so with what was kept of it.")]
    Rewrap {
        #[command(flatten)]
        place: SpoolPlace,
        /// A key that opens them now: `file:PATH`, `env:NAME` or `command:PROGRAM` [default: the demo's]
        #[arg(long = "key", value_name = "SECRET")]
        keys: Vec<String>,
        /// A public key that they are sealed for from now on; may be repeated
        #[arg(long = "recipient", value_name = "SECRET", required = true)]
        recipients: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct EmulateArgs<const PORT: u16> {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from(([127, 0, 0, 1], PORT)))]
    pub(super) listen: SocketAddr,
    /// Serve recorded lines from this file instead of generated edits
    #[arg(long, value_name = "FILE")]
    pub(super) lines: Option<PathBuf>,
    /// Edits a second; 0 is as fast as they are read
    #[arg(long, default_value_t = 20.0, value_parser = rate)]
    pub(super) rate: f64,
    /// Seed of the generated edits: the same seed gives the same edits
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct LogPlace {
    /// Folder of the embedded log
    #[arg(long, value_name = "DIR", default_value = "./host-data")]
    pub(super) data_dir: PathBuf,
    /// Look into this Kafka instead
    #[arg(long, value_name = "SERVERS")]
    pub(super) bootstrap: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// List topics with their partitions and record counts
    #[command(after_help = "Example:\n  host log ls --data-dir ./host-data")]
    Ls {
        #[command(flatten)]
        place: LogPlace,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Print a topic's records from the beginning to the end as it is now
    #[command(after_help = "Example:\n  host log cat wikipedia --max 3 --output json | jq -r .value")]
    Cat {
        /// Topic name
        topic: String,
        #[command(flatten)]
        place: LogPlace,
        /// Begin at this offset of each partition
        #[arg(long, default_value_t = 0)]
        from: i64,
        /// Print at most this many
        #[arg(long, value_name = "N")]
        max: Option<u64>,
        /// How records are printed; JSON is one record a line
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Print a topic's last records and then new ones as they come, until Ctrl-C
    #[command(after_help = "Example:\n  host log tail wikipedia -n 3 --output json")]
    Tail {
        /// Topic name
        topic: String,
        #[command(flatten)]
        place: LogPlace,
        /// Last records of each partition to begin with
        #[arg(short = 'n', default_value_t = 10)]
        last: i64,
        /// Stop after this many
        #[arg(long, value_name = "N")]
        max: Option<u64>,
        /// How records are printed; JSON is one record a line
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Look into dead letters: what was rejected and why, and give it back
    Dlq {
        #[command(subcommand)]
        command: DlqCommand,
    },
    /// Copy topics of the embedded log to Kafka; going on where an earlier export stopped
    #[command(after_help = "Example:\n  host log export wikipedia --bootstrap localhost:9092")]
    Export {
        /// Topics to copy; none: all
        topics: Vec<String>,
        /// Folder of the embedded log
        #[arg(long, value_name = "DIR", default_value = "./host-data")]
        data_dir: PathBuf,
        /// Kafka to copy to
        #[arg(long, value_name = "SERVERS")]
        bootstrap: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DlqCommand {
    /// Count dead letters by topic, connector, stage and reason
    #[command(after_help = "Example:\n  host log dlq ls --data-dir ./host-data")]
    Ls {
        #[command(flatten)]
        place: LogPlace,
        /// How it is printed; JSON is one kind a line
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Append records that a sink rejected to their topic once more; each once, however often it is run
    #[command(after_help = "Example:\n  host log dlq replay wikipedia-dlq\n\n\
The embedded log is written by one process: stop the host that runs on it first.")]
    Replay {
        /// Topic of dead letters
        topic: String,
        #[command(flatten)]
        place: LogPlace,
        /// Append them to this topic instead
        #[arg(long, value_name = "TOPIC")]
        to: Option<String>,
        /// Take at most this many dead letters
        #[arg(long, value_name = "N")]
        max: Option<u64>,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if rate.is_finite() && rate >= 0.0 { Ok(rate) } else { Err(format!("`{text}` is not 0 or more")) }
}
