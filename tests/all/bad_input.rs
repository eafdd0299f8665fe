//! What is wrong before anything runs: the program refuses with exit code 2, says what, where, what it
//! found and what it expected, and writes nothing to standard output. What is wrong with the outside
//! while it runs is in `trouble.rs`.

use host::config::{Config, RawConfig};
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use tests::feeds::free_port;
use tests::plugins::{Plugin, root};
use tests::program::{self, Finished};

/// The first words of a configuration with one connector, lent a feed that is this machine's: even a
/// host that does not refuse must not call Wikipedia.
const CONNECTOR: &str =
    "[connectors.wikipedia]\nplugin = \"wiki_source.wasm\"\ngrants = [\"feed\"]\nirc.host = \"127.0.0.1\"\n";
/// The same on the command line.
pub(crate) const RUN: [&str; 5] = ["run", "--plugin", "wiki_source.wasm", "--set", "irc.host=127.0.0.1"];

/// A folder with the plugins in it.
pub(crate) fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    for plugin in [Plugin::WikiSource, Plugin::SelectEdits, Plugin::UnrulySource] {
        std::fs::copy(plugin.path(), dir.path().join(format!("{}.wasm", plugin.name()))).unwrap();
    }
    dir
}

/// Runs the program and checks that it refuses with all these words, and says nothing else than why.
pub(crate) fn refused(dir: &Path, arguments: &[&str], expected: &[&str]) -> Finished {
    let run = program::host(dir, arguments).expect(2);
    assert_eq!(run.stdout, "", "results although it was refused");
    for words in expected {
        assert!(run.stderr.contains(words), "`{words}` is not in: {}", run.stderr);
    }
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run
}

/// Checks that a configuration file is refused with all these words.
fn refused_config(text: &str, expected: &[&str]) -> Finished {
    let dir = folder();
    std::fs::write(dir.path().join("host.toml"), text).unwrap();
    refused(dir.path(), &["run", "host.toml"], expected)
}

/// Checks that a plugin file is refused with all these words, by `run` and by `plugin inspect`.
fn refused_plugin(bytes: &[u8], expected: &[&str]) {
    let dir = tempdir().unwrap();
    std::fs::write(dir.path().join("p.wasm"), bytes).unwrap();
    let expected = [&["error: plugin `p.wasm`"], expected].concat();
    refused(dir.path(), &["run", "--plugin", "p.wasm"], &expected);
    refused(dir.path(), &["plugin", "inspect", "p.wasm"], &expected);
}

/// The bytes of a plugin with every `from` replaced by as many bytes of `to`.
fn patched(plugin: Plugin, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "a patch of another length breaks the component");
    let mut bytes = std::fs::read(plugin.path()).unwrap();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, part)| *part == from.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "`{from}` is not in {plugin:?}");
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()));
    bytes
}

#[test]
fn a_plugin_that_is_not_there_is_told() {
    let dir = tempdir().unwrap();
    refused(dir.path(), &["run", "--plugin", "none.wasm"], &["error: plugin `none.wasm`: No such file or directory"]);
    refused(
        dir.path(),
        &["run"],
        &["error: no connector is configured", "hint: give a config file", "`--plugin FILE`"],
    );
    refused(dir.path(), &["run", "--plugin", "."], &["error: plugin `.`"]);
}

#[test]
fn a_file_that_is_no_component_is_told_what_it_is() {
    refused_plugin(b"#!/bin/sh\necho\n", &["the file begins with `#!/b`, expected `\\0asm`"]);
    refused_plugin(b"", &["the file begins with ``, expected `\\0asm`"]);
    refused_plugin(b"\0asm\x01\0\0\0", &["a core module, expected a component", "hint: build it for wasm32-wasip2"]);
    let component = b"\0asm\x0d\0\x01\0";
    refused_plugin(
        component,
        &["has no section `connector:plugin.toml`", "hint: build it with `host plugin build DIR`"],
    );
    let whole = std::fs::read(Plugin::UnrulySource.path()).unwrap();
    refused_plugin(&whole[..whole.len() / 2], &["not a sound component: "]);
}

#[test]
fn a_manifest_of_another_world_is_refused() {
    let sorcer = patched(Plugin::UnrulySource, "world = \"source\"", "world = \"sorcer\"");
    refused_plugin(&sorcer, &["world is `sorcer`, this host has `source`, `transform`, `layout`"]);
    let from = "world = \"source\"\ndescription = \"Gives";
    let transform = patched(Plugin::UnrulySource, from, "world = \"transform\"\ndescription = \"es");
    refused_plugin(
        &transform,
        &[
            "world `transform`, which exports `connector:plugin/transformation@0.1.1`",
            "the component exports `connector:plugin/source-task@0.1.1`",
        ],
    );
    let dir = folder();
    let expected = "is of world `transform`, expected `source`";
    refused(dir.path(), &["run", "--plugin", "select_edits.wasm"], &["select_edits.wasm", expected]);
    refused_config(
        &format!("{CONNECTOR}[[connectors.wikipedia.transforms]]\nplugin = \"unruly_source.wasm\"\n"),
        &["transform 1: plugin `unruly_source.wasm` is of world `source`, expected `transform`"],
    );
}

