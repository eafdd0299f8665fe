//! `host connector`: asks a host that runs.

use super::args::{ConnectorCommand, Output};
use super::output::line;
use super::{Failure, runtime};
use crate::error::OrError;
use crate::io::rest;
use crate::plugin::PluginRef;
use serde_json::{Value, json};

pub(super) fn connector(command: &ConnectorCommand) -> std::result::Result<(), Failure> {
    match command {
        ConnectorCommand::Swap { name, plugin, url, output } => {
            let plugin = match PluginRef::is_file(plugin) {
                // The host may run in another folder.
                true => std::fs::canonicalize(plugin).or_config(format!("plugin `{plugin}`"))?.display().to_string(),
                false => PluginRef::parse(plugin)?.to_string(),
            };
            let runtime = runtime()?;
            let body = json!({ "plugin": plugin });
            let answer = rest::post(runtime.handle(), url, &["v1", "connectors", name, "swap"], &body)?;
            if *output == Output::Json {
                line(&answer.to_string())?;
                return Ok(());
            }
            let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
            let pause = answer.get("pause_us").and_then(Value::as_u64).unwrap_or_default();
            let (from, to) = (text("from"), text("to"));
            line(&format!("connector `{name}`: {to} runs in place of {from}, after a pause of {pause} µs"))?;
            Ok(())
        }
    }
}
