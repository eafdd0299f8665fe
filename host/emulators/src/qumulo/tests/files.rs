//! Names: creating, renaming, deleting, ids, and what others do in the folder.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::client::by;
use super::setup;

fn error(status: u16, class: &str) -> (u16, String) {
    (status, class.to_owned())
}

#[tokio::test]
async fn attributes_are_those_of_the_reference() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    let root = client.attributes(&by("/")).await.ok().json();
    assert_eq!((&root["id"], &root["path"], &root["name"]), (&json!("2"), &json!("/"), &json!("")));
    let dir = client.mkdir("/", "in b#é").await.ok();
    assert!(dir.header("etag").is_some());
    let dir = dir.json();
    assert_eq!((&dir["path"], &dir["name"]), (&json!("/in b#é/"), &json!("in b#é")));
    assert_eq!((&dir["type"], &dir["child_count"]), (&json!("FS_FILE_TYPE_DIRECTORY"), &json!(0)));
    assert_eq!((&dir["size"], &dir["data_revision"]), (&json!("0"), &json!(null)));
    let id = client.file("/in b#é", "a", b"hello").await;
    let file = client.attributes(&format!("/v1/files/{id}")).await.ok();
    let by_path = client.attributes(&by("/in b#é/a")).await.ok();
    assert_eq!((file.json(), file.etag()), (by_path.json(), by_path.etag()));
    let file = file.json();
    assert_eq!((&file["path"], &file["size"], &file["num_links"]), (&json!("/in b#é/a"), &json!("5"), &json!(1)));
    assert_eq!((&file["id"], &file["file_number"], &file["blocks"]), (&json!(id), &json!(id), &json!("2")));
    assert!(file["data_revision"].is_string() && file["directory_entry_hash_policy"].is_null());
    assert_eq!(file["modification_time"].as_str().unwrap().len(), "2024-05-17T13:23:40.283585722Z".len());
    let counted = client.attributes(&format!("{}/", by("/in b#é")).replace("/info", "")).await;
    assert_eq!(counted.status, 404, "`//` in a path is no call");
    assert_eq!(client.attributes(&by("/in b#é/")).await.ok().json()["child_count"], 1);
    let locked = client.get(&format!("/v1/files/{id}/info/attributes?retrieve-file-lock=True")).await.ok().json();
    assert_eq!(locked["lock"]["legal_hold"], false);
    for missing in ["/none", "/none/deeper", "/in b#é/a/below", "/in b#é/../in b#é", "/in b#é//a", "/."] {
        assert_eq!(client.attributes(&by(missing)).await.error(), error(404, "fs_no_such_entry_error"), "{missing}");
    }
    assert_eq!(client.attributes("/v1/files/99999").await.error(), error(404, "fs_no_such_entry_error"));
    let resolved = client.post("/v1/files/resolve", &json!(["2", id])).await.ok().json();
    assert_eq!(resolved, json!([{ "id": "2", "path": "/" }, { "id": id, "path": "/in b#é/a" }]));
}

#[tokio::test]
async fn attributes_change_as_they_are_told() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    let id = client.file("/", "a", b"hello").await;
    let file = format!("/v1/files/{id}");
    let path = format!("{file}/info/attributes");
    let before = client.attributes(&file).await.etag();
    let patch = json!({
        "size": "2", "mode": "0400", "modification_time": "2020-01-02T03:04:05.123456789Z", "owner": "501",
        "extended_attributes": { "hidden": true },
    });
    let after = client.json("PATCH", &path, &patch).await.ok();
    assert_ne!(after.etag(), before);
    let attributes = after.json();
    assert_eq!(
        (&attributes["size"], &attributes["mode"], &attributes["owner"]),
        (&json!("2"), &json!("0400"), &json!("501"))
    );
    assert_eq!(attributes["modification_time"], "2020-01-02T03:04:05.123456789Z");
    assert_eq!(attributes["extended_attributes"]["hidden"], true);
    assert_eq!(attributes["extended_attributes"]["system"], false);
    assert_eq!(client.attributes(&file).await.ok().json(), attributes);
    let headers = format!("If-Match: {before}\r\n");
    let stale = client.send("PATCH", &path, &headers, br#"{"size":"0"}"#).await.unwrap();
    assert_eq!(stale.status, 412);
    client.json("PATCH", &path, &json!({ "size": "10" })).await.ok();
    assert_eq!(client.read(&file, "").await, b"he\0\0\0\0\0\0\0\0");
    let dir = format!("{}/info/attributes", by("/"));
    let times = client.json("PATCH", &dir, &json!({ "modification_time": "2020-01-02T03:04:05Z" })).await.ok();
    assert_eq!(times.json()["modification_time"], "2020-01-02T03:04:05.000000000Z");
    assert_eq!(client.json("PATCH", &dir, &json!({ "size": "1" })).await.error(), error(400, "fs_not_a_file_error"));
    assert_eq!(client.json("PATCH", &path, &json!({ "mode": 7 })).await.error(), error(400, "decode_error"));
}

