//! Calls on snapshots: v2 as older clients make them, v3 and v4 as the current one does.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{Class, Refusal, empty, json_ok};
use super::api::{Server, accepted};
use super::call::{Call, Failure, Fields};
use super::route::read_ref;
use super::store::{Change, ROOT, Ref, Snapshot, rfc3339, rfc3339_ms};
use crate::clock::{now_ms, parse};

/// What a time to live may be given in, with milliseconds; a month counts as 30 days.
const UNITS: [(&str, i64); 5] = [
    ("months", 30 * 86_400_000),
    ("weeks", 7 * 86_400_000),
    ("days", 86_400_000),
    ("hours", 3_600_000),
    ("minutes", 60_000),
];
/// A page of differences.
const MAX_PAGE: i64 = 1000;

/// `/vN/snapshots/`.
pub(super) async fn all(server: &Arc<Server>, call: &mut Call, version: u8) -> Result<Response<Body>, Failure> {
    match call.method {
        Method::GET => {
            // Deleting takes no time here, so none is ever in it.
            let filter = call.query.get("filter").unwrap_or("all");
            let is_empty = match filter {
                "all" | "exclude_in_delete" => false,
                "only_in_delete" => true,
                _ => return Err(Refusal::new(Class::Query, "parameter `filter` is none that there is").into()),
            };
            let snapshots = server.run(|store| store.snapshots()).await?;
            let told = snapshots.iter().filter(|_| !is_empty).map(|snapshot| tell(snapshot, version));
            Ok(json_ok(&json!({ "entries": told.collect::<Vec<_>>() })))
        }
        Method::POST => {
            let fields = call.object().await?;
            let source = match fields.maybe_text("source_file_id")? {
                Some(source) => read_ref(source)?,
                None => Ref::Id(ROOT),
            };
            let mut expiration_ms = expiration(&fields)?.flatten();
            if let Some(life) = call.query.get("expiration-time-to-live").filter(|_| version == 2) {
                let life = time_to_live(life)?;
                expiration_ms = life.map(|life| now_ms().saturating_add(life)).or(expiration_ms);
            }
            let name = match version {
                2 => fields.text("name")?.to_owned(),
                _ => fields.maybe_text("name_suffix")?.unwrap_or("OnDemand").to_owned(),
            };
            let name = move |id: i64| if version == 2 { name } else { format!("{id}_{name}") };
            let taken = server.run(move |store| store.take_snapshot(&source, name, expiration_ms)).await?;
            Ok(json_ok(&tell(&taken, version)))
        }
        _ => Err(call.no_method()),
    }
}

/// `/vN/snapshots/{id}`.
pub(super) async fn one(
    server: &Arc<Server>,
    call: &mut Call,
    version: u8,
    id: i64,
) -> Result<Response<Body>, Failure> {
    let snapshot = match call.method {
        Method::GET => server.run(move |store| store.snapshot(id)).await?,
        Method::DELETE => {
            server.run(move |store| store.delete_snapshot(id)).await?;
            return Ok(if version == 2 { empty(StatusCode::OK) } else { accepted() });
        }
        Method::PUT | Method::PATCH => {
            let fields = call.object().await?;
            match expiration(&fields)? {
                Some(at) => server.run(move |store| store.set_snapshot_expiration(id, at)).await?,
                None => server.run(move |store| store.snapshot(id)).await?,
            }
        }
        _ => return Err(call.no_method()),
    };
    Ok(json_ok(&tell(&snapshot, version)))
}

/// `GET /v4/snapshots/status/`.
pub(super) async fn statuses(server: &Arc<Server>, call: &mut Call) -> Result<Response<Body>, Failure> {
    let filter = call.query.get("filter").unwrap_or_default();
    let mut is_empty = false;
    for name in filter.split(',').filter(|name| !name.is_empty()) {
        match name {
            "api_snapshots_exclude_in_delete" | "api_snapshots_exclude_locked" => {}
            "api_snapshots_exclude_not_in_delete" | "api_snapshots_exclude_not_locked" => is_empty = true,
            _ => return Err(Refusal::new(Class::Query, "parameter `filter` is none that there is").into()),
        }
    }
    let snapshots = server.run(|store| store.snapshots()).await?;
    let told = snapshots.iter().filter(|_| !is_empty).map(tell_status);
    Ok(json_ok(&json!({ "entries": told.collect::<Vec<_>>() })))
}

