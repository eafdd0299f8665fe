//! Calls on files and directories, but for their data: attributes, listings, creates, renames,
//! deletes, sums.

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{Class, Refusal, empty, json_ok, json_tagged};
use super::api::Server;
use super::call::{Call, Failure};
use super::query::number;
use super::route::read_ref;
use super::store::{New, Part, Patch, Ref, Totals, Wanted};

/// The most entries of a page; none is published, and clients ask for 1000.
const MAX_PAGE: i64 = 1000;
/// Bounds of the aggregates, `qumulo-api.md` section 12.
const MAX_AGGREGATES: i64 = 5000;
const AGGREGATES: i64 = 1000;
const AGGREGATES_DEPTH: i64 = 10;
/// What `order-by` may say.
const ORDERS: [&str; 9] = [
    "total_blocks",
    "total_datablocks",
    "total_named_stream_datablocks",
    "total_metablocks",
    "total_files",
    "total_directories",
    "total_symlinks",
    "total_other",
    "total_named_streams",
];

/// `GET|PATCH .../info/attributes`.
pub(super) async fn attributes(server: &Server, call: &mut Call, file: Ref) -> Result<Response<Body>, Failure> {
    let (attributes, etag) = match call.method {
        Method::GET => {
            let snapshot = call.snapshot()?;
            let with_lock = call.query.flag("retrieve-file-lock")?;
            let (mut attributes, etag) = server.run(move |store| store.attributes(&file, snapshot)).await?;
            if let (true, Some(object)) = (with_lock, attributes.as_object_mut()) {
                object.insert("lock".to_owned(), json!({ "retention_period": null, "legal_hold": false }));
            }
            (attributes, etag)
        }
        Method::PATCH => {
            let patch = Patch::parse(&call.object().await?.0)?;
            let if_match = call.if_match.take();
            server.run(move |store| store.patch(&file, if_match.as_deref(), &patch)).await?
        }
        _ => return Err(call.no_method()),
    };
    Ok(json_tagged(&attributes, &etag))
}

/// `GET .../entries/`.
pub(super) async fn list(server: &Server, call: &mut Call, dir: Ref) -> Result<Response<Body>, Failure> {
    call.query.check_skip_atime()?;
    let asked = call.query.number("limit")?.unwrap_or(MAX_PAGE);
    if asked == 0 {
        return Err(Refusal::new(Class::Query, "parameter `limit` is `0`, expected 1 or more").into());
    }
    let mut limit = usize::try_from(asked.min(MAX_PAGE)).unwrap_or(1);
    if call.plan.is_short {
        limit = (limit / 2).max(1);
    }
    let pattern = call.query.get("smb-pattern").map(str::to_owned);
    let snapshot = call.snapshot()?;
    let wanted = Wanted { after: call.query.number("after")?.unwrap_or(0), limit, pattern: pattern.clone(), snapshot };
    let with_acls = call.query.flag("include-acls")?;
    let page = server.run(move |store| store.list(&dir, &wanted)).await?;
    let next = page.next.map(|after| {
        let pattern = pattern.map(|pattern| format!("&smb-pattern={}", encode(&pattern))).unwrap_or_default();
        let snapshot = snapshot.map(|id| format!("&snapshot={id}")).unwrap_or_default();
        let acls = if with_acls { "&include-acls=true" } else { "" };
        format!("/v1/files/{}/entries/?after={after}&limit={asked}{pattern}{snapshot}{acls}", page.id)
    });
    let mut body = json!({
        "path": page.path, "id": page.id.to_string(), "child_count": page.child_count, "files": page.files,
        "paging": { "next": next.unwrap_or_default() },
    });
    if let (true, Some(object)) = (with_acls, body.as_object_mut()) {
        let indices = vec![Value::Null; page.files.len()];
        object.insert("file_acls".to_owned(), json!({ "acl_pool": [], "acl_indices": indices }));
    }
    Ok(json_ok(&body))
}