#[tokio::test]
async fn creating_refuses_what_is_there_and_what_cannot_be() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    client.mkdir("/", "d").await.ok();
    client.touch("/", "f").await.ok();
    for name in ["d", "f"] {
        assert_eq!(client.mkdir("/", name).await.error(), error(409, "fs_entry_exists_error"));
        assert_eq!(client.touch("/", name).await.error(), error(409, "fs_entry_exists_error"));
    }
    for name in ["", ".", "..", "a/b", "a\0b", ".qumulo-emulator"] {
        assert_eq!(client.mkdir("/", name).await.error(), error(400, "fs_invalid_name_error"), "{name:?}");
    }
    assert_eq!(client.touch("/", &"x".repeat(256)).await.error(), error(400, "fs_name_size_error"));
    assert_eq!(client.touch("/", &"é".repeat(200)).await.status, 400);
    client.touch("/", &"x".repeat(255)).await.ok();
    assert_eq!(client.touch("/none", "a").await.error(), error(404, "fs_no_such_entry_error"));
    assert_eq!(client.touch("/f", "a").await.error(), error(400, "fs_not_a_directory_error"));
    let device = client.make("/", "CREATE_UNIX_FILE", "p", json!({ "unix_file_type": "FS_FILE_TYPE_UNIX_PIPE" })).await;
    assert_eq!(device.error(), error(400, "fs_invalid_file_type_error"));
}

#[tokio::test]
async fn a_rename_keeps_the_id_over_directories_and_restarts() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    client.mkdir("/", "a").await.ok();
    client.mkdir("/", "b").await.ok();
    let sub = client.mkdir("/a", "sub").await.id();
    let id = client.file("/a/sub", "f", b"text").await;
    assert_eq!(client.rename("/a/sub", "/b", "moved", false).await.id(), sub);
    assert_eq!(client.attributes(&format!("/v1/files/{id}")).await.ok().json()["path"], "/b/moved/f");
    assert_eq!(client.rename("/b/moved/f", "/", "g", false).await.id(), id);
    assert_eq!(client.rename("/b/moved/f", "/", "h", false).await.error(), error(404, "fs_no_such_entry_error"));
    assert_eq!(client.rename("/b", "/b/moved", "x", false).await.error(), error(409, "fs_directory_cycle_error"));
    assert_eq!(client.rename("/b", "/b", "x", false).await.error(), error(409, "fs_directory_cycle_error"));
    assert_eq!(client.rename("/", "/b", "x", false).await.status, 403);
    assert_eq!(client.rename("g", "/b", "x", false).await.error(), error(400, "fs_file_path_invalid_error"));

    let other = client.file("/", "other", b"other").await;
    assert_eq!(client.rename("/g", "/", "other", false).await.error(), error(409, "fs_entry_exists_error"));
    assert_eq!(client.rename("/g", "/", "g", false).await.error(), error(409, "fs_entry_exists_error"));
    assert_eq!(client.rename("/g", "/", "g", true).await.id(), id);
    assert_eq!(client.rename("/g", "/", "other", true).await.id(), id);
    assert_eq!(client.attributes(&format!("/v1/files/{other}")).await.status, 404, "it was replaced");
    assert_eq!(client.read(&by("/other"), "").await, b"text");
    let full = client.rename("/a", "/", "b", true).await;
    assert_eq!(full.error(), error(409, "fs_directory_not_empty_error"));

    let etag = client.attributes(&by("/other")).await.etag();
    let mut setup = setup.restart().await;
    let found = setup.client.attributes(&format!("/v1/files/{id}")).await.ok();
    assert_eq!((found.json()["path"].as_str(), found.etag()), (Some("/other"), etag));
    assert_eq!(setup.client.attributes(&by("/b/moved")).await.id(), sub);
    let new = setup.client.touch("/", "new").await.id();
    assert!(![id, sub, other].contains(&new));
}

