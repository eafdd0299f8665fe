//! The house rules that a compiler does not see: which room of the host may import which, which room
//! is the one door of a library, file headers and sizes, and that `config/host.toml` shows every key.
//!
//! A room is the first part of a path in `host/src`, and the first two in `io`. Paths are found in
//! the text: `crate::…` and `super::…` outside of comments and string literals. Importing a whole
//! room to use it under its name counts as importing it.

use host::config::{CONNECTOR_KEYS, WORKER_KEYS};
use std::path::{Path, PathBuf};
use tests::plugins::root;

/// Nouns: no I/O, imported by everyone.
const NOUNS: &[&str] = &["error", "record", "secret", "schedule", "crash"];

/// A room and the rooms it may import beside itself and the nouns; none: any.
const ROOMS: &[(&str, Option<&[&str]>)] = &[
    ("crash", Some(&[])),
    ("error", Some(&[])),
    ("record", Some(&[])),
    ("secret", Some(&[])),
    ("schedule", Some(&[])),
    ("ports", Some(&[])),
    ("connector", Some(&["ports"])),
    ("dotted", Some(&[])),
    ("plugin", Some(&["crypto", "dotted"])),
    ("config", Some(&["plugin", "ports", "connector", "dotted"])),
    ("io", Some(&["ports"])),
    ("io::druid", Some(&["ports"])),
    ("io::embedded", Some(&["ports"])),
    ("io::feed", Some(&["ports"])),
    ("io::geoip", Some(&["ports"])),
    ("io::kafka", Some(&["ports"])),
    ("io::local", Some(&["ports"])),
    ("io::qumulo", Some(&["ports"])),
    ("io::oci", Some(&[])),
    ("io::rest", Some(&[])),
    ("io::web", Some(&["ports"])),
    ("crypto", Some(&[])),
    ("spool", Some(&["ports", "connector", "crypto"])),
    ("wasm", Some(&["ports", "connector", "plugin"])),
    ("task", Some(&["connector", "ports"])),
    ("ingest", Some(&["ports", "connector", "crypto", "spool", "task"])),
    ("worker", Some(&["task", "ports"])),
    ("serve", Some(&["ports", "spool", "ingest", "worker"])),
    ("toolchain", Some(&["plugin"])),
    (
        "app",
        Some(&[
            "ports",
            "connector",
            "config",
            "crypto",
            "io",
            "spool",
            "wasm",
            "task",
            "ingest",
            "worker",
            "serve",
            "plugin",
            "toolchain",
        ]),
    ),
    ("cli", None),
    ("lib", Some(&[])),
    ("main", Some(&["cli"])),
];

/// A library and the only rooms that may name it.
const DOORS: &[(&str, &[&str])] = &[
    ("wasmtime", &["wasm"]),
    ("wasmtime_wasi", &["wasm"]),
    ("rdkafka", &["io::kafka"]),
    ("aes_gcm", &["crypto"]),
    ("hpke", &["crypto"]),
    ("cap_std", &["io::local"]),
    ("rustix", &["io::kafka", "io::local"]),
    ("reqwest", &["io::druid", "io::feed", "io::oci", "io::qumulo", "io::rest", "io::web"]),
    ("oci_client", &["io::oci"]),
    ("semver", &["plugin"]),
    ("metrics", &["wasm"]),
    ("metrics_exporter_prometheus", &["serve"]),
    ("eventsource_stream", &["io::feed"]),
    ("irc_proto", &["io::feed"]),
    ("rusqlite", &["io::embedded"]),
    ("maxminddb", &["io::geoip"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("comfy_table", &["cli"]),
    ("host_emulators", &["cli"]),
    ("wasmparser", &["plugin"]),
    ("wasm_encoder", &["plugin"]),
    ("axum", &["serve"]),
    ("hyper", &["serve"]),
    ("hyper_util", &["serve"]),
    ("tokio_io_timeout", &["serve"]),
    ("socket2", &["serve"]),
    ("croner", &["schedule"]),
    ("flate2", &["ingest"]),
    ("percent_encoding", &["ingest", "io::web", "ports"]),
    ("cpu_time", &["task", "wasm"]),
    ("serde_transcode", &["cli"]),
];

/// Lines of a file at most, tests aside.
const MAX_LINES: usize = 700;

/// A file as the rules see it: where it is, its module path, its text without comments and literals.
struct Source {
    shown: String,
    module: Vec<String>,
    code: String,
}

impl Source {
    fn new(shown: &str, text: &str) -> Self {
        let path = shown.strip_prefix("host/src/").unwrap_or(shown).trim_end_matches(".rs");
        let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
        module.pop_if(|last| last == "mod");
        Source { shown: shown.to_owned(), module, code: bare_code(text) }
    }

    fn room(&self) -> String {
        room_of(&self.module)
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Every path of this crate that is named, with where; `super` resolved.
    fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        for (at, rest) in identifiers(&self.code, "crate") {
            paths_after(rest, &[], &mut |path| found.push((at, path)));
        }
        for (at, rest) in identifiers(&self.code, "super") {
            // `super::super` is one path, found at its first part.
            if self.code[..at].ends_with("super::") {
                continue;
            }
            let mut base = self.module.clone();
            base.pop();
            let mut rest = rest;
            while let Some(more) = rest.strip_prefix("::super").filter(|more| more.starts_with("::")) {
                base.pop();
                rest = more;
            }
            paths_after(rest, &base, &mut |path| found.push((at, path)));
        }
        found
    }
}

/// The room a path lies in.
fn room_of(path: &[String]) -> String {
    match path {
        [io, one, ..] if io == "io" && ROOMS.iter().any(|(room, _)| *room == format!("io::{one}")) => {
            format!("io::{one}")
        }
        [first, ..] => first.clone(),
        [] => String::new(),
    }
}

/// Where `name` stands as a whole identifier followed by `::`, and what follows it.
fn identifiers<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    code.match_indices(name).filter_map(move |(at, _)| {
        let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
        let rest = &code[at + name.len()..];
        (!code[..at].ends_with(part_of_word) && rest.starts_with("::")).then_some((at, rest))
    })
}

/// Reads `::a::b` or `::{a, b::c}` and gives each path below `base`, two parts of it at most: more
/// than a room no rule asks for.
fn paths_after(rest: &str, base: &[String], give: &mut impl FnMut(Vec<String>)) {
    let mut path = base.to_vec();
    let mut rest = rest;
    while let Some(after) = rest.strip_prefix("::") {
        if let Some(group) = after.strip_prefix('{') {
            let mut depth = 0;
            let mut start = 0;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    ',' | '}' if depth == 0 => {
                        let part = format!("::{}", group[start..at].trim());
                        if part.len() > 2 {
                            paths_after(&part, &path, give);
                        }
                        start = at + 1;
                        if c == '}' {
                            return;
                        }
                    }
                    '}' => depth -= 1,
                    _ => {}
                }
            }
            return;
        }
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            break;
        }
        rest = &after[name.len()..];
        path.push(name);
    }
    if path.len() > base.len() {
        give(path);
    }
}

