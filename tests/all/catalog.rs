//! Plugins by name and version: the catalog, signatures, pins and ranges, and going back by name.

use serde_json::json;
use std::path::Path;
use tempfile::tempdir;
use tests::feeds::{self, free_port};
use tests::plugins::{Plugin, wiki_source};
use tests::program::{self, Finished};
use tests::worker::Connector;
use tests::{wait_for, wait_until};

const WITHIN: std::time::Duration = tests::spool::WITHIN;

fn host(dir: &Path, line: &str) -> Finished {
    program::host(dir, line.split(' '))
}

/// A folder with three versions of the source in its catalog, and the files beside it.
fn three_versions() -> tempfile::TempDir {
    let dir = tempdir().unwrap();
    for number in ["0.1.0", "0.2.0", "0.3.0-rc.1"] {
        let file = wiki_source(dir.path(), number);
        let added = host(dir.path(), &format!("plugin add {}", file.display())).expect(0);
        assert_eq!(added.stdout.trim(), format!("wiki_source@{number}"));
        assert!(added.stderr.contains(&format!("wiki_source@{number} added (")), "{added:?}");
    }
    dir
}

#[test]
fn versions_lie_side_by_side_and_are_never_written_over() {
    let dir = three_versions();
    let listed = host(dir.path(), "plugin ls --output json").expect(0).json();
    let versions: Vec<&str> =
        listed.as_array().unwrap().iter().map(|entry| entry["version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["0.1.0", "0.2.0", "0.3.0-rc.1"]);
    assert_eq!((&listed[0]["name"], &listed[0]["world"]), (&json!("wiki_source"), &json!("source")));
    let table = host(dir.path(), "plugin versions wiki_source").expect(0).stdout;
    assert!(table.contains("0.3.0-rc.1") && table.contains("sha256"), "{table}");
    // The same bytes again are no error; others are.
    let again = host(dir.path(), "plugin add wiki_source-0.2.0.wasm").expect(0);
    assert!(again.stderr.contains("was there already"), "{again:?}");
    let key = host(dir.path(), "keys generate release --signing").expect(0).stdout;
    assert_eq!(key, "./release.key\n./release.pub\n");
    host(dir.path(), "plugin sign wiki_source-0.2.0.wasm --key file:release.key").expect(0);
    let other = host(dir.path(), "plugin add wiki_source-0.2.0.wasm").expect(2);
    assert!(other.stderr.contains("hint: a version is never written over"), "{other:?}");
    host(dir.path(), "plugin rm wiki_source").expect(2);
    host(dir.path(), "plugin rm wiki_source@0.2.0").expect(0);
    host(dir.path(), "plugin add wiki_source-0.2.0.wasm").expect(0);
    let missing = host(dir.path(), "plugin versions nobody").expect(2);
    assert!(missing.stderr.contains("no plugin `nobody` in `./host-data/plugins`"), "{missing:?}");
}

#[test]
fn a_plugin_that_was_changed_or_is_signed_by_nobody_trusted_does_not_run() {
    let dir = three_versions();
    host(dir.path(), "keys generate release --signing").expect(0);
    host(dir.path(), "keys generate stranger --signing").expect(0);
    host(dir.path(), "plugin sign wiki_source-0.1.0.wasm --key file:release.key -o signed.wasm").expect(0);
    host(dir.path(), "plugin sign wiki_source-0.1.0.wasm --key file:stranger.key -o strange.wasm").expect(0);
    let run = |plugin: &str, more: &[&str]| {
        let settings = ["--set", "require.signatures=true", "--set", "trusted.keys=file:release.pub"];
        let feed = ["--set", "irc.host=127.0.0.1", "--set", "irc.port=1", "--duration", "200ms"];
        program::host(dir.path(), [&["run", "--plugin", plugin], &settings[..], &feed, more].concat())
    };
    let unsigned = run("./wiki_source-0.1.0.wasm", &[]).expect(2).stderr;
    assert!(
        unsigned.contains("it has no signature, expected one of `") && unsigned.contains("hint: sign it"),
        "{unsigned}"
    );
    let strange = run("./strange.wasm", &[]).expect(2).stderr;
    assert!(strange.contains("it is signed by `"), "{strange}");
    let mut bytes = std::fs::read(dir.path().join("signed.wasm")).unwrap();
    let at = bytes.windows(7).position(|part| part == b"\"0.1.0\"").unwrap();
    bytes[at + 1] = b'7';
    std::fs::write(dir.path().join("changed.wasm"), bytes).unwrap();
    let changed = run("./changed.wasm", &[]).expect(2).stderr;
    assert!(changed.contains("is not of this file: it was changed since"), "{changed}");
    let nobody = run("./signed.wasm", &["--set", "trusted.keys="]).expect(2).stderr;
    assert!(nobody.contains("option `require.signatures` is set, and `trusted.keys` names no key"), "{nobody}");
    // A feed that nobody serves is waited for, so the signed one is stopped, not refused.
    assert!(!run("./signed.wasm", &[]).stderr.contains("signature"));

    let verified = host(dir.path(), "plugin verify signed.wasm --trust file:release.pub").expect(0).stdout;
    assert!(verified.contains("sound") && verified.contains("(trusted)"), "{verified}");
    host(dir.path(), "plugin verify signed.wasm --trust file:stranger.pub").expect(1);
    let catalog = dir.path().join("host-data/plugins/wiki_source/0.2.0.wasm");
    let mut bytes = std::fs::read(&catalog).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&catalog, bytes).unwrap();
    let all = host(dir.path(), "plugin verify --output json").expect(1).json();
    let sound: Vec<bool> = all.as_array().unwrap().iter().map(|row| row["sound"].as_bool().unwrap()).collect();
    assert_eq!(sound, [true, false, true], "{all}");
}

#[test]
fn a_swap_by_name_pins_ranges_and_rolls_back() {
    let dir = three_versions();
    let emulator = feeds::irc(host_emulators::irc::Options { rate: 200.0, ..Default::default() });
    let url = format!("http://127.0.0.1:{}", free_port());
    let source = Connector::new("wiki", Plugin::WikiSource).irc(&emulator).set("plugin", "wiki_source");
    let source = source.set("plugin.version", "^0.1");
    let text = format!("[worker]\ndata.dir = 'host-data'\nlisteners = '{url}'\n{}", source.to_toml());
    std::fs::write(dir.path().join("host.toml"), text).unwrap();
    let mut running = program::spawn(dir.path(), ["run", "host.toml", "--watch"]);
    running.wait_stderr("look at the pipeline: ");
    let versions = || {
        let found = program::host(dir.path(), ["plugin", "versions", "wiki_source", "--url", &url, "--output", "json"]);
        let found = found.expect(0).json();
        let of = |entry: &serde_json::Value| (entry["connectors"] == json!(["wiki"])).then(|| entry["version"].clone());
        found.as_array().unwrap().iter().find_map(of)
    };
    wait_until("the pinned version", WITHIN, || versions() == Some(json!("0.1.0")));
    // A newer one of the range takes over by itself; others do not.
    for number in ["0.4.0", "0.1.5"] {
        host(dir.path(), &format!("plugin add {}", wiki_source(dir.path(), number).display())).expect(0);
    }
    wait_until("the newer version of the range", WITHIN, || versions() == Some(json!("0.1.5")));
    let swap =
        |plugin: &str| program::host(dir.path(), ["connector", "swap", "wiki", "--url", &url, "--plugin", plugin]);
    let forth = swap("wiki_source@0.2.0").expect(0).stdout;
    assert!(forth.contains("wiki_source@0.2.0 runs in place of wiki_source@0.1.5"), "{forth}");
    let back = swap("wiki_source@0.1.0").expect(0).stdout;
    assert!(back.contains("wiki_source@0.1.0 runs in place of wiki_source@0.2.0"), "{back}");
    assert_eq!(versions(), Some(json!("0.1.0")));
    let none = swap("wiki_source@9.9.9").expect(2).stderr;
    assert!(
        none.contains("no plugin `wiki_source@9.9.9`") && none.contains("versions that are there: `0.1.0`"),
        "{none}"
    );
    let newest = swap("wiki_source").expect(0).stdout;
    assert!(newest.contains("wiki_source@0.4.0 runs in place"), "a release, not 0.3.0-rc.1: {newest}");
    // The same version once more: what the one before held is gone, what this one holds is not.
    swap("wiki_source@0.4.0").expect(0);
    let metrics = crate::guests::get(&url, "/metrics").unwrap();
    let memory = |version: &str| {
        let is_it = |line: &&str| line.starts_with("connector_host_plugin_memory_bytes{") && line.contains(version);
        metrics.lines().find(is_it).and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    assert!(memory("@0.4.0").unwrap() > 0.0, "{metrics}");
    let records = || crate::cli::offsets(dir.path());
    let before = records();
    wait_for("more records", WITHIN, || (records() > before).then_some(()));
    running.signal("INT");
    running.finish().expect(0);
}

#[test]
fn a_plugin_is_named_by_file_or_by_name_with_a_version_that_is_there() {
    let dir = three_versions();
    let check = |keys: &str, expected: &[&str]| {
        let text = format!("[connectors.wiki]\ngrants = 'feed'\nirc.host = '127.0.0.1'\nirc.port = 1\n{keys}");
        std::fs::write(dir.path().join("host.toml"), text).unwrap();
        let refused = host(dir.path(), "run host.toml --duration 100ms");
        assert!(expected.iter().all(|words| refused.stderr.contains(words)), "{keys}: {refused:?}");
    };
    check(
        "plugin = 'wiki_source'\n'plugin.version' = '0.9.0'",
        &["no plugin `wiki_source@0.9.0`", "hint: versions that"],
    );
    check(
        "plugin = 'wiki_source'\n'plugin.version' = 'newest'",
        &["version `newest`: expected one as in `0.2.0`, or a range"],
    );
    check(
        "plugin = 'wiki_source-0.1.0.wasm'\n'plugin.version' = '0.1.0'",
        &["`plugin.version` is set, and `plugin` is the file"],
    );
    check("plugin = 'wiki_source@0.1.0'\n'plugin.version' = '0.1.0'", &["expected one"]);
    check("plugin = 'nobody'", &["no plugin `nobody` in `./host-data/plugins`", "`host plugin add FILE` adds one"]);
    check("plugin = 'wiki_source@0.1.0'", &["plugin wiki_source@0.1.0, lent: feed"]);
    check("plugin = 'wiki_source'", &["plugin wiki_source@0.2.0, lent: feed"]);
}
