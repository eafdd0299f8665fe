//! The host's OCI client against a real registry: pushing and pulling, pins, what is no component, what was
//! altered where it is stored, users, certificates.
//!
//! It needs Go and, the first time, a way to the registry's modules; without them each test prints one line,
//! `skipped: …`, and passes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use host::error::ErrorClass;
use host::io::oci::{Access, CONFIG_TYPE, LAYER_TYPE, Reference};
use host::secret::Secret;
use std::fs;
use support::{Host, component, get_manifest, put_manifest, registry};
use systems::or_skip;
use systems::registry::{Registry, Terms};

#[test]
fn what_is_pushed_is_pulled() {
    let Some(registry) = registry() else { return };
    let host = Host::new();
    // More than the library sends at once.
    for (name, size) in [("small", 1), ("large", 9 << 20)] {
        let reference = Reference::parse(&format!("{}/team/{name}:0.1.0", registry.name())).unwrap();
        let bytes = component(size);
        let pushed = host.push(&reference, &bytes).unwrap();
        assert_eq!(pushed.reference.to_string(), format!("{reference}@{}", pushed.manifest_digest));
        for reference in [&reference, &pushed.reference] {
            let pulled = host.pull(reference).unwrap();
            assert!(pulled.bytes == bytes, "{reference}: {} bytes, pushed {}", pulled.bytes.len(), bytes.len());
            assert_eq!(pulled.manifest_digest, pushed.manifest_digest);
            assert_eq!(pulled.layer_digest, support::digest(&bytes));
        }
        // The same again is the same artifact.
        assert_eq!(host.push(&reference, &bytes).unwrap(), pushed);
    }
}

#[test]
fn an_artifact_is_laid_out_as_others_read_it() {
    let Some(registry) = registry() else { return };
    let reference = Reference::parse(&format!("{}/team/layout:0.1.0", registry.name())).unwrap();
    Host::new().push(&reference, &component(1)).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&get_manifest(registry, "team/layout", "0.1.0")).unwrap();
    assert_eq!(manifest["config"]["mediaType"], CONFIG_TYPE);
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], LAYER_TYPE);
    assert_eq!(
        manifest["annotations"],
        serde_json::json!({"org.opencontainers.image.title": "wiki_source", "org.opencontainers.image.version": "0.1.0"})
    );
    let config = fs::read(registry.blob(manifest["config"]["digest"].as_str().unwrap())).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["layerDigests"][0], manifest["layers"][0]["digest"]);
    assert_eq!((&config["os"], &config["architecture"]), (&"wasip2".into(), &"wasm".into()));
    assert_eq!(config["component"]["exports"][0], "connector:plugin/source-task@0.1.0");
}

#[test]
fn a_pin_holds_when_its_tag_moves() {
    let Some(registry) = registry() else { return };
    let host = Host::new();
    let tag = Reference::parse(&format!("{}/team/moved:0.1.0", registry.name())).unwrap();
    let first = host.push(&tag, &component(1)).unwrap();
    let second = host.push(&tag, &component(2)).unwrap();
    assert_ne!(first.manifest_digest, second.manifest_digest);
    assert_eq!(host.pull(&first.reference).unwrap().bytes, component(1));
    assert_eq!(host.pull(&tag).unwrap().bytes, component(2));
}

#[test]
fn a_wrong_pin_is_told_both_digests() {
    let Some(registry) = registry() else { return };
    let host = Host::new();
    let tag = Reference::parse(&format!("{}/team/wrong:0.1.0", registry.name())).unwrap();
    let pushed = host.push(&tag, &component(1)).unwrap();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let error = host.pull(&tag.pinned(&wrong)).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    let expected = format!("the registry has no `{wrong}`, its tag `0.1.0` is `{}`", pushed.manifest_digest);
    assert_eq!(error.to_string(), format!("pulling `{tag}@{wrong}`: {expected}"));
}

#[test]
fn what_is_not_there_is_not_found() {
    let Some(registry) = registry() else { return };
    for name in ["team/never:0.1.0".to_owned(), format!("team/never@sha256:{}", "0".repeat(64))] {
        let reference = Reference::parse(&format!("{}/{name}", registry.name())).unwrap();
        let error = Host::new().pull(&reference).unwrap_err();
        assert_eq!(
            (error.class(), error.to_string()),
            (ErrorClass::Config, format!("pulling `{reference}`: not found"))
        );
    }
}

#[test]
fn what_is_no_component_is_told_what_it_is() {
    let Some(registry) = registry() else { return };
    let host = Host::new();
    let reference = |tag: &str| Reference::parse(&format!("{}/team/other:{tag}", registry.name())).unwrap();
    let pushed = host.push(&reference("0.1.0"), &component(1)).unwrap();
    let manifest = get_manifest(registry, "team/other", "0.1.0");
    let (image, index) = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.index.v1+json");
    let by_hand = [
        ("image", manifest.replace(CONFIG_TYPE, image), format!("its config is `{image}`")),
        ("tar", manifest.replace(LAYER_TYPE, "application/x-tar"), "its layer is `application/x-tar`".to_owned()),
        ("index", support::index(index, &pushed.manifest_digest, manifest.len()), format!("a `{index}`")),
    ];
    for (tag, manifest, found) in by_hand {
        put_manifest(
            registry,
            "team/other",
            tag,
            if tag == "index" { index } else { support::MANIFEST_TYPE },
            &manifest,
        );
        let error = host.pull(&reference(tag)).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Config);
        assert!(error.to_string().contains(&found), "{error}");
    }
}