#[tokio::test]
async fn of_many_renames_of_one_source_exactly_one_wins() {
    let mut setup = setup().await;
    for round in 0..5 {
        let name = format!("f{round}");
        let id = setup.client.file("/", &name, b"x").await;
        let renames = (0..8).map(|number| {
            let mut client = setup.client.again();
            let source = format!("/{name}");
            let target = format!("{round}-{number}");
            async move { client.rename(&source, "/", &target, false).await.error() }
        });
        let mut results = futures_util::future::join_all(renames).await;
        results.sort();
        assert_eq!(results.first(), Some(&error(200, "")));
        assert_eq!(results[1..], vec![error(404, "fs_no_such_entry_error"); 7]);
        assert!(
            setup.client.attributes(&format!("/v1/files/{id}")).await.ok().json()["name"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{round}-"))
        );
    }
}

#[tokio::test]
async fn deleting_refuses_full_directories_and_does_not_reuse_ids() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    let dir = client.mkdir("/", "d").await.id();
    let id = client.file("/d", "f", b"x").await;
    assert_eq!(client.delete(&by("/d")).await.error(), error(409, "fs_directory_not_empty_error"));
    let reply = client.delete(&format!("/v1/files/{id}")).await.ok();
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("0")));
    assert_eq!(client.delete(&format!("/v1/files/{id}")).await.error(), error(404, "fs_no_such_entry_error"));
    let again = client.file("/d", "f", b"x").await;
    assert_ne!(again, id);
    client.delete(&format!("{}/entries/f", by("/d"))).await.ok();
    client.delete(&format!("/v1/files/{dir}")).await.ok();
    assert_eq!(client.delete(&by("/d")).await.status, 404);
    assert_eq!(client.delete("/v1/files/2").await.status, 403);
}

#[tokio::test]
async fn links_are_objects_and_lead_nowhere() {
    let mut setup = setup().await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), b"secret").unwrap();
    symlink(outside.path(), setup.folder.path().join("out")).unwrap();
    symlink(".qumulo-emulator", setup.folder.path().join("in")).unwrap();
    let client = &mut setup.client;
    for (link, below) in [("/out", "/out/secret"), ("/in", "/in/state.db")] {
        assert_eq!(client.attributes(&by(link)).await.ok().json()["type"], "FS_FILE_TYPE_SYMLINK");
        assert_eq!(client.attributes(&by(below)).await.status, 404);
        assert_eq!(client.get(&format!("{}/data", by(below))).await.status, 404);
        assert_eq!(client.get(&format!("{}/entries/", by(link))).await.error(), error(400, "fs_not_a_directory_error"));
        assert_eq!(client.put(&by(link), "", b"x").await.error(), error(400, "fs_not_a_file_error"));
        assert_eq!(client.touch(link, "x").await.status, 400);
        assert_eq!(client.rename(below, "/", "taken", false).await.status, 404);
    }
    assert_eq!(client.read(&by("/out"), "").await, outside.path().as_os_str().as_encoded_bytes());
    client.make("/", "CREATE_SYMLINK", "s", json!({ "old_path": "../../etc/passwd" })).await.ok();
    assert_eq!(client.read(&by("/s"), "?offset=3&length=2").await, b"..");
    client.delete(&by("/out")).await.ok();
    assert!(outside.path().join("secret").exists());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_with_two_names_has_one_id() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    client.mkdir("/", "d").await.ok();
    let id = client.file("/", "a", b"text").await;
    let link = client.make("/d", "CREATE_LINK", "b", json!({ "old_path": "/a" })).await.ok();
    assert_eq!((&link.json()["id"], &link.json()["num_links"]), (&json!(id), &json!(2)));
    client.put(&by("/d/b"), "", b"other").await.ok();
    assert_eq!(client.read(&by("/a"), "").await, b"other");
    assert_eq!(client.rename("/a", "/d", "b", true).await.error(), error(409, "fs_same_inode_error"));
    client.delete(&format!("{}/entries/a", by("/"))).await.ok();
    assert_eq!(client.attributes(&format!("/v1/files/{id}")).await.ok().json()["path"], "/d/b");
    let dir = client.make("/", "CREATE_LINK", "c", json!({ "old_path": "/d" })).await;
    assert_eq!(dir.error(), error(400, "fs_not_a_file_error"));
}

