//! What the benchmarks share; they are in `benches/`.

use std::path::{Path, PathBuf};

/// The component of `plugins/wiki_source`, built if its sources changed.
pub fn wiki_source() -> PathBuf {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let output = plugins.join("target/components/wiki_source.wasm");
    let say = |line: &str| eprintln!("{line}");
    host::toolchain::build_if_needed(&plugins.join("wiki_source"), &output, &say).expect("wiki_source builds")
}