/// The text with comments and literals blanked out, line breaks kept.
fn bare_code(text: &str) -> String {
    let blank = |part: &str| part.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect::<String>();
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r#\"") || rest.starts_with("r##\"") {
            let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            let from = hashes + 2;
            rest[from..].find(&end).map_or(rest.len(), |at| from + at + end.len())
        } else if c == '"' {
            let mut escaped = false;
            let end = rest[1..].char_indices().find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |(at, _)| at + 2)
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            3
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        code.push_str(&blank(&rest[..len]));
        rest = &rest[len..];
    }
    code
}

fn broken_imports(source: &Source) -> Vec<String> {
    let room = source.room();
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: room `{room}` has no rule in tests/all/imports.rs", source.shown)];
    };
    let Some(allowed) = allowed else { return Vec::new() };
    let mut broken = Vec::new();
    for (at, path) in source.paths() {
        let target = room_of(&path);
        let is_room = ROOMS.iter().any(|(name, _)| *name == target);
        let fits = |allowed: &&str| *allowed == target || (*allowed == "io" && target.starts_with("io::"));
        let may = target == room || NOUNS.contains(&target.as_str()) || allowed.iter().any(fits);
        if is_room && !may {
            let (line, named) = (source.line(at), path.join("::"));
            let rule = [allowed, NOUNS].concat().join("`, `");
            broken.push(format!("{}:{line}: `{room}` imports `{named}`, it may import `{rule}`", source.shown));
        }
    }
    broken
}

fn broken_doors(source: &Source) -> Vec<String> {
    let room = source.room();
    let mut broken = Vec::new();
    for (library, doors) in DOORS.iter().filter(|(_, doors)| !doors.contains(&room.as_str())) {
        for (at, _) in identifiers(&source.code, library) {
            let line = source.line(at);
            let door = doors.join("`, `");
            broken.push(format!("{}:{line}: `{room}` names `{library}`, its only door is `{door}`", source.shown));
        }
    }
    broken
}

/// Files below `folder` with one of the endings, as paths from the root of the repository.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    fn visit(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && !name.starts_with('.') {
                    visit(&path, endings, found);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    visit(&root().join(folder), endings, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        (shown, std::fs::read_to_string(path).unwrap())
    };
    let found: Vec<_> = found.into_iter().map(read).collect();
    assert!(!found.is_empty(), "no files below `{folder}`");
    found
}

fn host_sources() -> Vec<Source> {
    files("host/src", &[".rs"]).iter().map(|(shown, text)| Source::new(shown, text)).collect()
}

fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn rooms_import_only_what_they_may() {
    let sources = host_sources();
    assert!(sources.iter().map(|source| source.paths().len()).sum::<usize>() > 100, "paths are not found any more");
    assert_none(&sources.iter().flat_map(broken_imports).collect::<Vec<_>>());
}

#[test]
fn each_library_has_one_door() {
    let sources = host_sources();
    assert_none(&sources.iter().flat_map(broken_doors).collect::<Vec<_>>());
    for (library, doors) in DOORS {
        for door in *doors {
            let used = |source: &Source| source.room() == *door && identifiers(&source.code, library).next().is_some();
            assert!(sources.iter().any(used), "`{door}` does not use `{library}` any more: the rule is out of date");
        }
    }
}