#[test]
fn a_component_for_another_version_is_refused_with_both_versions() {
    let newer = patched(Plugin::UnrulySource, "connector:host/feed@0.1.1", "connector:host/feed@0.9.0");
    refused_plugin(&newer, &["it was built for `connector:host@0.9.0`, this host serves `connector:host@0.1.1`"]);
    let from = "connector:plugin/source-task@0.1.1";
    let newer = patched(Plugin::UnrulySource, from, "connector:plugin/source-task@0.9.0");
    refused_plugin(&newer, &["exports `connector:plugin/source-task@0.1.1`", "`connector:plugin/source-task@0.9.0`"]);
}

#[test]
fn a_component_that_imports_what_it_does_not_ask_for_is_refused() {
    let want = "[[wants]]\ncapability = \"geoip\"\noptional = true\n\
        why = \"adds country, region and city of editors whose name is an IP address\"\n";
    let secretive = patched(Plugin::WikiSource, want, &" ".repeat(want.len()));
    refused_plugin(
        &secretive,
        &[
            "it imports `connector:host/geoip@0.1.1`, which its manifest does not ask for",
            "hint: add a `[[wants]]` with `capability = \"geoip\"` to plugin.toml",
        ],
    );
}

#[test]
fn a_grant_that_is_missing_is_told_with_the_line_that_gives_it() {
    let ungranted = "[connectors.wikipedia]\nplugin = \"wiki_source.wasm\"\n";
    let run = refused_config(
        ungranted,
        &["connector `wikipedia`", "plugin `wiki_source@0.1.0` wants `feed` (reads the lines of", "does not grant"],
    );
    let line = run.stderr.split('`').find(|part| part.starts_with("grants = ")).expect("the line to add");
    // With that very line it runs.
    let dir = folder();
    let text = format!("{ungranted}{line}\nirc.host = \"127.0.0.1\"\nirc.port = {}\n", free_port());
    std::fs::write(dir.path().join("host.toml"), text).unwrap();
    program::host(dir.path(), ["run", "host.toml", "--duration", "100ms"]).expect(0);
    refused_config(
        &ungranted.replace("wasm\"\n", "wasm\"\ngrants = [\"root\"]\n"),
        &["option `grants` names `root`, this host lends `clock`, `feed`, `files`"],
    );
    refused_config(
        &format!("{CONNECTOR}geoip.database = \"city.mmdb\"\n"),
        &[
            "option `geoip.database` is set, and capability `geoip` is not granted",
            "hint: add \"geoip\" to the connector's `grants`",
        ],
    );
}

#[test]
fn an_option_that_is_missing_is_told_with_what_it_is_for() {
    refused_config(
        "[connectors.wikipedia]\ntopic = \"t\"\n",
        &[
            "config `host.toml`: connector `wikipedia`: option `plugin` is missing (a component file, or a plugin by name)",
        ],
    );
    let unruly = "[connectors.unruly]\nplugin = \"unruly_source.wasm\"\ngrants = [\"feed\"]\n";
    refused_config(unruly, &["option `irc.host` is missing (server)"]);
    let bare = patched(Plugin::UnrulySource, "default = \"none\"", "                ");
    let dir = folder();
    std::fs::write(dir.path().join("unruly_source.wasm"), bare).unwrap();
    std::fs::write(dir.path().join("host.toml"), format!("{unruly}irc.host = \"127.0.0.1\"\n")).unwrap();
    refused(
        dir.path(),
        &["run", "host.toml"],
        &["option `mode` of plugin `unruly_source` is missing (how it misbehaves; `none` is not at all)"],
    );
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    let check = |text: &str, key: &str, nearest: &str| {
        let hint = format!("hint: did you mean `{nearest}`?");
        refused_config(text, &["config `host.toml`", &format!("unknown key `{key}`"), &hint]);
    };
    check(&format!("{CONNECTOR}irc.chanels = \"#a\"\n"), "irc.chanels", "irc.channels");
    check(&format!("{CONNECTOR}rule = \"demo\"\n"), "rule", "rules");
    check(&format!("[worker]\nboostrap.servers = \"x:1\"\n{CONNECTOR}"), "boostrap.servers", "bootstrap.servers");
    let transform = "[[connectors.wikipedia.transforms]]\nplugin = \"select_edits.wasm\"\nrobot = \"drop\"\n";
    check(&format!("{CONNECTOR}{transform}"), "robot", "robots");
    refused_config(&format!("{CONNECTOR}zzz = 1\n"), &["unknown key `zzz`"]);
    refused_config(
        &format!("[conectors.a]\nplugin = \"x\"\n{CONNECTOR}"),
        &["unknown table `conectors`, expected `worker`, `connectors` or `ingest`"],
    );
    let dir = folder();
    let arguments = [&RUN[..], &["--set", "feed.buffer.byte=1"]].concat();
    refused(dir.path(), &arguments, &["command line: connector `wiki_source`", "did you mean `feed.buffer.bytes`?"]);
}

