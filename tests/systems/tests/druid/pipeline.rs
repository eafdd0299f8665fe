//! The whole pipeline into a real Druid: feed, log, sealed spool, log, data set, endpoint, task. What a query
//! counts is what is in the log, also after a second run, and wherever the host is killed around the
//! moment in which a task is handed in.

use crate::support::WITHIN;
use host::ports::log::Log;
use host_emulators::irc;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use systems::druid::{Druid, druid};
use tests::plugins::Plugin;
use tests::program;
use tests::records::{payload, read_topic};
use tests::spool::{Pipeline, RECORDS, TO_DATA_SET, private_key};
use tests::worker::{self, Connector};

const COLUMNS: &str = "channel, page, user, comment, flags, diffUrl, namespace, isNew, isMinor, isRobot, isAnonymous, \
    isUnpatrolled, added:long, deleted:long, delta:long, deltaBucket:double, commentLength:long, countryIsoCode, \
    countryName, regionIsoCode, regionName, cityName, metroCode:long";
/// Longest wait for a connector, with everything else on the same cores.
const CONNECTOR_WITHIN: Duration = Duration::from_secs(120);

fn ingest(pipeline: &Pipeline, druid_url: &str, data_source: &str) -> Connector {
    let connector = Connector::spool("ingest", "ingest", Plugin::DruidSpec)
        .set("data.set", TO_DATA_SET)
        .set("open.keys", private_key(pipeline.dir.path(), "demo"))
        .set("listen", "127.0.0.1:0")
        .set("access.username", "druid")
        .set("access.password", format!("file:{}", pipeline.dir.path().join("fetch.password").display()))
        .set("druid.url", druid_url)
        .set("data.source", data_source)
        .set("columns", COLUMNS)
        .set("scan.interval.ms", 200)
        .set("schedule", "500ms")
        .set("task.poll.interval.ms", 200)
        .set("errors.retry.delay.max.ms", 1000);
    tests::spool::write_secret(&pipeline.dir.path().join("fetch.password"), "not guessed");
    connector
}

/// Feed to Druid.
fn connectors(
    pipeline: &Pipeline,
    feed: &host_emulators::Handle,
    druid_url: &str,
    data_source: &str,
) -> Vec<Connector> {
    let source = Connector::new("wiki", Plugin::WikiSource).irc(feed).set("topic", RECORDS);
    let mut all = vec![source];
    all.extend(pipeline.connectors());
    all.push(ingest(pipeline, druid_url, data_source));
    all
}

/// Rows and what they have added, as the log has them.
fn in_log(log: &dyn Log) -> Value {
    let records = read_topic(log, RECORDS);
    let added: i64 = records.iter().map(|record| payload(record)["added"].as_i64().unwrap()).sum();
    json!([[records.len(), added]])
}

fn in_druid(druid: &Druid, data_source: &str, expected: &Value) {
    let query = format!("SELECT COUNT(*), SUM(added) FROM \"{data_source}\"");
    druid.sql_gives(&query, expected, WITHIN).unwrap();
}

#[test]
fn every_edit_is_queryable_once_and_a_second_run_adds_only_new_ones() {
    let Some(druid) = druid() else { return };
    let pipeline = Pipeline::on_folders();
    let feed = tests::feeds::irc(irc::Options { rate: 0.0, ..irc::Options::default() });
    let connectors = connectors(&pipeline, &feed, druid.overlord_url(), "edits");
    for (run, records) in [(1, 1500_u64), (2, 500)] {
        let mut running = worker::start(&pipeline.data_dir(), &connectors, Some(records));
        running.wait("wiki", "all records", CONNECTOR_WITHIN, |status| status.counts.records == records);
        let expected = in_log(running.log());
        assert_eq!(expected[0][0], if run == 1 { 1500 } else { 2000 });
        running.wait("ingest", "all rows", CONNECTOR_WITHIN, |status| status.counts.records == records);
        in_druid(druid, "edits", &expected);
        running.stop();
    }
    // A third one finds nothing to do, and hands nothing in.
    let mut running = worker::start(&pipeline.data_dir(), &connectors[1..], None);
    running.wait("ingest", "a look at the data set", CONNECTOR_WITHIN, |status| status.counts.backlog == Some(0));
    let expected = in_log(running.log());
    running.stop();
    in_druid(druid, "edits", &expected);
}