/// Percent-encodes all but what RFC 3986 calls unreserved.
fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// `POST .../entries/`.
pub(super) async fn make(server: &Server, call: &mut Call, dir: Ref) -> Result<Response<Body>, Failure> {
    let fields = call.object().await?;
    let name = fields.text("name")?.to_owned();
    let old = || -> Result<Ref, Refusal> {
        let text = fields.text("old_path")?;
        match text.starts_with('/') {
            true => read_ref(text),
            false => Err(Refusal::new(Class::FilePath, "field `old_path` is no absolute path")),
        }
    };
    let new = match fields.text("action")? {
        "CREATE_FILE" => New::File,
        "CREATE_DIRECTORY" => New::Directory,
        "CREATE_SYMLINK" => New::Symlink(fields.text("old_path")?.to_owned()),
        "CREATE_LINK" => New::Link(old()?),
        "RENAME" => New::Rename { old: old()?, clobber: fields.flag("clobber")?.unwrap_or(false) },
        "CREATE_UNIX_FILE" => {
            return Err(Refusal::new(Class::FileType, "this emulator makes no devices and pipes").into());
        }
        _ => return Err(Refusal::new(Class::Decode, "field `action` is none that there is").into()),
    };
    let (attributes, etag) = server.run(move |store| store.make(&dir, &name, &new)).await?;
    Ok(json_tagged(&attributes, &etag))
}

/// `DELETE /v1/files/{ref}`.
pub(super) async fn delete(server: &Server, file: Ref) -> Result<Response<Body>, Failure> {
    server.run(move |store| store.remove(&file)).await?;
    Ok(empty(StatusCode::OK))
}

/// `DELETE .../entries/{name}`.
pub(super) async fn delete_entry(server: &Server, dir: Ref, name: String) -> Result<Response<Body>, Failure> {
    server.run(move |store| store.remove_entry(&dir, &name)).await?;
    Ok(empty(StatusCode::OK))
}

/// `POST /v1/files/resolve`: ids to paths.
pub(super) async fn resolve(server: &Server, call: &mut Call) -> Result<Response<Body>, Failure> {
    let bad = || Refusal::new(Class::Decode, "expected an array of ids as texts");
    let Value::Array(ids) = call.json().await? else { return Err(bad().into()) };
    let ids: Option<Vec<i64>> = ids.iter().map(|id| id.as_str().and_then(number)).collect();
    let ids = ids.ok_or_else(bad)?;
    let snapshot = call.snapshot()?;
    let resolved = server
        .run(move |store| {
            let paths = ids.into_iter().map(|id| {
                let (attributes, _) = store.attributes(&Ref::Id(id), snapshot)?;
                Ok(json!({ "id": id.to_string(), "path": attributes.get("path") }))
            });
            paths.collect::<Result<Vec<Value>, Refusal>>()
        })
        .await?;
    Ok(json_ok(&resolved.into()))
}

/// `GET .../aggregates/`.
pub(super) async fn aggregates(server: &Server, call: &mut Call, dir: Ref) -> Result<Response<Body>, Failure> {
    let (most, order) = aggregates_query(call)?;
    let sums = server.run(move |store| aggregate(store, &dir, most, &order)).await?;
    Ok(json_ok(&sums))
}

/// `GET .../recursive-aggregates/`: breadth first, small entries left out.
pub(super) async fn recursive_aggregates(
    server: &Server,
    call: &mut Call,
    dir: Ref,
) -> Result<Response<Body>, Failure> {
    let (most, order) = aggregates_query(call)?;
    let depth = call.query.number("max-depth")?.unwrap_or(AGGREGATES_DEPTH);
    let all = server
        .run(move |store| {
            let (mut all, mut level) = (Vec::new(), vec![dir]);
            for _ in 0..depth {
                let mut next = Vec::new();
                for dir in level {
                    if all.len() >= most {
                        break;
                    }
                    let (_, _, total, parts) = store.aggregates(&dir)?;
                    let large = parts
                        .iter()
                        .filter(|part| (part.totals.data + part.totals.meta) * 10 >= total.data + total.meta);
                    let dirs = large.filter(|part| part.kind == "FS_FILE_TYPE_DIRECTORY");
                    next.extend(dirs.map(|part| Ref::Id(part.id)));
                    all.push(aggregate(store, &dir, most, &order)?);
                }
                level = next;
            }
            Ok(all)
        })
        .await?;
    Ok(json_ok(&all.into()))
}