#[test]
fn a_value_that_does_not_fit_is_told_with_what_does() {
    let check = |line: &str, expected: &str| {
        refused_config(&format!("{CONNECTOR}{line}\n"), &["config `host.toml`: connector `wikipedia`", expected]);
    };
    check("irc.port = \"many\"", "option `irc.port` is `many`, expected a value of type int");
    check("irc.port = 70000", "option `irc.port` is `70000`, expected ");
    check("irc.port = 0", "option `irc.port` is `0`, expected 1 to 65535");
    check("trusted = \"perhaps\"", "option `trusted` is `perhaps`, expected a value of type boolean");
    check("rules = \"mine\"", "option `rules` is `mine`, expected one of `dataset`, `demo`");
    check("extra.columns = 1", "option `extra.columns` is `1`, expected a value of type boolean");
    check("feed = \"pigeon\"", "option `feed` is `pigeon`, expected `irc` or `eventstreams`");
    check("irc.channels = \"en.wikipedia\"", "option `irc.channels` names `en.wikipedia`, expected `#`");
    check("irc.channels = [\"#a b\"]", "expected `#` and up to 199 characters");
    check("irc.channels = \"\"", "option `irc.channels` names no channel");
    check("irc.nick = \"a\\r\\nQUIT\"", "option `irc.nick` is `a\\r\\nQUIT`, expected no blanks or control characters");
    check("batch.max.records = 0", "option `batch.max.records` is `0`, expected 1 to 100000");
    check("memory.max.bytes = 10", "option `memory.max.bytes` is `10`, expected 1048576 to ");
    check("errors.deadletterqueue.topic.name = \"wikipedia\"", "topic `wikipedia` is also `errors.deadletterqueue");
    check("topic = { name = \"x\" }", "unknown key `topic.name`");
    refused_config(
        &format!("{CONNECTOR}feed = \"eventstreams\"\nsse.url = \"ftp://x/?token=hunter2\"\n"),
        &["option `sse.url` is `ftp://x/`, expected an `http` or `https` URL"],
    );
    refused_config(
        &format!("[worker]\nembedded.max.bytes = \"lots\"\n{CONNECTOR}"),
        &["option `embedded.max.bytes` is `lots`, expected a value of type long"],
    );
}

#[test]
fn a_topic_that_cannot_be_is_refused_before_anything_runs() {
    refused_config(
        &format!("{CONNECTOR}topic = \"no spaces\"\n"),
        &["topic name `no spaces`: expected 1 to 249 letters, digits, `.`, `_` and `-`"],
    );
}

#[test]
fn a_configuration_that_is_no_toml_is_told_with_line_and_place() {
    refused_config("[connectors.a\nplugin = 1\n", &["config `host.toml`: not valid TOML: ", "line 1"]);
    refused_config("[worker]\n\n\ndata.dir = \n", &["not valid TOML: ", "line 4"]);
    refused_config("worker = 1\n", &["`worker` is a integer, expected a table"]);
    refused_config("[connectors]\na = 1\n", &["connector `a` is a integer, expected a table"]);
    let dir = tempdir().unwrap();
    refused(dir.path(), &["run", "none.toml"], &["error: config `none.toml`: No such file or directory"]);
    std::fs::write(dir.path().join("latin1.toml"), b"# f\xfcr\n").unwrap();
    refused(dir.path(), &["run", "latin1.toml"], &["config `latin1.toml`: ", "UTF-8"]);
}