/// `host demo --druid URL`, twice on one folder: by a Router, which passes on both tasks and queries.
#[test]
fn the_demo_loads_into_a_real_druid() {
    let Some(druid) = druid() else { return };
    let dir = tempfile::tempdir().unwrap();
    for records in [600_u64, 400] {
        let router = druid.router_url();
        let number = records.to_string();
        // Where the plugins' sources are.
        let root = tests::plugins::root();
        let arguments = ["demo", "--records", &number, "--druid", &router, "--output", "json", "--data-dir"];
        let mut command = program::command(&root);
        command.args(arguments).arg(dir.path());
        let demo = program::Program::start(command).finish().expect(0).json();
        let total = if records == 600 { 600 } else { 1000 };
        let hops: Vec<u64> =
            demo["hops"].as_array().unwrap().iter().map(|hop| hop["count"].as_u64().unwrap()).collect();
        assert_eq!((hops.as_slice(), &demo["equal"]), ([total; 5].as_slice(), &json!(true)), "{demo}");
    }
    druid.sql_gives("SELECT COUNT(*) FROM wikipedia", &json!([[1000]]), WITHIN).unwrap();
}

/// A column of booleans, one of text and one of numbers, as they are in the log. By a Router.
#[test]
fn values_arrive_as_they_are() {
    let Some(druid) = druid() else { return };
    let pipeline = Pipeline::on_folders();
    let feed = tests::feeds::irc(irc::Options { rate: 0.0, ..irc::Options::default() });
    let connectors = connectors(&pipeline, &feed, &druid.router_url(), "values");
    let mut running = worker::start(&pipeline.data_dir(), &connectors, Some(300));
    running.wait("ingest", "all rows", CONNECTOR_WITHIN, |status| status.counts.records == 300);
    let records: Vec<Value> = read_topic(running.log(), RECORDS).iter().map(payload).collect();
    running.stop();
    let robots = records.iter().filter(|row| row["isRobot"] == true).count();
    let deleted: i64 = records.iter().map(|row| row["deleted"].as_i64().unwrap()).sum();
    let longest = records.iter().map(|row| row["comment"].as_str().unwrap_or_default()).max_by_key(|text| text.len());
    let query = "SELECT COUNT(*) FILTER (WHERE isRobot = 'true'), SUM(deleted), \
                 COUNT(*) FILTER (WHERE \"comment\" = '{}') FROM \"values\"";
    let query = query.replace("{}", &longest.unwrap().replace('\'', "''"));
    let same = records.iter().filter(|row| row["comment"].as_str() == longest).count();
    druid.sql_gives(&query, &json!([[robots, deleted, same]]), WITHIN).unwrap();
}

/// What happens when the host hands in a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The task does not reach Druid.
    BeforeDruid,
    /// Druid has it, and the host does not know.
    AfterDruid,
}

/// Stands before Druid, says when the moment has come, and passes nothing on from then on.
fn proxy(druid: SocketAddr, moment: Moment) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let tell = tell.clone();
            // One that ends with the host is no failure.
            thread::spawn(move || drop(pass(client, druid, moment, &tell)));
        }
    });
    (address, told)
}

/// One request of a connection, and no more: clients make a new one.
fn pass(mut client: TcpStream, druid: SocketAddr, moment: Moment, tell: &Sender<()>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut some = [0; 64 << 10];
    let end = loop {
        let count = client.read(&mut some)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&some[..count]);
        if let Some(end) = request.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    while request.len() < end + 4 + length.unwrap_or(0) {
        let count = client.read(&mut some)?;
        request.extend_from_slice(&some[..count]);
    }
    let is_task = head.starts_with("post /druid/indexer/v1/task ");
    if is_task && moment == Moment::BeforeDruid {
        let _ = tell.send(());
        return Ok(());
    }
    let text = String::from_utf8_lossy(&request[..end]).into_owned() + "\r\nConnection: close\r\n\r\n";
    let mut server = TcpStream::connect(druid)?;
    server.write_all(text.as_bytes())?;
    server.write_all(&request[end + 4..])?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if is_task {
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let _ = tell.send(());
        return Ok(());
    }
    client.write_all(&answer)
}

