//! Tasks in the service's words: written by a component, held to its word, secrets put in last.

use super::spec_check;
use crate::connector::{BatchRef, DataSource, Dialect, FetchAccess, IngestMode, Ingestion, SecretPlace, Span, TaskOf};
use crate::error::{OrError, Result};
use crate::secret::Secret;
use serde_json::Value;

/// How batches are fetched by the service.
#[derive(Debug, Clone, Default)]
pub struct FetchSecrets {
    /// User, and what its password is or where the service finds it.
    pub basic: Option<(String, FetchSecret)>,
    /// Headers, and what each is.
    pub headers: Vec<(String, Secret)>,
}

/// A secret of the service.
#[derive(Debug, Clone)]
pub enum FetchSecret {
    /// In an environment variable of its processes.
    Environment(String),
    /// Written into the task.
    Given(Secret),
}

/// What does not change from task to task.
#[derive(Debug, Clone)]
pub struct SpecSettings {
    /// Into what.
    pub into: DataSource,
    /// In which words.
    pub dialect: Dialect,
    /// How batches are fetched.
    pub fetch: FetchSecrets,
}

/// A task, with placeholders in the places of secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// As the component wrote it, for people.
    pub text: String,
    /// What was looked at; this is what is handed in.
    value: Value,
}

/// Writes tasks.
pub struct SpecWriter {
    ingestion: Box<dyn Ingestion>,
    settings: SpecSettings,
}

/// Stands in a task for a secret until it is handed in; nothing else looks like it.
pub(super) fn placeholder(number: usize) -> String {
    format!("${{secret:{number}}}")
}

impl SpecWriter {
    /// With an instance that was opened.
    pub fn new(ingestion: Box<dyn Ingestion>, settings: SpecSettings) -> Self {
        SpecWriter { ingestion, settings }
    }

    /// A task.
    ///
    /// # Errors
    /// What the component gives; class Bug: it wrote something else than it was asked for.
    pub fn task(&mut self, id: &str, mode: IngestMode, batches: &[BatchRef], intervals: &[Span]) -> Result<Spec> {
        let secrets = self.secrets().len();
        let task = TaskOf {
            id: id.to_owned(),
            into: self.settings.into.clone(),
            mode,
            batches: batches.to_vec(),
            intervals: intervals.to_vec(),
            access: self.access(mode),
            dialect: self.settings.dialect,
        };
        let text = self.ingestion.task(&task)?;
        Ok(Spec { value: spec_check::task(&text, &task, secrets)?, text })
    }

    fn access(&self, mode: IngestMode) -> FetchAccess {
        if mode == IngestMode::Reindex {
            return FetchAccess::default();
        }
        let mut numbers = 0..;
        let mut place = || SecretPlace::Placeholder(placeholder(numbers.next().unwrap_or_default()));
        let FetchSecrets { basic, headers } = &self.settings.fetch;
        FetchAccess {
            basic: basic.as_ref().map(|(user, secret)| match secret {
                FetchSecret::Environment(name) => (user.clone(), SecretPlace::Environment(name.clone())),
                FetchSecret::Given(_) => (user.clone(), place()),
            }),
            headers: headers.iter().map(|(name, _)| (name.clone(), place())).collect(),
        }
    }

    /// A task that merges segments in the service's own way.
    ///
    /// # Errors
    /// As for [`SpecWriter::task`].
    pub fn compaction(&mut self, id: &str, interval: Span) -> Result<String> {
        let text = self.ingestion.compaction(id, &self.settings.into, interval)?;
        spec_check::compaction(&text, id, &self.settings.into.name, interval)?;
        Ok(text)
    }

    /// A supervisor that loads a topic as it grows.
    ///
    /// # Errors
    /// As for [`SpecWriter::task`].
    pub fn supervisor(&mut self, topic: &str, bootstrap_servers: &str) -> Result<String> {
        let text = self.ingestion.supervisor(&self.settings.into, topic, bootstrap_servers)?;
        spec_check::supervisor(&text, &self.settings.into.name, topic, bootstrap_servers)?;
        Ok(text)
    }

    /// The text that is handed in: the secrets in their places. Not for any log or screen.
    ///
    /// # Errors
    /// Class Bug: what cannot be written as JSON.
    pub fn with_secrets(&self, spec: &Spec) -> Result<String> {
        let mut value = spec.value.clone();
        let secrets = self.secrets();
        each_text(&mut value, &mut |text| {
            let number = secrets.iter().enumerate().find(|(number, _)| *text == placeholder(*number));
            if let Some((_, secret)) = number {
                secret.expose().clone_into(text);
            }
        });
        serde_json::to_string(&value).or_bug("a task as JSON")
    }

    /// In the order of their placeholders.
    fn secrets(&self) -> Vec<&Secret> {
        let basic = match &self.settings.fetch.basic {
            Some((_, FetchSecret::Given(secret))) => Some(secret),
            _ => None,
        };
        basic.into_iter().chain(self.settings.fetch.headers.iter().map(|(_, secret)| secret)).collect()
    }
}

fn each_text(value: &mut Value, change: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(members) => members.iter_mut().for_each(|member| each_text(member, change)),
        Value::Object(members) => members.values_mut().for_each(|member| each_text(member, change)),
        _ => {}
    }
}
