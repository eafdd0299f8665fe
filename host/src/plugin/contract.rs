//! Which versions of the WIT packages this host serves (`wit/README.md`, rules of change): of one compatible line
//! (0.1.x) its own and every older one.

use super::manifest::{Manifest, WORLDS};
use crate::error::{Error, Result};

/// What components export.
const PLUGIN_PACKAGE: &str = "connector:plugin";
/// What the host lends.
const HOST_PACKAGE: &str = "connector:host";
/// The newest version of both that this host serves.
const VERSION: (u64, u64, u64) = (0, 1, 1);
/// What a component may export besides its world.
const MIGRATION: &str = "migration";

/// Whether a component exports what brings kept state from another version's form.
pub(super) fn migrates(exports: &[String]) -> bool {
    exports
        .iter()
        .any(|name| split(name).is_some_and(|(package, name, _)| (package, name) == (PLUGIN_PACKAGE, MIGRATION)))
}

/// Checks what a component exports and imports against its manifest and this host.
///
/// # Errors
/// Class Config: another world, or a version that this host cannot serve; class Deny: an import that the manifest
/// does not ask for.
pub(super) fn check(manifest: &Manifest, imports: &[String], exports: &[String]) -> Result<()> {
    let world = manifest.plugin.world.as_str();
    // The manifest's own check has refused every other world.
    let interface = WORLDS.iter().find(|(known, _)| *known == world).map_or("", |(_, interface)| *interface);
    let expected = format!("{PLUGIN_PACKAGE}/{interface}@{}", ours());
    let mut ours = exports.iter().filter(|name| name.starts_with(PLUGIN_PACKAGE)).peekable();
    if ours.peek().is_none() {
        let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join("`, `") };
        return Err(Error::config(format!("the component exports `{exports}`, expected `{expected}`")));
    }
    let mut has_world = false;
    for found in ours {
        let is_served = match split(found) {
            Some((_, name, version)) if name == interface => {
                has_world = true;
                serves(version)
            }
            Some((_, MIGRATION, version)) => serves(version),
            _ => false,
        };
        if !is_served {
            return Err(Error::config(format!(
                "its manifest says world `{world}`, which exports `{expected}`; the component exports `{found}`"
            )));
        }
    }
    if !has_world {
        return Err(Error::config(format!("the component exports no `{expected}`, which its world `{world}` is")));
    }
    for import in imports {
        let Some((HOST_PACKAGE, capability, version)) = split(import) else { continue };
        if !serves(version) {
            return Err(Error::config(format!(
                "it was built for `{HOST_PACKAGE}@{version}`, this host serves `{HOST_PACKAGE}@{}` and older",
                self::ours()
            ))
            .with_hint("build it against this host's `wit`, or run it on a newer host"));
        }
        if capability != "log" && !manifest.wants.iter().any(|want| want.capability == capability) {
            return Err(Error::deny(format!("it imports `{import}`, which its manifest does not ask for"))
                .with_hint(format!("add a `[[wants]]` with `capability = \"{capability}\"` to plugin.toml")));
        }
    }
    Ok(())
}

/// `package/interface@version` in its parts.
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (package, rest) = name.split_once('/')?;
    let (interface, version) = rest.split_once('@')?;
    Some((package, interface, version))
}

fn serves(version: &str) -> bool {
    let (major, minor, patch) = VERSION;
    let found = semver::Version::parse(version);
    found
        .is_ok_and(|found| (found.major, found.minor) == (major, minor) && found.patch <= patch && found.pre.is_empty())
}

fn ours() -> String {
    let (major, minor, patch) = VERSION;
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_versions_of_the_line_are_served_and_no_others() {
        for version in ["0.1.0", "0.1.1"] {
            assert!(serves(version), "{version}");
        }
        for version in ["0.1.2", "0.2.0", "0.0.1", "1.1.0", "0.1", "0.1.1-rc.1", "", "x"] {
            assert!(!serves(version), "{version}");
        }
    }

    #[test]
    fn a_component_exports_its_world_and_at_most_a_migration() {
        let manifest = "[plugin]\nname = \"x\"\nversion = \"1.0.0\"\nworld = \"source\"\n";
        let manifest = Manifest::parse(manifest, "plugin.toml").unwrap();
        let check = |exports: &[&str]| {
            let exports: Vec<String> = exports.iter().map(|name| (*name).to_owned()).collect();
            check(&manifest, &[], &exports).map(|()| migrates(&exports)).map_err(|error| error.to_string())
        };
        let (world, migration) = ("connector:plugin/source-task@0.1.0", "connector:plugin/migration@0.1.1");
        assert_eq!(check(&[world]), Ok(false));
        assert_eq!(check(&[world, migration]), Ok(true));
        assert!(check(&[migration]).unwrap_err().contains("exports no `connector:plugin/source-task@0.1.1`"));
        assert!(check(&[world, "connector:plugin/migration@0.9.0"]).is_err());
        assert!(check(&[world, "connector:plugin/transformation@0.1.0"]).is_err());
    }
}
