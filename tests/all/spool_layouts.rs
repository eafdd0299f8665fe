//! Layouts that misbehave, each on a spool of its own beside a healthy one: no file appears under a name
//! that cannot be, the task says what is wrong and whose fault it is, and the others go on.

use host::worker::TaskState;
use std::path::Path;
use tests::plugins::Plugin;
use tests::spool::{Pipeline, RECORDS, TO_DATA_SET, TO_SPOOL, WITHIN, files_below, public_key, write_records};
use tests::worker::{Connector, start};

/// A sink named `unruly` that misbehaves in a mode, restarted quickly and once.
fn unruly(pipeline: &Pipeline, folder: &Path, place: &str, mode: &str) -> Connector {
    Connector::spool("unruly", "spool-sink", Plugin::UnrulyLayout)
        .set("mode", mode)
        .set("topics", RECORDS)
        .set("files", "local")
        .set("dir", folder.display())
        .set("spool.place", place)
        .set("seal.recipients", public_key(pipeline.dir.path(), "demo"))
        .set("restart.max", 1)
        .set("errors.retry.delay.max.ms", 20)
        .set("cpu.max.ms", 200)
        .set("memory.max.bytes", 33_554_432)
}

/// Runs all these modes one after another beside a healthy pipeline, and checks what each says.
fn check(place: &str, modes: &[(&str, &str)]) {
    let pipeline = Pipeline::on_folders();
    // One at a time would start a host for each: connectors of one host, each with a folder of its own.
    let folder = |index: usize| pipeline.dir.path().join(format!("unruly-{index}"));
    let name = |index: usize| format!("unruly-{index}");
    let mut connectors: Vec<Connector> = pipeline.connectors().into_iter().collect();
    for (index, (mode, _)) in modes.iter().enumerate() {
        connectors.push(unruly(&pipeline, &folder(index), place, mode).named(&name(index)));
    }
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 1, 0..150);
    for (index, (mode, says)) in modes.iter().enumerate() {
        let status = running.wait(&name(index), &format!("`{mode}` to fail"), WITHIN, |status| {
            matches!(status.state, TaskState::Failed(_)) || status.counts.trouble.is_some()
        });
        let said = status.state.trace().map(str::to_owned).or(status.counts.trouble).unwrap();
        assert!(said.contains(says), "{mode}: `{says}` is not in: {said}");
        assert_eq!(status.counts.records, 0, "{mode}");
        let files = files_below(&folder(index));
        let is_staged = |path: &Path| path.extension().is_some_and(|extension| extension == "open");
        let published: Vec<_> = files.iter().filter(|path| !is_staged(path)).collect();
        assert!(published.is_empty(), "{mode}: {published:?}");
    }
    pipeline.check(running.log());
    for name in [TO_SPOOL, TO_DATA_SET] {
        let status = running.status(name);
        assert_eq!((status.state, status.restarts), (TaskState::Running, 0), "{name}");
    }
    running.stop();
    // Nothing beside the folders, above all not where a name with `..` leads.
    let beside: Vec<_> = files_below(pipeline.dir.path())
        .into_iter()
        .filter(|path| path.parent() == Some(pipeline.dir.path()))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("demo."))
        .collect();
    assert!(beside.is_empty(), "{beside:?}");
}

#[test]
fn a_plan_that_cannot_be_fails_alone() {
    check(
        "inbox",
        &[
            ("no limit", "the layout's plan has no limit after which a file is closed"),
            ("same directory", "expected directories apart"),
            ("directory in another", "expected directories apart"),
            ("staging above", "expected directories apart"),
            ("target in inbox", "expected directories apart"),
            ("target in staging", "expected directories apart"),
            ("parent directory", "path `../inbox` holds the name `..`"),
            ("absolute directory", "directory `inbox`"),
            ("dot directory", "holds the name `.`"),
            ("empty directory", "directory `inbox` is the spool's own"),
            ("double slash", "holds the name ``"),
            ("control in directory", "holds the name `in\\nbox`"),
            ("long directory", "expected names of 1 to 255 bytes"),
        ],
    );
}