#[test]
fn the_emulators_know_nothing_of_the_host() {
    for (shown, text) in files("host/emulators", &[".rs"]) {
        let code = bare_code(&text);
        for name in ["host", "connector_sdk"] {
            assert!(identifiers(&code, name).next().is_none(), "{shown} names `{name}`");
        }
    }
}

#[test]
fn every_file_says_what_it_is_about() {
    let all = ["host", "plugins", "tests"].iter().flat_map(|folder| files(folder, &[".rs"]));
    let bare = all.filter(|(_, text)| !text.starts_with("//! "));
    assert_none(&bare.map(|(shown, _)| format!("{shown} does not begin with `//! `")).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let is_test =
        |shown: &str| shown.starts_with("tests/") || shown.contains("/tests/") || shown.ends_with("/tests.rs");
    for folder in ["host", "plugins", "wit"] {
        for (shown, text) in files(folder, &[".rs", ".wit"]).iter().filter(|(shown, _)| !is_test(shown)) {
            let lines = text.lines().count();
            assert!(lines <= MAX_LINES, "{shown} has {lines} lines, expected at most {MAX_LINES}");
        }
    }
}

#[test]
fn nothing_is_left_to_do() {
    // Written in pieces, so that this file passes its own test.
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("todo", "!("), concat!("dbg", "!(")];
    for folder in ["host", "plugins", "wit", "tests", "config"] {
        for (shown, text) in files(folder, &[".rs", ".toml", ".wit", ".md"]) {
            for (number, line) in text.lines().enumerate() {
                let mark = marks.iter().find(|mark| line.contains(*mark));
                assert!(mark.is_none(), "{shown}:{}: {}", number + 1, line.trim());
            }
        }
    }
}

#[test]
fn the_example_configuration_shows_every_key() {
    let text = std::fs::read_to_string(root().join("config/host.toml")).unwrap();
    let shown: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once('='))
        .map(|(key, _)| key.trim().trim_matches('"'))
        .collect();
    for key in WORKER_KEYS.iter().chain(CONNECTOR_KEYS.iter().flat_map(|keys| keys.iter())) {
        assert!(shown.contains(&key.name), "config/host.toml does not show `{}`", key.name);
    }
}

/// The rules above hold only as long as they are seen to be broken.
#[test]
fn a_broken_rule_is_told_with_file_line_and_rule() {
    let check = |file: &str, text: &str, expected: &[&str]| {
        let source = Source::new(file, text);
        let broken = [broken_imports(&source), broken_doors(&source)].concat();
        assert_eq!(broken, expected, "{text}");
    };
    check("host/src/record.rs", "//! x\nuse crate::error::Result;\nuse std::fmt;\n", &[]);
    check(
        "host/src/record.rs",
        "//! See crate::io::kafka.\nuse crate::io::kafka::KafkaLog;\n",
        &[
            "host/src/record.rs:2: `record` imports `io::kafka::KafkaLog`, it may import `error`, `record`, `secret`, `schedule`, `crash`",
        ],
    );
    check(
        "host/src/task/pending.rs",
        "use crate::{\n    error::Error,\n    wasm::{Engines, Lent},\n};\n",
        &[
            "host/src/task/pending.rs:1: `task` imports `wasm::Engines`, it may import `connector`, `ports`, `error`, `record`, `secret`, `schedule`, `crash`",
            "host/src/task/pending.rs:1: `task` imports `wasm::Lent`, it may import `connector`, `ports`, `error`, `record`, `secret`, `schedule`, `crash`",
        ],
    );
    check(
        "host/src/io/feed/irc.rs",
        "use super::super::embedded::EmbeddedLog;\nuse super::Shared;\n",
        &[
            "host/src/io/feed/irc.rs:1: `io::feed` imports `io::embedded::EmbeddedLog`, it may import `ports`, `error`, `record`, `secret`, `schedule`, `crash`",
        ],
    );
    check(
        "host/src/worker/supervisor.rs",
        "fn f() -> crate::wasm::Limits { \"crate::io::x\" }\n",
        &[
            "host/src/worker/supervisor.rs:1: `worker` imports `wasm::Limits`, it may import `task`, `ports`, `error`, `record`, `secret`, `schedule`, `crash`",
        ],
    );
    check("host/src/plugin/manifest.rs", "fn f() { crate::dotted::scalar(&x) }\n", &[]);
    check(
        "host/src/plugin/manifest.rs",
        "use crate::config::Config;\n",
        &[
            "host/src/plugin/manifest.rs:1: `plugin` imports `config::Config`, it may import `crypto`, `dotted`, `error`, `record`, `secret`, `schedule`, `crash`",
        ],
    );
    check(
        "host/src/task/stats.rs",
        "\nuse rusqlite::Connection;\n",
        &["host/src/task/stats.rs:2: `task` names `rusqlite`, its only door is `io::embedded`"],
    );
    check("host/src/shed/mod.rs", "", &["host/src/shed/mod.rs: room `shed` has no rule in tests/all/imports.rs"]);
}
