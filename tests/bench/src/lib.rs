//! What the benchmarks share; they are in `benches/`.

use std::path::{Path, PathBuf};

/// The component of `plugins/wiki_source`, built if its sources changed.
pub fn wiki_source() -> PathBuf {
    component("wiki_source")
}

/// The component of a plugin in `plugins/`, built if its sources changed.
pub fn component(name: &str) -> PathBuf {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let output = plugins.join(format!("target/components/{name}.wasm"));
    let say = |line: &str| eprintln!("{line}");
    host::toolchain::build_if_needed(&plugins.join(name), &output, &say).expect("the plugin builds")
}

/// The release binary, built if needed.
pub fn host() -> PathBuf {
    // Benchmarks are in `target/release/deps`.
    let here = std::env::current_exe().expect("own path");
    let release = here.ancestors().nth(2).expect("a build folder").to_owned();
    let binary = release.join("host");
    static BUILT: std::sync::Once = std::sync::Once::new();
    BUILT.call_once(|| {
        let target = release.parent().expect("a target folder");
        let mut cargo = std::process::Command::new("cargo");
        // What `cargo bench` told this process of itself would make it build much anew.
        let inner =
            |name: &str| name == "CARGO" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        std::env::vars().filter(|(name, _)| inner(name)).for_each(|(name, _)| {
            cargo.env_remove(name);
        });
        cargo.args(["build", "--release", "-p", "host", "--target-dir"]).arg(target);
        assert!(cargo.status().expect("cargo runs").success(), "the host does not build");
    });
    binary
}
