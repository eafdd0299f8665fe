//! The few queries that check a load: counts, sums, and the ends of time of a whole data source.
//!
//! `SELECT COUNT(*) AS n, SUM("added"), MIN(__time), MAX(__time) FROM "wikipedia"`, in any order and
//! number. Anything else is refused rather than answered wrongly.

use std::iter::Peekable;
use std::str::CharIndices;

use axum::body::Body;
use axum::http::Response;
use serde_json::{Map, Value, json};

use super::answer::{Refusal, json_ok};
use super::api::{Call, Failure, Server};
use super::schema::Kind;
use super::segments::{Rows, Segment};
use crate::clock::iso_ms;

/// The most values of a query.
const MAX_VALUES: usize = 100;
const TIME: &str = "__time";

#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Count,
    Sum(String),
    First,
    Last,
}

#[derive(Debug, Clone, PartialEq)]
struct Query {
    values: Vec<(Wanted, String)>,
    table: String,
    /// Where its name stands, from 1.
    column: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
}

/// `POST /druid/v2/sql`.
///
/// # Errors
/// 400 for anything but these queries, and for a data source without segments.
pub(super) async fn answer(server: &Server, call: &mut Call) -> Result<Response<Body>, Failure> {
    let body = call.json().await?;
    let text = body.get("query").and_then(Value::as_str).ok_or_else(|| Refusal::invalid("query must be a text"))?;
    let query = Query::parse(text).map_err(|found| {
        Refusal::invalid_sql(
            format!(
                "the emulator answers SELECT COUNT(*), SUM(column), MIN(__time), MAX(__time) FROM datasource only: {found}"
            ),
            sql_context(None),
        )
    })?;
    let kept = server.store.look();
    let segments = kept.datasources.get(&query.table).ok_or_else(|| {
        let at = query.column;
        let message = format!("Object '{}' not found (line [1], column [{at}])", query.table);
        Refusal::invalid_sql(message, sql_context(Some(at)))
    })?;
    let row = query.row(segments)?;
    let names: Vec<Value> = query.values.iter().map(|(_, name)| name.as_str().into()).collect();
    let has_header = body.get("header").and_then(Value::as_bool).unwrap_or(false);
    let object = |values: Vec<Value>| {
        let named = query.values.iter().map(|(_, name)| name.clone());
        Value::Object(named.zip(values).collect::<Map<_, _>>())
    };
    let mut rows = Vec::with_capacity(2);
    match body.get("resultFormat").and_then(Value::as_str).unwrap_or("object") {
        "object" => {
            if has_header {
                rows.push(object(vec![Value::Null; names.len()]));
            }
            rows.push(object(row));
        }
        "array" => {
            if has_header {
                rows.push(Value::Array(names));
            }
            rows.push(Value::Array(row));
        }
        other => {
            return Err(
                Refusal::invalid(format!("resultFormat [{other}] is not emulated, expected object or array")).into()
            );
        }
    }
    Ok(json_ok(&Value::Array(rows)))
}

fn sql_context(column: Option<usize>) -> Map<String, Value> {
    let mut context = Map::new();
    context.insert("sourceType".to_owned(), json!("sql"));
    if let Some(column) = column {
        context.insert("line".to_owned(), json!("1"));
        context.insert("column".to_owned(), json!(column.to_string()));
    }
    context
}

impl Query {
    fn row(&self, segments: &[Segment]) -> Result<Vec<Value>, Refusal> {
        let mut all = Rows::new(&[]);
        segments.iter().for_each(|segment| all.merge(&segment.rows));
        let value = |value: &Wanted| match value {
            Wanted::Count => Ok(all.num.into()),
            Wanted::First | Wanted::Last if all.num == 0 => Ok(Value::Null),
            Wanted::First => Ok(iso_ms(all.first).into()),
            Wanted::Last => Ok(iso_ms(all.last).into()),
            Wanted::Sum(name) => match all.columns.get(name) {
                Some(sum) if sum.kind == Kind::Text => Err(Refusal::invalid_sql(
                    format!("the emulator adds numbers only, and '{name}' is text"),
                    sql_context(None),
                )),
                Some(sum) => Ok(sum.value()),
                None => Err(Refusal::invalid_sql(format!("Column '{name}' not found in any table"), sql_context(None))),
            },
        };
        self.values.iter().map(|(wanted, _)| value(wanted)).collect()
    }