#[test]
fn a_name_that_cannot_be_is_never_used() {
    check(
        "target",
        &[
            ("parent name", "expected a path inside its directory"),
            ("parent inside", "expected a path inside its directory"),
            ("absolute name", "expected a path inside its directory"),
            ("empty name", "expected a path inside its directory"),
            ("dot name", "expected a path inside its directory"),
            ("dots name", "expected a path inside its directory"),
            ("trailing slash", "expected a path inside its directory"),
            ("double slash name", "expected a path inside its directory"),
            ("control name", "expected a path inside its directory"),
            ("nul name", "expected a path inside its directory"),
            ("long name", "expected at most 200 bytes"),
            ("long part", "expected at most 200 bytes"),
            ("huge name", "expected at most 200 bytes"),
            ("name in the tree", "expected no name that begins with a dot"),
        ],
    );
}

#[test]
fn a_name_that_does_not_keep_its_promise_is_never_used() {
    check(
        "inbox",
        &[
            ("directory in inbox", "expected a name without directories for the inbox"),
            ("parse none", "which does not parse back"),
            ("parse another", "which parses back to"),
            ("parse too few", "plugin `unruly_layout@0.1.0`"),
            ("parse too many", "plugin `unruly_layout@0.1.0`"),
        ],
    );
}

#[test]
fn a_layout_that_fails_fails_alone() {
    check(
        "inbox",
        &[
            ("refuse as config", "plugin `unruly_layout@0.1.0`: option `mode` asks to be refused"),
            ("refuse as deny", "nothing is granted to this mode"),
            ("bug in open", "plugin `unruly_layout@0.1.0`: found itself broken"),
            ("config in name", "this topic has no name"),
            ("retry in name", "not yet"),
            ("bug in name", "found itself broken"),
            ("panic in open", "`open` panicked"),
            ("panic in name", "`name` panicked"),
            ("panic in parse", "`parse` panicked"),
            ("loop in open", "`open` ran for more than 200 ms of CPU"),
            ("loop in name", "`name` ran for more than 200 ms of CPU"),
            ("loop in parse", "`parse` ran for more than 200 ms of CPU"),
            ("memory in name", "wanted more than 33554432 bytes of memory"),
            ("misspelt", "option `mode` is `misspelt`, which is none"),
        ],
    );
}

#[test]
fn names_that_collide_never_replace_a_file() {
    let pipeline = Pipeline::on_folders();
    for (mode, place) in [("collide", "inbox"), ("collide in target", "target")] {
        let folder = pipeline.dir.path().join(mode.replace(' ', "-"));
        let sink = unruly(&pipeline, &folder, place, mode);
        let mut running = start(&pipeline.data_dir(), &[sink], None);
        write_records(running.log(), RECORDS, 1, 0..250);
        // The first file has the name; what wanted it too waits, and says why.
        let status = running.wait("unruly", "the second file to be refused", WITHIN, |status| {
            status.counts.trouble.is_some() || status.state.trace().is_some()
        });
        let said = status.state.trace().map(str::to_owned).or(status.counts.trouble).unwrap();
        assert!(said.contains("there is a file of this name already"), "{mode}: {said}");
        running.stop();
        let published: Vec<_> = files_below(&folder)
            .into_iter()
            .filter(|path| path.ends_with("same"))
            .map(|path| std::fs::metadata(path).unwrap().len())
            .collect();
        assert_eq!(published.len(), 1, "{mode}");
    }
}

#[test]
fn a_good_layout_of_another_form_carries_everything() {
    let pipeline = Pipeline::on_folders();
    let use_it = |connector: Connector| {
        let connector = connector.set("plugin", Plugin::UnrulyLayout.path().display()).set("mode", "good");
        connector.unset("rotation.max.records").unset("rotation.max.age.ms")
    };
    let [to_spool, from_spool, to_data_set] = pipeline.connectors().map(use_it);
    let mut running = start(&pipeline.data_dir(), &[to_spool, from_spool, to_data_set], None);
    write_records(running.log(), RECORDS, 1, 0..300);
    // Times at the ends of what a name can hold are this layout's as they are.
    let sealed = host::ports::log::Log::topic;
    let count = || sealed(running.log(), tests::spool::SEALED).unwrap().map_or(0, |topic| topic.partitions[0].high);
    tests::wait_until("members", WITHIN, || count() >= 3);
    running.wait(TO_DATA_SET, "the data set", WITHIN, |status| status.counts.records >= 3);
    running.stop();
}
