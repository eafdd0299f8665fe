//! The components that tests run: the first-party plugins, and guests that misbehave
//! (`tests/fixtures/components`). Each is built at most once a process, through the host's own
//! toolchain, and kept under `target/test-components` so that the next run finds it.

use host::plugin::embed_manifest;
use host::toolchain::build_if_needed;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

/// A component that tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    /// `plugins/wiki_source`: edits of Wikipedia.
    WikiSource,
    /// `plugins/examples/select_edits`: leaves out edits.
    SelectEdits,
    /// Gives each frame as a record and misbehaves by its option `mode`.
    UnrulySource,
    /// Passes records on and misbehaves by its option `mode`.
    UnrulyTransform,
    /// `plugins/spool_layout`: directories and names of a spool.
    SpoolLayout,
    /// A layout that misbehaves by its option `mode`.
    UnrulyLayout,
    /// `plugins/druid_spec`: tasks in Druid's words.
    DruidSpec,
    /// An ingestion that misbehaves by its option `mode`.
    UnrulyIngest,
    /// Does with what it is lent what its frames say.
    LentSource,
    /// Written against version 0.1.0 of the contract.
    FrozenSource,
}

impl Plugin {
    const ALL: [Plugin; 10] = [
        Plugin::WikiSource,
        Plugin::SelectEdits,
        Plugin::UnrulySource,
        Plugin::UnrulyTransform,
        Plugin::SpoolLayout,
        Plugin::UnrulyLayout,
        Plugin::DruidSpec,
        Plugin::UnrulyIngest,
        Plugin::LentSource,
        Plugin::FrozenSource,
    ];

    /// The plugin's own name, which a connector on the command line gets.
    pub fn name(self) -> &'static str {
        match self {
            Plugin::WikiSource => "wiki_source",
            Plugin::SelectEdits => "select_edits",
            Plugin::UnrulySource => "unruly_source",
            Plugin::UnrulyTransform => "unruly_transform",
            Plugin::SpoolLayout => "spool_layout",
            Plugin::UnrulyLayout => "unruly_layout",
            Plugin::DruidSpec => "druid_spec",
            Plugin::UnrulyIngest => "unruly_ingest",
            Plugin::LentSource => "lent_source",
            Plugin::FrozenSource => "frozen_source",
        }
    }

    /// The folder of its crate, from the root of the repository.
    pub fn folder(self) -> &'static str {
        match self {
            Plugin::WikiSource => "plugins/wiki_source",
            Plugin::SelectEdits => "plugins/examples/select_edits",
            Plugin::UnrulySource => "tests/fixtures/components/unruly_source",
            Plugin::UnrulyTransform => "tests/fixtures/components/unruly_transform",
            Plugin::SpoolLayout => "plugins/spool_layout",
            Plugin::UnrulyLayout => "tests/fixtures/components/unruly_layout",
            Plugin::DruidSpec => "plugins/druid_spec",
            Plugin::UnrulyIngest => "tests/fixtures/components/unruly_ingest",
            Plugin::LentSource => "tests/fixtures/components/lent_source",
            Plugin::FrozenSource => "tests/fixtures/components/frozen_source",
        }
    }

    /// The component file, built when this process first asks for it.
    ///
    /// # Panics
    /// When it does not build, with the compiler's words.
    pub fn path(self) -> &'static Path {
        static BUILT: [OnceLock<PathBuf>; 10] = [const { OnceLock::new() }; 10];
        // One build at a time: two cargos in one target folder only wait for each other.
        static BUILDING: Mutex<()> = Mutex::new(());
        let index = Plugin::ALL.iter().position(|plugin| *plugin == self).unwrap();
        BUILT[index].get_or_init(|| {
            let _guard = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.build()
        })
    }

    fn build(self) -> PathBuf {
        let output = root().join("target/test-components").join(format!("{}.wasm", self.name()));
        // A fixture's workspace does not hold what it is made from, so the host cannot see it change.
        let built = output.metadata().and_then(|meta| meta.modified()).ok();
        let newest = ["plugins/sdk", "wit"].iter().filter_map(|folder| newest_file(&root().join(folder))).max();
        if built.is_some() && built <= newest {
            std::fs::remove_file(&output).unwrap();
        }
        let say = |line: &str| eprintln!("{}: {line}", self.name());
        build_if_needed(&root().join(self.folder()), &output, &say)
            .unwrap_or_else(|error| panic!("{error}; {}", error.hint().unwrap_or_default()))
    }
}

/// Another version of a component in `dir`: the same code, with a manifest that `change` makes of its own.
///
/// # Panics
/// When it cannot be written.
pub fn version(plugin: Plugin, dir: &Path, name: &str, change: impl FnOnce(String) -> String) -> PathBuf {
    let manifest = std::fs::read_to_string(root().join(plugin.folder()).join("plugin.toml")).unwrap();
    let code = without_manifest(&std::fs::read(plugin.path()).unwrap());
    let path = dir.join(format!("{name}.wasm"));
    std::fs::write(&path, embed_manifest(code, &change(manifest)).unwrap()).unwrap();
    path
}

/// The first-party source under another version number.
///
/// # Panics
/// As [`version`].
pub fn wiki_source(dir: &Path, number: &str) -> PathBuf {
    let change = |manifest: String| manifest.replace("version = \"0.1.0\"", &format!("version = \"{number}\""));
    version(Plugin::WikiSource, dir, &format!("wiki_source-{number}"), change)
}

/// A component without its section `connector:plugin.toml`.
fn without_manifest(component: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"connector:plugin.toml";
    let (mut at, mut kept) = (8, component[..8].to_vec());
    while at < component.len() {
        // An id, a length in LEB128, and so many bytes.
        let (mut length, mut head) = (0, 1);
        loop {
            let byte = component[at + head];
            length |= usize::from(byte & 0x7f) << (7 * (head - 1));
            head += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let section = &component[at..at + head + length];
        let is_manifest = section[0] == 0 && section[head + 1..].starts_with(NAME);
        if !is_manifest {
            kept.extend_from_slice(section);
        }
        at += head + length;
    }
    kept
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn newest_file(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| {
        if entry.file_type().ok()?.is_dir() {
            newest_file(&entry.path())
        } else {
            entry.metadata().and_then(|meta| meta.modified()).ok()
        }
    });
    times.max()
}