#[test]
fn what_was_altered_or_cut_in_the_registry_is_refused() {
    let Some(registry) = registry() else { return };
    let host = Host::new();
    let reference = Reference::parse(&format!("{}/team/altered:0.1.0", registry.name())).unwrap();
    let bytes = component(3000);
    let pushed = host.push(&reference, &bytes).unwrap();
    let digest = support::digest(&bytes);
    let mut altered = bytes.clone();
    altered[1500] ^= 1;
    for found in [altered.as_slice(), &bytes[..1500]] {
        fs::write(registry.blob(&digest), found).unwrap();
        let error = host.pull(&pushed.reference).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Config);
        let expected = format!("what the registry sends is `{}`, expected `{digest}`", support::digest(found));
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

#[test]
fn what_is_too_large_is_not_fetched() {
    let Some(registry) = registry() else { return };
    let host = Host::new();
    let reference = Reference::parse(&format!("{}/team/large:0.1.0", registry.name())).unwrap();
    let bytes = component(1000);
    host.push(&reference, &bytes).unwrap();
    let error = host.pull_at_most(&reference, bytes.len() - 1).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    let size = bytes.len();
    assert!(error.to_string().ends_with(&format!("has {size} bytes, expected at most {}", size - 1)), "{error}");
    assert_eq!(host.pull_at_most(&reference, size).unwrap().bytes, bytes);
}

#[test]
fn only_its_user_is_let_in() {
    let (right, wrong) = (support::drawn(), support::drawn());
    // The lowest cost there is: it guards nothing.
    let user = format!("tester:{}\n", bcrypt::hash(&right, 4).unwrap());
    let Some(registry) = or_skip(Registry::start(&Terms { user: Some(&user), tls: None })) else { return };
    let reference = Reference::parse(&format!("{}/team/private:0.1.0", registry.name())).unwrap();
    let host = |password: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        let secret = password.map(|password| {
            let path = folder.path().join("password");
            fs::write(&path, password).unwrap();
            Secret::resolve("password", &format!("file:{}", path.display())).unwrap()
        });
        let username = password.map(|_| "tester".to_owned());
        Host::with(Access { username, password: secret, ..Access::default() })
    };
    let pushed = host(Some(&right)).push(&reference, &component(1)).unwrap();
    assert_eq!(host(Some(&right)).pull(&pushed.reference).unwrap().bytes, component(1));
    for (password, reason) in [
        (None, "the registry wants a user name and a password"),
        (Some(wrong.as_str()), "the registry refuses this user name and password"),
    ] {
        let host = host(password);
        let pulled = host.pull(&reference).unwrap_err();
        let pushed = host.push(&reference, &component(2)).unwrap_err();
        assert_eq!(pulled.to_string(), format!("pulling `{reference}`: {reason}"));
        assert_eq!(pushed.to_string(), format!("pushing `{reference}`: {reason}"));
        for error in [pulled, pushed] {
            assert_eq!(error.class(), ErrorClass::Config);
            assert!(!format!("{error:?}").contains(&wrong), "{error:?}");
        }
    }
}

#[test]
fn a_certificate_is_trusted_when_it_is_named() {
    let (certificate, key) = support::certificate();
    let terms = Terms { user: None, tls: Some((&certificate, &key)) };
    let Some(registry) = or_skip(Registry::start(&terms)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (other, _) = support::certificate();
    let host = |pem: &str| {
        let path = folder.path().join("ca.pem");
        fs::write(&path, pem).unwrap();
        Host::with(Access { ca_file: Some(path), ..Access::default() })
    };
    let reference = Reference::parse(&format!("{}/team/tls:0.1.0", registry.name())).unwrap();
    // The second of two: files of certificates hold more than one.
    let both = host(&format!("{other}{certificate}"));
    let pushed = both.push(&reference, &component(1)).unwrap();
    assert_eq!(both.pull(&pushed.reference).unwrap().bytes, component(1));
    let error = host(&other).pull(&reference).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(error.to_string().contains("certificate"), "{error}");
    // Without TLS, which is how this machine's registries are asked unless a file is named.
    let error = Host::new().pull(&reference).unwrap_err();
    assert!(error.to_string().starts_with(&format!("pulling `{reference}`: ")), "{error}");
}

#[test]
fn a_plugin_goes_from_one_catalog_to_another_by_command() {
    let Some(registry) = registry() else { return };
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plugin = tests::plugins::Plugin::SelectEdits.path().to_str().unwrap();
    tests::program::host(from.path(), ["plugin", "add", plugin]).expect(0);
    let place = format!("oci://{}/plugins/select_edits:0.1.0", registry.name());
    let pushed = tests::program::host(from.path(), ["plugin", "push", "select_edits@0.1.0", &place]).expect(0);
    let pinned = pushed.stdout.trim().to_owned();
    assert!(pinned.starts_with(&format!("{place}@sha256:")), "{pinned}");
    let added = tests::program::host(to.path(), ["plugin", "add", &pinned]).expect(0);
    assert_eq!(added.stdout.trim(), "select_edits@0.1.0");
    let listed = |dir: &std::path::Path| {
        let listed = tests::program::host(dir, ["plugin", "ls", "--output", "json"]).expect(0).json();
        (listed[0]["sha256"].clone(), listed[0]["from"].clone())
    };
    assert_eq!(listed(from.path()).0, listed(to.path()).0);
    assert_eq!(listed(to.path()).1, pinned.as_str());
    let wrong = format!("{place}@sha256:{}", "0".repeat(64));
    let refused = tests::program::host(to.path(), ["plugin", "add", &wrong]).expect(2);
    assert!(refused.stderr.contains("the registry has no `sha256:0000"), "{refused:?}");
}
