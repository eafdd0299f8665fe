//! The demonstration's spool: its directories, when files are closed, what they are called.
//!
//! `options` reads the options into a plan, `name` writes and reads file names, `time` the instants
//! in them; this file joins them to the SDK's [`Layout`] and owns the data set's directories. Pure
//! functions: nothing here touches a file, keeps time or remembers a call. See `README.md` for the
//! form of a name and its limits.

mod name;
mod options;
mod time;

use connector_sdk::{Error, Identity, Layout, Place, Plan, Settings};
use options::Directories;

/// Longest name the world allows, directories included, bytes.
const MAX_NAME_BYTES: usize = 200;

/// The layout; see [`Layout`].
#[derive(Debug)]
pub struct SpoolLayout {
    directories: Directories,
}

impl Layout for SpoolLayout {
    fn open(connector: &str, settings: &Settings) -> Result<(Self, Plan), Error> {
        let (directories, plan) = options::read(connector, settings)?;
        Ok((SpoolLayout { directories }, plan))
    }

    fn name(&self, identity: &Identity, place: Place) -> Result<String, Error> {
        let file = name::write(identity)?;
        let name = match place {
            Place::Inbox => file,
            Place::Target => directory(self.directories, identity)? + &file,
        };
        if name.len() > MAX_NAME_BYTES {
            let (topic, found) = (identity.topic.len(), name.len());
            // More than the topic's length would be needed only if numbers alone could fill a name.
            let most = topic.saturating_sub(found - MAX_NAME_BYTES);
            return Err(Error::Config(format!(
                "topic `{}` has {topic} bytes, which makes a file name of {found}; expected a topic of at most \
                 {most} bytes, for names of at most {MAX_NAME_BYTES}",
                identity.topic
            )));
        }
        Ok(name)
    }

    /// Names of all three forms of `target.directories` are this layout's: after the option is changed,
    /// the data set holds both, and a sink that did not know the older ones would begin anew.
    fn parse(&self, name: &str) -> Option<Identity> {
        let (directories, file) =
            name.rsplit_once('/').map_or(("", name), |(_, file)| name.split_at(name.len() - file.len()));
        let identity = name::read(file)?;
        // Only what `name` makes is a name, whatever else could be read as one.
        let is_file = name::write(&identity).ok()? == file;
        let forms = [Directories::Flat, Directories::Day, Directories::Hour];
        let is_form = |form| directory(form, &identity).is_ok_and(|made| made == directories);
        (name.len() <= MAX_NAME_BYTES && is_file && forms.into_iter().any(is_form)).then_some(identity)
    }
}

/// Directories of the data set for a file, each with a slash behind it.
fn directory(form: Directories, identity: &Identity) -> Result<String, Error> {
    let at = name::instant(identity.first_ms)?;
    let day = format!("{:04}/{:02}/{:02}/", at.year, at.month, at.day);
    Ok(match form {
        Directories::Flat => String::new(),
        Directories::Day => day,
        Directories::Hour => format!("{day}{:02}/", at.hour),
    })
}

connector_sdk::export_layout!(SpoolLayout);

#[cfg(test)]
mod tests;