/// `GET /v3/snapshots/status/{id}`.
pub(super) async fn status(server: &Arc<Server>, id: i64) -> Result<Response<Body>, Failure> {
    let snapshot = server.run(move |store| store.snapshot(id)).await?;
    Ok(json_ok(&tell_status(&snapshot)))
}

/// `GET /v2/snapshots/{newer}/changes-since/{older}`.
pub(super) async fn changes(
    server: &Arc<Server>,
    call: &mut Call,
    newer: i64,
    older: i64,
) -> Result<Response<Body>, Failure> {
    let limit = call.query.number("limit")?.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let after = call.query.number("after")?.unwrap_or(0);
    let changes = server.run(move |store| store.snapshot_changes(newer, older)).await?;
    // Snapshots do not change, so a number is a place that stays.
    let end = after.saturating_add(limit);
    let place = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let next = if changes.len() > place(end) {
        format!("/v2/snapshots/{newer}/changes-since/{older}?after={end}&limit={limit}")
    } else {
        String::new()
    };
    let page = changes.into_iter().skip(place(after)).take(place(limit)).map(|(path, change)| {
        let op = match change {
            Change::Create => "CREATE",
            Change::Modify => "MODIFY",
            Change::Delete => "DELETE",
        };
        json!({ "op": op, "path": format!("/{path}") })
    });
    Ok(json_ok(&json!({ "entries": page.collect::<Vec<_>>(), "paging": { "next": next } })))
}

fn tell(snapshot: &Snapshot, version: u8) -> Value {
    let Snapshot { id, name, source, taken_ns, expiration_ms, .. } = snapshot;
    let expiration = expiration_ms.map(rfc3339_ms);
    if version == 2 {
        json!({
            "id": id, "name": name, "timestamp": rfc3339(*taken_ns), "directory_name": format!("{id}_{name}"),
            "source_file_id": source.to_string(), "created_by_policy": false,
            "expiration": expiration.unwrap_or_default(), "in_delete": false,
        })
    } else {
        json!({
            "id": id, "name": name, "timestamp": rfc3339(*taken_ns), "source_file_id": source.to_string(),
            "policy_id": null, "expiration": expiration, "in_delete": false,
        })
    }
}

fn tell_status(snapshot: &Snapshot) -> Value {
    let mut told = tell(snapshot, 3);
    if let Some(object) = told.as_object_mut() {
        object.insert("source_file_path".to_owned(), json!(snapshot.source_path));
        object.insert("policy_name".to_owned(), Value::Null);
        object.insert("owners".to_owned(), json!([]));
        object.insert("lock_key".to_owned(), Value::Null);
    }
    told
}

/// The expiration in a body: absent, empty for never, or a time.
fn expiration(fields: &Fields) -> Result<Option<Option<i64>>, Refusal> {
    let Some(text) = fields.maybe_text("expiration")? else { return Ok(None) };
    if text.is_empty() {
        return Ok(Some(None));
    }
    let at = parse(text).ok_or_else(|| Refusal::new(Class::Decode, "field `expiration` is not a time"))?;
    Ok(Some(Some(at)))
}

/// Reads `1hours`, `30days`; empty or `never` for no end. In milliseconds.
fn time_to_live(text: &str) -> Result<Option<i64>, Refusal> {
    if text.is_empty() || text == "never" {
        return Ok(None);
    }
    let unit = UNITS.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, ms)));
    let life = unit.and_then(|(number, ms)| {
        let number = super::query::number(number).filter(|number| (1..=999).contains(number))?;
        Some(number * ms)
    });
    let life = life.ok_or_else(|| Refusal::new(Class::Query, "`expiration-time-to-live` is not such as `1hours`"))?;
    Ok(Some(life))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_are_read() {
        assert_eq!(time_to_live("1hours").unwrap(), Some(3_600_000));
        assert_eq!(time_to_live("999months").unwrap(), Some(999 * 30 * 86_400_000));
        assert_eq!(time_to_live("never").unwrap(), None);
        for bad in ["0hours", "1000days", "hours", "1", "1 hours", "-1days"] {
            assert!(time_to_live(bad).is_err(), "{bad}");
        }
    }
}
