//! The plugin's options, read from their texts into what they mean.
//!
//! Invariant: defaults here and in `plugin.toml` are the same. Options that contradict each other
//! are refused; nothing is ignored in silence.

use connector_sdk::{Error, Settings};

/// Where the demonstration and the data set give different values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// As in the data set that the columns come from.
    Dataset,
    /// As in the demonstration's connector.
    Demo,
}

/// The options.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) rules: Rules,
    pub(crate) has_extra_columns: bool,
    /// Temporary accounts count as anonymous.
    pub(crate) counts_temporary: bool,
    pub(crate) wikis: Wikis,
}

impl Options {
    /// # Errors
    /// [`Error::Config`] naming the option.
    pub(crate) fn try_new(settings: &Settings) -> Result<Self, Error> {
        let rules = match settings.get("rules").unwrap_or("dataset") {
            "dataset" => Rules::Dataset,
            "demo" => Rules::Demo,
            other => {
                return Err(Error::Config(format!("option `rules` is `{other}`, expected `dataset` or `demo`")));
            }
        };
        let counts_temporary = boolean(settings, "anonymous.temporary")?;
        if counts_temporary && rules == Rules::Demo {
            let message =
                "option `anonymous.temporary` is `true`, but under option `rules` = `demo` nobody is anonymous";
            return Err(Error::Config(message.to_owned()));
        }
        let has_extra_columns = boolean(settings, "extra.columns")?;
        Ok(Options { rules, has_extra_columns, counts_temporary, wikis: Wikis::try_new(settings)? })
    }
}

fn boolean(settings: &Settings, key: &str) -> Result<bool, Error> {
    if settings.get(key).is_some() { settings.parse(key) } else { Ok(false) }
}

/// Which wikis are wanted; all when none is named.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wikis {
    ids: Vec<String>,
    channels: Vec<String>,
}

impl Wikis {
    fn try_new(settings: &Settings) -> Result<Self, Error> {
        let mut wikis = Wikis::default();
        let names = settings.get("wikis").unwrap_or("").split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            if name == "#" || name.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '"')) {
                let expected = "expected ids such as `enwiki` or channels such as `#en.wikipedia`";
                return Err(Error::Config(format!("option `wikis` names `{}`, {expected}", name.escape_debug())));
            }
            let list = if name.starts_with('#') { &mut wikis.channels } else { &mut wikis.ids };
            list.push(name.to_owned());
        }
        Ok(wikis)
    }

    /// Whether a wiki with this id and channel is wanted.
    pub(crate) fn want(&self, id: Option<&str>, channel: &str) -> bool {
        let is_all = self.ids.is_empty() && self.channels.is_empty();
        is_all || self.channels.iter().any(|c| c == channel) || self.ids.iter().any(|i| Some(i.as_str()) == id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<Options, Error> {
        Options::try_new(&pairs.iter().copied().collect())
    }

    #[test]
    fn defaults_are_those_of_the_manifest() {
        let options = options(&[]).unwrap();
        assert_eq!(options.rules, Rules::Dataset);
        assert!(!options.has_extra_columns && !options.counts_temporary);
        let manifest = include_str!("../plugin.toml");
        for (name, default) in
            [("rules", "\"dataset\""), ("extra.columns", "false"), ("anonymous.temporary", "false"), ("wikis", "\"\"")]
        {
            let option = manifest.split("[[options]]").find(|o| o.contains(&format!("name = \"{name}\""))).unwrap();
            assert!(option.contains(&format!("default = {default}\n")), "{name}");
        }
        assert_eq!(manifest.matches("[[options]]").count(), 4);
    }

    #[test]
    fn wikis_are_named_by_id_or_channel() {
        let wikis = options(&[("wikis", " enwiki, #de.wikipedia,,")]).unwrap().wikis;
        assert!(wikis.want(Some("enwiki"), "#en.wikipedia"));
        assert!(wikis.want(None, "#de.wikipedia"));
        assert!(!wikis.want(Some("frwiki"), "#fr.wikipedia"));
        assert!(!wikis.want(None, "#en.wikipedia"));
        assert!(options(&[]).unwrap().wikis.want(None, "#any"));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_name() {
        for (pairs, expected) in [
            (&[("rules", "both")][..], "option `rules` is `both`, expected `dataset` or `demo`"),
            (&[("extra.columns", "yes")], "option `extra.columns` is `yes`, expected a value of type bool"),
            (
                &[("wikis", "en wiki")],
                "option `wikis` names `en wiki`, expected ids such as `enwiki` or channels such as `#en.wikipedia`",
            ),
            (
                &[("rules", "demo"), ("anonymous.temporary", "true")],
                "option `anonymous.temporary` is `true`, but under option `rules` = `demo` nobody is anonymous",
            ),
        ] {
            let error = options(pairs).unwrap_err();
            assert!(matches!(&error, Error::Config(text) if text == expected), "{error}");
        }
    }
}
