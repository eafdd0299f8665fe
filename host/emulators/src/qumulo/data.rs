//! Calls on file data. Both ways the bytes pass through piece by piece: what the client does not
//! read is not read from the file, and what is not written yet is not taken from the client.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde_json::{Value, json};

use super::answer::{Class, Refusal, empty, json_ok, json_tagged, with_etag};
use super::api::Server;
use super::call::{Call, Failure};
use super::log::add;
use super::route::read_ref;
use super::store::{Copy, How, Reader, Ref};

/// How much of a file is held for one reader.
const PIECE_BYTES: usize = 256 * 1024;
/// How much one call copies before it answers with what is left.
const MAX_COPY_BYTES: u64 = 64 * 1024 * 1024;
const BYTES: &str = "application/octet-stream";

/// `GET .../data`.
pub(super) async fn get(server: &Arc<Server>, call: &mut Call, file: Ref) -> Result<Response<Body>, Failure> {
    call.query.check_skip_atime()?;
    let offset = call.query.number("offset")?.unwrap_or(0).unsigned_abs();
    let length = call.query.number("length")?.map(i64::unsigned_abs);
    let snapshot = call.snapshot()?;
    let reader = server.run(move |store| store.read(&file, snapshot, offset, length)).await?;
    let (etag, size) = (reader.etag.clone(), reader.left());
    let body = unfold((server.clone(), Some(reader)), |(server, reader)| async move {
        let piece = next(reader?).await.transpose()?;
        Some(match piece {
            Ok((bytes, reader)) => {
                add(&server.log.bytes_read, bytes.len() as u64);
                (Ok(bytes), (server, Some(reader)))
            }
            // Whoever counts bytes sees that some are missing.
            Err(error) => (Err(error), (server, None)),
        })
    });
    let mut response = with_etag(Response::new(Body::from_stream(body)), &etag);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(BYTES));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    Ok(response)
}

async fn next(mut reader: Reader) -> std::io::Result<Option<(Bytes, Reader)>> {
    if reader.left() == 0 {
        return Ok(None);
    }
    let read = tokio::task::spawn_blocking(move || reader.read(PIECE_BYTES).map(|bytes| (bytes, reader)));
    let (bytes, reader) = read.await.map_err(std::io::Error::other)??;
    Ok(Some((bytes.into(), reader)))
}

/// `PUT|PATCH .../data`.
pub(super) async fn write(server: &Arc<Server>, call: &mut Call, file: Ref) -> Result<Response<Body>, Failure> {
    let kind = call.content_type.as_deref().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(BYTES) {
        return Err(Refusal::new(Class::MediaType, format!("expected content of type `{BYTES}`")).into());
    }
    let how = match call.method {
        Method::PUT => How::Replace,
        _ => How::At(call.query.number("offset")?.unwrap_or(0).unsigned_abs()),
    };
    let if_match = call.if_match.take();
    let mut writer = server.run(move |store| store.write(&file, if_match.as_deref(), how)).await?;
    while let Some(bytes) = call.piece().await? {
        add(&server.log.bytes_written, bytes.len() as u64);
        writer = server
            .run(move |_| {
                writer.write(&bytes)?;
                Ok(writer)
            })
            .await?;
        if call.plan.cuts_request {
            return Err(Failure::Cut);
        }
    }
    let (attributes, etag) = server.run(move |_| writer.finish()).await?;
    Ok(json_tagged(&attributes, &etag))
}

/// `POST .../punch-hole`.
pub(super) async fn punch(server: &Arc<Server>, call: &mut Call, file: Ref) -> Result<Response<Body>, Failure> {
    let fields = call.object().await?;
    let required = |key: &str| {
        let number = fields.number(key)?;
        number.map(i64::unsigned_abs).ok_or_else(|| Refusal::new(Class::Decode, format!("expected a field `{key}`")))
    };
    let (offset, size) = (required("offset")?, required("size")?);
    let if_match = call.if_match.take();
    let punched = server.run(move |store| store.punch(&file, if_match.as_deref(), offset, size)).await?;
    Ok(json_tagged(&punched.0, &punched.1))
}

/// `POST .../copy-chunk`.
pub(super) async fn copy(server: &Arc<Server>, call: &mut Call, target: Ref) -> Result<Response<Body>, Failure> {
    let fields = call.object().await?;
    let source = match (fields.maybe_text("source_id")?, fields.maybe_text("source_path")?) {
        (Some(source), None) | (None, Some(source)) => source.to_owned(),
        _ => return Err(Refusal::new(Class::Decode, "expected either `source_id` or `source_path`").into()),
    };
    for key in ["source_stream_id", "target_stream_id"] {
        if fields.number(key)?.is_some_and(|stream| stream != 0) {
            return Err(Refusal::new(Class::NoSuchEntry, "this emulator has no named streams").into());
        }
    }
    let copy = Copy {
        source: read_ref(&source)?,
        snapshot: fields.number("source_snapshot")?,
        etag: fields.maybe_text("source_etag")?.map(str::to_owned),
        source_offset: fields.number("source_offset")?.unwrap_or(0).unsigned_abs(),
        target_offset: fields.number("target_offset")?.unwrap_or(0).unsigned_abs(),
        length: fields.number("length")?.map(i64::unsigned_abs),
    };
    let if_match = call.if_match.take();
    let copied = server.run(move |store| store.copy(&target, if_match.as_deref(), &copy, MAX_COPY_BYTES));
    let (rest, etag) = copied.await?;
    let Some(rest) = rest else { return Ok(with_etag(empty(StatusCode::OK), &etag)) };
    // The same request again, with other numbers.
    let mut body = Value::Object(fields.0);
    if let Some(object) = body.as_object_mut() {
        object.insert("source_offset".to_owned(), json!(rest.source_offset.to_string()));
        object.insert("target_offset".to_owned(), json!(rest.target_offset.to_string()));
        object.insert("length".to_owned(), json!(rest.length.unwrap_or(0).to_string()));
    }
    Ok(with_etag(json_ok(&body), &etag))
}