#[test]
fn every_key_of_the_example_configuration_may_be_uncommented() {
    let text = std::fs::read_to_string(root().join("config/host.toml")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let is_key = |line: &str| {
        let key = line.strip_prefix("# ").and_then(|line| line.split_once(" = "));
        key.is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '"'))
    };
    let dir = tempdir().unwrap();
    let mut broken = Vec::new();
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| is_key(line)) {
        let changed: Vec<&str> =
            lines.iter().enumerate().map(|(at, old)| if at == number { &line[2..] } else { old }).collect();
        let path: PathBuf = dir.path().join("host.toml");
        std::fs::write(&path, changed.join("\n")).unwrap();
        if let Err(error) = RawConfig::read(&[path]) {
            broken.push(format!("line {}: {line}: {error}", number + 1));
        }
    }
    let all: Vec<&str> = lines.iter().map(|line| if is_key(line) { &line[2..] } else { line }).collect();
    let path: PathBuf = dir.path().join("host.toml");
    std::fs::write(&path, all.join("\n")).unwrap();
    if let Err(error) = RawConfig::read(&[path]) {
        broken.push(format!("all at once: {error}"));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn two_connectors_of_one_name_are_refused_with_both_places() {
    let dir = folder();
    std::fs::write(dir.path().join("one.toml"), CONNECTOR).unwrap();
    std::fs::write(dir.path().join("two.toml"), CONNECTOR).unwrap();
    refused(
        dir.path(),
        &["run", "one.toml", "two.toml"],
        &["config `two.toml`: connector `wikipedia` is also in config `one.toml`"],
    );
    std::fs::write(dir.path().join("two.toml"), CONNECTOR.replace("wikipedia", "wiki_source")).unwrap();
    refused(
        dir.path(),
        &["run", "two.toml", "--plugin", "wiki_source.wasm"],
        &["connector `wiki_source` is in a config file and given by `--plugin`"],
    );
    let twice = format!("{CONNECTOR}{CONNECTOR}");
    refused_config(&twice, &["not valid TOML: ", "duplicate key"]);
    std::fs::write(dir.path().join("one.toml"), format!("[worker]\ndata.dir = \"d\"\n{CONNECTOR}")).unwrap();
    std::fs::write(dir.path().join("two.toml"), "[worker]\ndata.dir = \"e\"\n").unwrap();
    refused(
        dir.path(),
        &["run", "one.toml", "two.toml"],
        &["config `two.toml`: `[worker]` is also in config `one.toml`"],
    );
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let dir = folder();
    std::fs::write(dir.path().join("one.toml"), CONNECTOR).unwrap();
    let two = format!("{CONNECTOR}{}", CONNECTOR.replace("wikipedia", "other"));
    std::fs::write(dir.path().join("two.toml"), two).unwrap();
    let check = |arguments: &[&str], expected: &str| refused(dir.path(), arguments, &[expected]);
    check(&["run", "one.toml", "--transform", "select_edits.wasm"], "`--transform` needs `--plugin`");
    check(
        &["run", "two.toml", "--topic", "t"],
        "cannot set `topic`: there are 2 connectors, expected `--plugin` or exactly one",
    );
    check(&["run", "--set", "novalue"], "`novalue` is not KEY=VALUE");
    check(&["run", "--duration", "soon"], "invalid value 'soon' for '--duration");
    check(&["emulate", "irc", "--rate=-1"], "`-1` is not 0 or more");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&["emulate", "irc", "--listen", &address], &format!("error: listening on `{address}`: "));
    std::fs::write(dir.path().join("file"), "").unwrap();
    check(&[&RUN[..], &["--data-dir", "file"]].concat(), "error: data folder `file`: ");
    check(&["frobnicate"], "unrecognized subcommand 'frobnicate'");
    check(&["emulate", "irc", "--lines", "none.txt", "--listen", "127.0.0.1:0"], "`none.txt`");
}

#[test]
fn secrets_are_named_and_never_told() {
    let dir = folder();
    let base = [&RUN[..], &["--set", "bootstrap.servers=127.0.0.1:1", "--set"]].concat();
    let run = |setting: &str, expected: &[&str]| {
        let finished = refused(dir.path(), &[&base[..], &[setting]].concat(), expected);
        assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
    };
    let hint = "hint: write `sasl.password = \"env:NAME\"` or `\"file:PATH\"`";
    run("sasl.password=hunter2", &["option `sasl.password` holds a value, expected the name of a secret", hint]);
    run("ssl.key.password=hunter2", &["option `ssl.key.password` holds a value"]);
    run("sasl.password=env:SURELY_NOT_SET", &["environment variable `SURELY_NOT_SET`"]);
    run("sasl.password=file:none.txt", &["file `none.txt`"]);
    // A secret that is found is in no form in which the configuration can be shown.
    std::fs::write(dir.path().join("password"), "hunter2\n").unwrap();
    let file = dir.path().join("host.toml");
    let secret = format!("sasl.password = \"file:{}\"", dir.path().join("password").display());
    std::fs::write(&file, format!("[worker]\nbootstrap.servers = \"x:1\"\n{secret}\n{CONNECTOR}")).unwrap();
    let config = Config::check(&RawConfig::read(&[file]).unwrap()).unwrap();
    let shown = format!("{config:?} {config:#?}");
    assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
}
