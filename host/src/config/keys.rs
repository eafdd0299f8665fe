//! Every key the host owns: name, type, default, meaning. `config/host.toml` shows each once, and a
//! test holds the two together.

use crate::plugin::OptionType;

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Dotted name.
    pub name: &'static str,
    /// Type.
    pub kind: OptionType,
    /// Default in text form; none: not set.
    pub default: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
}

const fn key(name: &'static str, kind: OptionType, default: Option<&'static str>, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

use OptionType::{Boolean, Int, List, Long, String as Text};

/// Keys of `[worker]`.
pub const WORKER_KEYS: &[Key] = &[
    key("data.dir", Text, Some("./host-data"), "folder of the embedded log"),
    key("embedded.max.bytes", Long, None, "largest size of the embedded log's file; not set: the disk"),
    key("bootstrap.servers", Text, None, "Kafka brokers; not set: the embedded log"),
    key(
        "worker.id",
        Text,
        None,
        "names this host among those that share a sink's partitions; not set: the machine's name",
    ),
    key("security.protocol", Text, None, "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`"),
    key("sasl.mechanism", Text, None, "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`"),
    key("sasl.username", Text, None, "SASL user name"),
    key("sasl.password", Text, None, "name of a secret: `env:NAME` or `file:PATH`"),
    key("ssl.ca.location", Text, None, "PEM file of certificates to trust"),
    key("ssl.certificate.location", Text, None, "PEM file of the client's certificate"),
    key("ssl.key.location", Text, None, "PEM file of the client's key"),
    key("ssl.key.password", Text, None, "name of a secret: `env:NAME` or `file:PATH`"),
    key("producer.compression.type", Text, Some("lz4"), "`none`, `gzip`, `snappy`, `lz4` or `zstd`"),
    key("offset.storage.topic", Text, Some("connect-offsets"), "Kafka topic of source positions"),
    key(
        "topic.creation.default.replication.factor",
        Int,
        Some("-1"),
        "replicas of topics made; -1: the broker's default",
    ),
    key(
        "plugin.path",
        Text,
        None,
        "folder of plugins by name and version (`host plugin add`); not set: `plugins` in `data.dir`",
    ),
    key("require.signatures", Boolean, Some("false"), "only plugins run that one of `trusted.keys` signed"),
    key(
        "trusted.keys",
        List,
        None,
        "public keys of who signs plugins, each `file:PATH`, `env:NAME` or `command:PROGRAM`",
    ),
    key("listeners", Text, None, "where the pipeline is shown, for instance `http://127.0.0.1:8083`; not set: nowhere"),
    key("dashboard.edits.topic", Text, None, "topic whose edits are counted on that page"),
];

/// Keys of every connector.
pub(super) const COMMON_KEYS: &[Key] = &[
    key(
        "connector.class",
        Text,
        Some("plugin"),
        "`plugin`, or a kind the host has itself: `spool-sink`, `spool-source`, `ingest`",
    ),
    key(
        "plugin",
        Text,
        None,
        "component file, relative to the configuration file; or a plugin of `plugin.path` by name",
    ),
    key(
        "plugin.version",
        Text,
        None,
        "of a plugin by name: a version as in `0.2.0`, or a range as in `^0.2`; not set: the newest",
    ),
    key("trusted", Boolean, Some("false"), "run without a CPU limit, some 30 % faster"),
    key("tasks.max", Int, Some("1"), "most tasks; a feed is read by one"),
    key("errors.deadletterqueue.topic.name", Text, None, "topic of rejected inputs; not set: `TOPIC-dlq`"),
    key(
        "errors.tolerance",
        Text,
        Some("all"),
        "rejected inputs: `all` become dead letters, or `none` is tolerated and the task fails",
    ),
    key(
        "errors.deadletter.max.ratio",
        Text,
        None,
        "share of the last inputs, 0 to 1, above which the task fails before they become dead letters; not set: any",
    ),
    key("errors.deadletter.window", Long, Some("1000"), "how many inputs the last ones are"),
    key(
        "errors.retry.timeout",
        Long,
        Some("-1"),
        "for how many milliseconds failures in a row are tried again before the task fails; -1: for ever",
    ),
    key("errors.retry.delay.max.ms", Long, Some("60000"), "longest wait between tries"),
    key("batch.max.records", Int, Some("1024"), "records taken at once"),
    key("batch.max.bytes", Int, Some("4194304"), "bytes taken at once, about"),
    key("task.shutdown.graceful.timeout.ms", Long, Some("5000"), "how long a task may take to stop"),
    key("restart.max", Int, Some("10"), "restarts of a failed task in a row before it stays failed"),
    key("plugin.trial.batches", Long, Some("100"), "batches for which a new version is on trial; 0: none"),
    key(
        "plugin.trial.reject.increase",
        Text,
        Some("0.1"),
        "share of inputs, 0 to 1, that a version on trial may reject more than the one before",
    ),
    key(
        "plugin.trial.cpu.factor",
        Text,
        Some("5"),
        "how many times the CPU time of the version before an input may take in a trial",
    ),
    key("memory.max.bytes", Long, Some("268435456"), "linear memory of an instance"),
    key("table.max.elements", Long, Some("200000"), "function table entries of an instance"),
    key("cpu.max.ms", Long, Some("5000"), "CPU time of one call, unless trusted"),
    key("call.timeout.ms", Long, Some("60000"), "wall time of one call"),
    key("output.max.bytes", Long, Some("67108864"), "bytes one call may return or hand to the host"),
    key("output.max.records", Long, Some("1000000"), "records one call may return"),
    key("host.calls.max.per.second", Long, Some("1000000"), "calls of what the host lends"),
    key("log.lines.max.per.second", Long, Some("100"), "log lines; more are dropped and counted"),
];

/// Keys of connectors that write to a topic.
pub(super) const OUTPUT_KEYS: &[Key] = &[
    key("topic", Text, None, "topic the records go to; made if it is not there"),
    key("topic.creation.default.partitions", Int, Some("1"), "partitions of a topic that is made"),
    key(
        "exactly.once",
        Text,
        Some("required"),
        "`required`: records and positions in one transaction; `off`: on Kafka records first, which a crash may repeat",
    ),
    key("transaction.boundary.interval.ms", Long, Some("100"), "records wait at most this long for their commit"),
    key("transaction.boundary.max.bytes", Long, Some("16777216"), "bytes that make a commit at once"),
];

/// Keys of source plugins.
pub(super) const SOURCE_KEYS: &[Key] = &[
    key("plugin.watch", Boolean, Some("false"), "a new version of the plugin takes over while it runs"),
    key(
        "grants",
        List,
        None,
        "capabilities lent to the plugin: `clock`, `feed`, `files`, `geoip`, `http`, `random`, `state`",
    ),
    key("state.max.bytes", Long, Some("262144"), "names and values of the plugin's kept state, capability `state`"),
    key(
        "http.allow",
        List,
        None,
        "requests lent as capability `http`, each `METHOD|METHOD URL` with `*` and `**` in its path",
    ),
    key(
        "http.networks",
        List,
        None,
        "networks that requests may reach although they are not public, each as in `10.0.0.0/8`; not set: none",
    ),
    key(
        "http.credentials",
        List,
        None,
        "put on requests by the host, each `METHODS URL = bearer SECRET`, `… = basic USER SECRET` or `… = header NAME SECRET`; \
         SECRET as in `env:NAME`",
    ),
    key("http.requests.max.per.second", Long, Some("10"), "requests; more wait"),
    key("http.response.max.bytes", Long, Some("8388608"), "body of one answer"),
    key("http.request.max.bytes", Long, Some("8388608"), "body of one request"),
    key("http.timeout.ms", Long, Some("30000"), "longest time of one request"),
    key("http.tls.ca.file", Text, None, "PEM file of certificates to trust instead of the system's"),
    key("files.dir", Text, None, "folder lent as capability `files`"),
    key("files.write", Boolean, Some("false"), "the plugin may write there too"),
    key("key.converter.schemas.enable", Boolean, Some("true"), "keys as `{\"schema\":…,\"payload\":…}`"),
    key("value.converter.schemas.enable", Boolean, Some("true"), "values as `{\"schema\":…,\"payload\":…}`"),
    key("geoip.database", Text, None, "MaxMind database file lent as capability `geoip`"),
    key("feed", Text, None, "`irc` or `eventstreams`"),
    key("feed.overflow", Text, None, "full buffer: `drop` (irc's default) or `block` (eventstreams')"),
    key("feed.buffer.bytes", Long, Some("67108864"), "most bytes waiting between feed and plugin"),
    key("irc.host", Text, None, "server"),
    key("irc.port", Int, Some("6667"), "TCP port"),
    key("irc.channels", List, None, "channels, with `#`"),
    key("irc.nick", Text, Some("connector"), "nick; six digits are appended"),
    key("irc.sender", Text, None, "only what this nick says is taken; not set: everyone"),
    key("irc.tls", Boolean, Some("false"), "TLS from the first byte"),
    key("irc.tls.ca.file", Text, None, "PEM file of certificates to trust instead of the system's"),
    key("sse.url", Text, None, "URL of the event stream"),
    key(
        "sse.user.agent",
        Text,
        Some(concat!("connector-host/", env!("CARGO_PKG_VERSION"), " (no contact set: option sse.user.agent)")),
        "names this client and a contact, as Wikimedia's policy wants",
    ),
    key("sse.tls.ca.file", Text, None, "PEM file of certificates to trust instead of the system's"),
];

/// Keys of both sides of a spool.
pub(super) const SPOOL_KEYS: &[Key] = &[
    key("dir", Text, None, "the spool's directory, on the filer or in the local folder"),
    key("files", Text, Some("qumulo"), "where `dir` is: `qumulo` (REST) or `local` (a folder of this machine)"),
    key(
        "spool.lease.ms",
        Long,
        Some("60000"),
        "who says nothing for so long loses its partitions, for twice as long its claims",
    ),
    key("qq.hostname", Text, None, "address of the cluster"),
    key("qq.port", Int, Some("8000"), "TCP port of its REST API"),
    key("qq.username", Text, None, "user"),
    key("qq.password", Text, None, "name of a secret: `env:NAME` or `file:PATH`"),
    key("qq.access.token", Text, None, "instead of user and password; name of a secret: `env:NAME` or `file:PATH`"),
    key("qq.pagesize", Int, Some("256"), "entries of one page of a listing"),
    key("qq.timeout.ms", Long, Some("30000"), "time of one call, and of a pause in a stream of data"),
    key("qq.tls", Text, Some("verify"), "`verify`, `sha256:HEX` (a pinned certificate), `accept-any` (no protection)"),
    key("qq.tls.ca.file", Text, None, "PEM file of certificates to trust instead of the system's"),
];

/// Keys of a spool sink, topics to files.
pub(super) const SPOOL_SINK_KEYS: &[Key] = &[
    key("topics", List, None, "topics to read"),
    key("spool.place", Text, Some("target"), "where files are published: `inbox` (of a spool source) or `target`"),
    key("spool.content", Text, Some("records"), "`records` are sealed; `members` came sealed and stay so"),
    key("seal.recipients", List, None, "public keys, each `file:PATH`, `env:NAME` or `command:PROGRAM`"),
    key("member.max.bytes", Int, Some("900000"), "plain bytes sealed as one; below what a topic takes as one record"),
];

/// Keys of a spool source, files to a topic.
pub(super) const SPOOL_SOURCE_KEYS: &[Key] = &[
    key("chunk.max.bytes", Int, Some("950000"), "a sealed member above it travels in pieces"),
    key("trash.snapshot.keep.ms", Long, Some("0"), "before files are deleted a snapshot is made and kept; 0: none"),
];

/// Keys of an ingestion: the endpoint, and what is loaded from it.
pub(super) const INGEST_KEYS: &[Key] = &[
    key(
        "data.set",
        Text,
        None,
        "spool sink whose data set is loaded; not set: `dir`, `files` and `layout.plugin` say it",
    ),
    key("layout.plugin", Text, None, "layout component of a data set that is named by `dir`"),
    key("open.keys", List, None, "private keys, each `file:PATH`, `env:NAME` or `command:PROGRAM`"),
    key("scan.interval.ms", Long, Some("1000"), "how often the data set is looked at"),
    key("listen", Text, Some("127.0.0.1:9500"), "where batches are served"),
    key("access.username", Text, None, "user that may fetch; with `access.password`"),
    key("access.password", Text, None, "name of a secret: `env:NAME` or `file:PATH`"),
    key(
        "access.password.variable",
        Text,
        None,
        "environment variable of Druid's with that password; not set: it is written into tasks",
    ),
    key("access.token", Text, None, "bearer token that may fetch; name of a secret: `env:NAME` or `file:PATH`"),
    key("tls.certificate.file", Text, None, "PEM file of the endpoint's certificate chain; not set: no TLS"),
    key("tls.key.file", Text, None, "PEM file of its private key"),
    key("advertised.url", Text, None, "the endpoint as Druid reaches it; not set: its own address"),
    key("fetch.gzip", Boolean, Some("true"), "batches are fetched compressed"),
    key("retire", Text, Some("never"), "when a batch is served no more: `never`, or once it is `ingested`"),
    key("retire.after.ms", Long, Some("0"), "how long after it was ingested"),
    key("druid.url", Text, None, "Overlord, or Router with its management proxy; not set: batches are served only"),
    key("druid.username", Text, None, "user at Druid"),
    key("druid.password", Text, None, "name of a secret: `env:NAME` or `file:PATH`"),
    key("druid.tls.ca.file", Text, None, "PEM file of certificates to trust instead of the system's"),
    key("druid.timeout.ms", Long, Some("30000"), "time of one call"),
    key("data.source", Text, None, "data source at Druid; case matters"),
    key("time.column", Text, Some("timestamp"), "column with each row's time"),
    key("time.format", Text, Some("iso"), "how it is written: `iso`, `millis`, `posix` or `auto`"),
    key(
        "columns",
        List,
        None,
        "the other columns, each `NAME` or `NAME:TYPE`: `string`, `long`, `float`, `double`, `json`",
    ),
    key(
        "segment.granularity",
        Text,
        Some("day"),
        "chunks of time that are stored together: `hour`, `day`, `month`, `year`",
    ),
    key("dialect", Text, Some("current"), "words of tasks: `current` (Druid 0.17 and later) or `legacy` (up to 25)"),
    key("ingest.mode", Text, Some("append"), "`append` rows, or `replace` all of each chunk that has new ones"),
    key("schedule", Text, Some("10s"), "when waiting batches are loaded: a time, or a cron pattern in UTC"),
    key(
        "merge.schedule",
        Text,
        None,
        "when segments of a chunk are merged: a time, or a cron pattern in UTC; not set: never",
    ),
    key("merge.min.tasks", Int, Some("10"), "tasks that appended to a chunk before it is merged"),
    key("task.max.batches", Int, Some("200"), "batches of one task"),
    key("task.max.attempts", Int, Some("3"), "failures in a row before the ingestion fails"),
    key("task.poll.interval.ms", Long, Some("1000"), "how often a task is asked after"),
];

/// Every key a connector can have; each kind takes some of the lists.
pub const CONNECTOR_KEYS: &[&[Key]] =
    &[COMMON_KEYS, OUTPUT_KEYS, SOURCE_KEYS, SPOOL_KEYS, SPOOL_SINK_KEYS, SPOOL_SOURCE_KEYS, INGEST_KEYS];

/// The key of a name.
pub(super) fn find(keys: &[&'static [Key]], name: &str) -> Option<&'static Key> {
    keys.iter().flat_map(|keys| keys.iter()).find(|key| key.name == name)
}

/// The known name nearest to a misspelt one, if any is near.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score > 0.8).map(|(_, known)| known)
}