#[test]
fn a_host_that_is_killed_while_it_hands_in_a_task_loses_and_doubles_no_row() {
    let Some(druid) = druid() else { return };
    for (moment, data_source) in [(Moment::BeforeDruid, "killed_before"), (Moment::AfterDruid, "killed_after")] {
        let pipeline = Pipeline::on_folders();
        let feed = tests::feeds::irc(irc::Options { rate: 0.0, ..irc::Options::default() });
        let overlord = druid.overlord_url().strip_prefix("http://").unwrap().parse().unwrap();
        let (address, told) = proxy(overlord, moment);
        let mut all = connectors(&pipeline, &feed, &format!("http://{address}"), data_source);
        // The task that Druid has names the endpoint, which is to be there again.
        let listen = format!("127.0.0.1:{}", tests::feeds::free_port());
        let last = all.pop().unwrap();
        all.push(last.set("listen", listen));

        // All records first, so that what the log has is known.
        let mut running = worker::start(&pipeline.data_dir(), &all[..4], Some(800));
        running.wait("wiki", "all records", CONNECTOR_WITHIN, |status| status.counts.records == 800);
        pipeline.check(running.log());
        let expected = in_log(running.log());
        running.stop();
        drop(running);
        worker::wait_unlocked(&pipeline.data_dir());

        let config = pipeline.config("killed.toml", &all[1..]);
        let host = program::spawn(pipeline.dir.path(), ["run", config.to_str().unwrap()]);
        told.recv_timeout(CONNECTOR_WITHIN).unwrap_or_else(|_| panic!("no task was handed in: {}", host.stderr()));
        host.signal("KILL");
        drop(host);

        let direct = [&all[1..4], &[all[4].clone().set("druid.url", druid.overlord_url())]].concat();
        let mut running = worker::start(&pipeline.data_dir(), &direct, None);
        running.wait("ingest", "all rows", CONNECTOR_WITHIN, |status| status.counts.records == 800);
        in_druid(druid, data_source, &expected);
        running.stop();
        // One task for each set of batches: none was handed in twice.
        let tasks = druid.get(&format!("/druid/indexer/v1/tasks?state=complete&datasource={data_source}")).unwrap();
        let tasks: Value = serde_json::from_str(&tasks.body).unwrap();
        let ids: Vec<&str> = tasks.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
        assert!(!ids.is_empty() && ids.iter().all(|id| id.ends_with("_1")), "{moment:?}: {ids:?}");
    }
}

/// Many appended segments become one, and no row is lost.
#[test]
fn segments_are_merged() {
    let Some(druid) = druid() else { return };
    let pipeline = Pipeline::on_folders();
    let feed = tests::feeds::irc(irc::Options { rate: 0.0, ..irc::Options::default() });
    let mut connectors = connectors(&pipeline, &feed, druid.overlord_url(), "merged");
    let last = connectors.pop().unwrap();
    connectors.push(last.set("task.max.batches", 1).set("merge.schedule", "1s").set("merge.min.tasks", 3));
    let mut running = worker::start(&pipeline.data_dir(), &connectors, Some(200));
    running.wait("ingest", "all rows", CONNECTOR_WITHIN, |status| status.counts.records == 200);
    let expected = in_log(running.log());
    let segments = "SELECT COUNT(*) < 3 FROM sys.segments WHERE datasource = 'merged' AND is_available = 1 AND is_overshadowed = 0";
    druid.sql_gives(segments, &json!([[true]]), WITHIN).unwrap();
    in_druid(druid, "merged", &expected);
    running.stop();
}