fn aggregates_query(call: &Call) -> Result<(usize, String), Refusal> {
    if call.snapshot()?.is_some() {
        return Err(Refusal::new(Class::Query, "this emulator has no sums of a snapshot"));
    }
    let most = call.query.number("max-entries")?.unwrap_or(AGGREGATES).min(MAX_AGGREGATES);
    let order = call.query.get("order-by").unwrap_or("total_blocks");
    match ORDERS.contains(&order) {
        true => Ok((usize::try_from(most).unwrap_or(0), order.to_owned())),
        false => Err(Refusal::new(Class::Query, "parameter `order-by` is none that there is")),
    }
}

fn aggregate(store: &super::store::Store, dir: &Ref, most: usize, order: &str) -> Result<Value, Refusal> {
    let (id, path, total, mut parts) = store.aggregates(dir)?;
    parts.sort_by_key(|part: &Part| {
        std::cmp::Reverse(match order {
            "total_files" => part.totals.files,
            "total_directories" => part.totals.directories,
            "total_symlinks" => part.totals.symlinks,
            "total_other" => part.totals.others,
            "total_metablocks" => part.totals.meta,
            "total_datablocks" => part.totals.data,
            _ => part.totals.data + part.totals.meta,
        })
    });
    let capacity = |totals: &Totals| (totals.data + totals.meta).to_string();
    let files = parts.iter().take(most).map(|part| {
        let totals = &part.totals;
        json!({
            "name": part.name, "type": part.kind, "id": part.id.to_string(), "capacity_usage": capacity(totals),
            "data_usage": totals.data.to_string(), "meta_usage": totals.meta.to_string(),
            "num_files": totals.files.to_string(), "num_directories": totals.directories.to_string(),
            "num_symlinks": totals.symlinks.to_string(), "num_other_objects": totals.others.to_string(),
            "named_stream_data_usage": "0", "num_named_streams": "0",
        })
    });
    Ok(json!({
        "path": if path.is_empty() { "/".to_owned() } else { format!("/{path}/") },
        "id": id.to_string(), "files": files.collect::<Vec<_>>(), "total_capacity": capacity(&total),
        "total_data": total.data.to_string(), "total_named_stream_data": "0",
        "total_meta": total.meta.to_string(), "total_files": total.files.to_string(),
        "total_directories": total.directories.to_string(), "total_symlinks": total.symlinks.to_string(),
        "total_other_objects": total.others.to_string(), "total_named_streams": "0",
    }))
}

/// `GET /v1/file-system`.
pub(super) async fn space(server: &Server) -> Result<Response<Body>, Failure> {
    let ((total, free), snapshots) = server.run(|store| Ok((store.space()?, store.snapshot_bytes()?))).await?;
    Ok(json_ok(&json!({
        "block_size_bytes": 4096, "total_size_bytes": total.to_string(), "free_size_bytes": free.to_string(),
        "snapshot_size_bytes": snapshots.to_string(),
    })))
}

/// `GET|PATCH /v1/file-system/settings/atime`.
pub(super) async fn atime(server: &Server, call: &mut Call) -> Result<Response<Body>, Failure> {
    let fallback = r#"{"enabled":false,"granularity":"HOUR"}"#;
    let kept = server.setting("atime", fallback).await?;
    let mut settings: Value = serde_json::from_str(&kept).unwrap_or_default();
    match call.method {
        Method::GET => {}
        Method::PATCH => {
            let fields = call.object().await?;
            let enabled = fields.flag("enabled")?;
            let granularity = fields.maybe_text("granularity")?;
            if granularity.is_some_and(|text| !["HOUR", "DAY", "WEEK"].contains(&text)) {
                return Err(Refusal::new(Class::Decode, "field `granularity` is none that there is").into());
            }
            if let Some(object) = settings.as_object_mut() {
                object.extend(enabled.map(|enabled| ("enabled".to_owned(), enabled.into())));
                object.extend(granularity.map(|text| ("granularity".to_owned(), text.into())));
            }
            server.keep_setting("atime", settings.to_string()).await?;
        }
        _ => return Err(call.no_method()),
    }
    Ok(json_ok(&settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back() {
        let text = "a b*?/é+&=%";
        assert_eq!(super::super::query::decode(&encode(text)).as_deref(), Some(text));
        assert_eq!(encode("A-z_0.~"), "A-z_0.~");
    }
}
