//! How a source's task changes over to another version of its plugin, and back when that one misbehaves.

use super::converter::Converter;
use super::retry::until_done;
use super::source_task::{Chain, Life, SourceTask};
use super::stats::TaskStats;
use super::trial::{Pace, Trial};
use super::versions::{Swapped, Version};
use crate::connector::Schemas;
use crate::error::{Error, ErrorClass, Result};
use crate::ports::log::PositionEntry;
use std::time::Instant;

impl SourceTask {
    /// An instance of the version that is to run, opened; one on trial that cannot be is taken back.
    pub(super) fn open_version(&self, stats: &TaskStats, positions: &[PositionEntry]) -> Result<(Chain, Schemas)> {
        let opened = match open(&self.versions.current(), positions) {
            Err(error) if error.class() != ErrorClass::Retry && self.versions.is_on_trial() => {
                let old = self.forget_version(stats, &error).ok_or(error)?;
                open(&old, positions)?
            }
            opened => opened?,
        };
        stats.set_plugin(self.versions.current().label);
        Ok(opened)
    }

    /// Gives up the version on trial for the one before it, which is returned.
    fn forget_version(&self, stats: &TaskStats, error: &Error) -> Option<Version> {
        let (connector, new) = (self.settings.connector.as_str(), self.versions.current().label);
        let old = self.versions.take_back()?;
        tracing::error!(connector, plugin = new, %error, "the new version failed its trial and is taken back");
        stats.add_swap(format!("{new} taken back to {}: {error}", old.label));
        Some(old)
    }
}

impl Life<'_> {
    /// Changes over to another version, with nothing in hand; after an error the old one goes on.
    pub(super) fn change_over(&mut self, chain: &mut Chain, version: &Version) -> Result<Swapped> {
        let began = Instant::now();
        let (old, pace) = (self.task.versions.current(), self.pace);
        let connector = self.task.settings.connector.as_str();
        let mut left = self.put(chain, version).map_err(|error| {
            tracing::warn!(connector, plugin = version.label, %error, "the new version is refused");
            error.context(format!("plugin `{}` is refused", version.label))
        })?;
        let pause = began.elapsed();
        left.source.0.close();
        self.trial = Trial::begin(self.task.settings.trial, pace);
        if self.trial.is_none() {
            chain.source.0.passed();
        }
        self.task.versions.set_current(version.clone(), self.trial.is_some());
        let (from, to) = (old.label, version.label.clone());
        self.stats.add_swap(format!("{from} to {to}"));
        tracing::info!(connector, from, to, pause_us = pause.as_micros(), "changed over to a new version");
        Ok(Swapped { from, to, pause })
    }

    /// Goes back to the version before, which is given again what the new one had taken and not committed.
    pub(super) fn take_back(&mut self, chain: &mut Chain, error: &Error) -> Result<()> {
        self.trial = None;
        let old = self.task.forget_version(self.stats, error).ok_or_else(|| error.clone())?;
        if let Some(feed) = &self.task.feed {
            feed.rewind();
        }
        // The instance that failed is not called again.
        self.put(chain, &old).map(drop)
    }

    /// Opens an instance of a version where the last commit ends, in place of the one that is returned.
    fn put(&mut self, chain: &mut Chain, version: &Version) -> Result<Chain> {
        let settings = &self.task.settings;
        let ask = || self.task.log.positions(&settings.connector);
        let positions = until_done(self.stop, self.stats, settings.retries, ask)?;
        let (next, schemas) = open(version, &positions)?;
        self.converter = Converter::new(&schemas, settings.key_schemas, settings.value_schemas)?;
        self.stats.set_plugin(version.label.clone());
        self.pace = Pace::default();
        Ok(std::mem::replace(chain, next))
    }
}

fn open(version: &Version, positions: &[PositionEntry]) -> Result<(Chain, Schemas)> {
    let mut chain = (version.make)()?;
    let schemas = chain.open(positions)?;
    Ok((chain, schemas))
}
