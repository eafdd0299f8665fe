//! Arguments of `host plugin`.

use super::Output;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PluginCommand {
    /// Compile the plugin crate in a folder to a component
    #[command(after_help = "Example:\n  host plugin build plugins/wiki_source -o wiki_source.wasm\n\n\
Needs cargo and rustc (by rustup). The compiler target wasm32-wasip2 is fetched when it is missing.")]
    Build {
        /// Folder with Cargo.toml and plugin.toml
        dir: PathBuf,
        /// Where to write the component [default: DIR/NAME.wasm]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Keep a plugin in the catalog, where connectors find it by name and version
    #[command(after_help = "Examples:\n  host plugin add wiki_source.wasm\n  \
host plugin add oci://registry.example.org/plugins/wiki_source@sha256:…\n\n\
A connector names it with `plugin = \"wiki_source\"`, and a version or range with `plugin.version`.")]
    Add {
        /// The component file, or `oci://HOST/NAME:TAG`, best with `@sha256:DIGEST`
        #[arg(value_name = "FILE")]
        from: String,
        #[command(flatten)]
        catalog: CatalogArgs,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// List the plugins of the catalog
    #[command(visible_alias = "list", after_help = "Example:\n  host plugin ls --output json")]
    Ls {
        #[command(flatten)]
        catalog: CatalogArgs,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// List the versions of one plugin, and which connectors of a host that runs have which
    #[command(after_help = "Examples:\n  host plugin versions wiki_source\n  \
host plugin versions wiki_source --url http://127.0.0.1:8083\n\n\
To go back to one: `host connector swap NAME --plugin wiki_source@0.1.0`.")]
    Versions {
        /// Its name
        name: String,
        #[command(flatten)]
        catalog: CatalogArgs,
        /// The `listeners` of a host that runs
        #[arg(long)]
        url: Option<String>,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Forget a version of a plugin
    #[command(after_help = "Example:\n  host plugin rm wiki_source@0.1.0")]
    Rm {
        /// Its name and version
        #[arg(value_name = "NAME@VERSION")]
        plugin: String,
        #[command(flatten)]
        catalog: CatalogArgs,
    },
    /// Check that plugins are what was added, and who signed them
    #[command(after_help = "Examples:\n  host plugin verify\n  \
host plugin verify wiki_source.wasm --trust file:keys/release.pub\n\n\
Exit code 1 when one was changed, or when --trust is given and no such key signed it.")]
    Verify {
        /// A component file, or NAME or NAME@VERSION of the catalog [default: the whole catalog]
        plugin: Option<String>,
        /// A public key of who signs: `file:PATH`, `env:NAME` or `command:PROGRAM`; may be repeated
        #[arg(long, value_name = "KEY")]
        trust: Vec<String>,
        #[command(flatten)]
        catalog: CatalogArgs,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Put a signature into a component file
    #[command(after_help = "Examples:\n  host keys generate release --dir keys --signing\n  \
host plugin sign wiki_source.wasm --key file:keys/release.key")]
    Sign {
        /// The component file
        file: PathBuf,
        /// The key that signs: `file:PATH`, `env:NAME` or `command:PROGRAM`
        #[arg(long, value_name = "KEY")]
        key: String,
        /// Where to write the signed component [default: in its place]
        #[arg(short = 'o', long = "out", value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Push a plugin to an OCI registry
    #[command(
        after_help = "Example:\n  host plugin push wiki_source@0.2.0 oci://registry.example.org/plugins/wiki_source:0.2.0\n\n\
Prints the reference with its digest, by which others add just these bytes."
    )]
    Push {
        /// A component file, or NAME or NAME@VERSION of the catalog
        plugin: String,
        /// `oci://HOST/NAME:TAG`
        to: String,
        #[command(flatten)]
        catalog: CatalogArgs,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Show what a plugin is, which options it has and what it wants lent
    #[command(after_help = "Example:\n  host plugin inspect wiki_source.wasm --output json")]
    Inspect {
        /// The component file
        file: PathBuf,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// Where the catalog is.
#[derive(Debug, Args)]
pub(in crate::cli) struct CatalogArgs {
    /// Folder of the catalog, the host's `plugin.path`
    #[arg(long, value_name = "DIR", default_value = "./host-data/plugins")]
    pub(in crate::cli) plugin_path: PathBuf,
}

/// How a registry is reached.
#[derive(Debug, Args)]
pub(in crate::cli) struct RegistryArgs {
    /// User at the registry
    #[arg(long, value_name = "USER", requires = "registry_password")]
    pub(in crate::cli) registry_user: Option<String>,
    /// Name of the secret of that user: `env:NAME` or `file:PATH`
    #[arg(long, value_name = "SECRET", requires = "registry_user")]
    pub(in crate::cli) registry_password: Option<String>,
    /// Speak HTTP without TLS to a registry that is not on this machine
    #[arg(long)]
    pub(in crate::cli) registry_plain_http: bool,
    /// PEM file of certificates to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) registry_ca: Option<PathBuf>,
}