    /// Reads a query, or says what was expected where.
    fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut tokens = tokens.into_iter().peekable();
        word(&mut tokens, "SELECT")?;
        let mut values = Vec::new();
        loop {
            if values.len() >= MAX_VALUES {
                return Err(format!("expected at most {MAX_VALUES} values"));
            }
            let value = one(&mut tokens)?;
            let is_named = matches!(tokens.peek(), Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("AS"));
            let name = if is_named {
                tokens.next();
                name(&mut tokens)?.0
            } else {
                format!("EXPR${}", values.len())
            };
            values.push((value, name));
            if tokens.next_if(|(token, _)| *token == Token::Sign(',')).is_none() {
                break;
            }
        }
        word(&mut tokens, "FROM")?;
        let (mut table, column) = name(&mut tokens)?;
        // `"druid"."wikipedia"` is the long form.
        if table == "druid" && tokens.next_if(|(token, _)| *token == Token::Sign('.')).is_some() {
            table = name(&mut tokens)?.0;
        }
        tokens.next_if(|(token, _)| *token == Token::Sign(';'));
        match tokens.next() {
            None => Ok(Self { values, table, column }),
            Some((token, at)) => Err(format!("found {token:?} at {at}, expected the end")),
        }
    }
}

type Tokens = Peekable<std::vec::IntoIter<(Token, usize)>>;

fn one(tokens: &mut Tokens) -> Result<Wanted, String> {
    let (function, at) = match tokens.next() {
        Some((Token::Word(word), at)) => (word.to_ascii_uppercase(), at),
        other => return Err(format!("found {other:?}, expected a function")),
    };
    sign(tokens, '(')?;
    let value = match function.as_str() {
        "COUNT" => {
            sign(tokens, '*')?;
            Wanted::Count
        }
        "SUM" => Wanted::Sum(name(tokens)?.0),
        "MIN" | "MAX" => match name(tokens)?.0.as_str() {
            TIME if function == "MIN" => Wanted::First,
            TIME => Wanted::Last,
            other => return Err(format!("found {function} of `{other}`, expected {TIME}")),
        },
        _ => return Err(format!("found function {function} at {at}")),
    };
    sign(tokens, ')')?;
    Ok(value)
}

fn word(tokens: &mut Tokens, wanted: &str) -> Result<(), String> {
    match tokens.next() {
        Some((Token::Word(word), _)) if word.eq_ignore_ascii_case(wanted) => Ok(()),
        other => Err(format!("found {other:?}, expected {wanted}")),
    }
}

fn sign(tokens: &mut Tokens, wanted: char) -> Result<(), String> {
    match tokens.next() {
        Some((Token::Sign(sign), _)) if sign == wanted => Ok(()),
        other => Err(format!("found {other:?}, expected `{wanted}`")),
    }
}

fn name(tokens: &mut Tokens) -> Result<(String, usize), String> {
    match tokens.next() {
        Some((Token::Word(name) | Token::Quoted(name), at)) => Ok((name, at)),
        other => Err(format!("found {other:?}, expected a name")),
    }
}

/// The tokens, each with the column at which it stands, from 1.
fn tokens(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, sign)) = chars.next() {
        let token = match sign {
            sign if sign.is_whitespace() => continue,
            '"' => Token::Quoted(quoted(&mut chars)?),
            sign if sign.is_alphanumeric() || sign == '_' => {
                let mut word = String::from(sign);
                while let Some((_, next)) = chars.next_if(|(_, next)| next.is_alphanumeric() || *next == '_') {
                    word.push(next);
                }
                Token::Word(word)
            }
            sign => Token::Sign(sign),
        };
        tokens.push((token, at + 1));
    }
    Ok(tokens)
}

fn quoted(chars: &mut Peekable<CharIndices<'_>>) -> Result<String, String> {
    let mut name = String::new();
    while let Some((_, next)) = chars.next() {
        match next {
            // Two quotes are one.
            '"' if chars.next_if(|(_, next)| *next == '"').is_some() => name.push('"'),
            '"' => return Ok(name),
            next => name.push(next),
        }
    }
    Err("found a `\"` that is not closed".to_owned())
}