#[tokio::test]
async fn what_others_do_in_the_folder_is_seen() {
    let mut setup = setup().await;
    let root = setup.folder.path().to_owned();
    let client = &mut setup.client;
    std::fs::create_dir_all(root.join("x/y")).unwrap();
    std::fs::write(root.join("x/y/f"), b"from outside").unwrap();
    assert_eq!(client.read(&by("/x/y/f"), "").await, b"from outside");
    let (dir, id) = (client.attributes(&by("/x")).await.id(), client.attributes(&by("/x/y/f")).await.id());
    assert_eq!(client.names("/", 10).await, ["x"]);
    // Renamed by others, objects stay who they are where the file system tells their birth.
    std::fs::rename(root.join("x"), root.join("z")).unwrap();
    assert_eq!(client.names("/", 10).await, ["z"]);
    assert_eq!(client.attributes(&by("/z")).await.id(), dir);
    assert_eq!(client.attributes(&format!("/v1/files/{id}")).await.ok().json()["path"], "/z/y/f");
    std::fs::remove_file(root.join("z/y/f")).unwrap();
    assert_eq!(client.attributes(&format!("/v1/files/{id}")).await.status, 404);
    std::fs::write(root.join("z/y/f"), b"new").unwrap();
    assert_ne!(client.attributes(&by("/z/y/f")).await.id(), id);
    let before = client.attributes(&by("/z/y/f")).await.etag();
    std::fs::write(root.join("z/y/f"), b"longer than before").unwrap();
    assert_ne!(client.attributes(&by("/z/y/f")).await.etag(), before);
}

#[tokio::test]
async fn sums_cover_the_subtree() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    client.mkdir("/", "a").await.ok();
    client.mkdir("/a", "b").await.ok();
    client.file("/a/b", "f", &[1; 5000]).await;
    client.file("/a", "g", b"x").await;
    let sums = client.get(&format!("{}/aggregates/?max-entries=1&order-by=total_files", by("/"))).await.ok().json();
    assert_eq!((&sums["total_files"], &sums["total_directories"]), (&json!("2"), &json!("2")));
    assert_eq!((&sums["total_data"], &sums["path"]), (&json!("12288"), &json!("/")));
    assert_eq!((&sums["files"][0]["name"], &sums["files"][0]["num_files"]), (&json!("a"), &json!("2")));
    let all = client.get(&format!("{}/recursive-aggregates/?max-depth=2", by("/"))).await.ok().json();
    let paths: Vec<_> = all.as_array().unwrap().iter().map(|sums| sums["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/", "/a/"]);
    assert_eq!(client.get(&format!("{}/aggregates/?order-by=x", by("/"))).await.status, 400);
    let space = client.get("/v1/file-system").await.ok().json();
    assert_eq!(space["block_size_bytes"], 4096);
    assert!(space["free_size_bytes"].as_str().unwrap().parse::<u64>().unwrap() > 0);
}
