//! Layouts: the trait, and the glue to the world `layout`.

use crate::bindings::layout::exports::connector::plugin::spool_layout::{Identity, Place, Plan};
use crate::bindings::source::connector::plugin::types as wit;
use crate::{Error, Settings};

/// Decides where a spool keeps its files, when a file is closed and what files are called. Pure
/// functions; the host checks everything they give before it uses it.
pub trait Layout: Sized {
    /// Prepares an instance; returns it with the plan for its life. `connector` is the
    /// connector's name, for the staging directory.
    ///
    /// # Errors
    /// Mostly [`Error::Config`].
    fn open(connector: &str, settings: &Settings) -> Result<(Self, Plan), Error>;

    /// The name of a file: 1 to 200 bytes, `/` between directories, which only a name for
    /// [`Place::Target`] has. The same identity always has the same name, and no other has it.
    ///
    /// # Errors
    /// [`Error::Config`] for what has no name here, such as a topic that is too long.
    fn name(&self, identity: &Identity, place: Place) -> Result<String, Error>;

    /// The inverse of [`Layout::name`]: what a name stands for; `None` for any text that `name`
    /// does not make, letter by letter. The text may be anything that a file can be called.
    fn parse(&self, name: &str) -> Option<Identity>;
}

/// Holds the one instance of a component; made by [`export_layout!`](crate::export_layout).
#[derive(Debug)]
pub struct LayoutGlue<L>(Option<L>);

impl<L: Layout> LayoutGlue<L> {
    /// No instance yet.
    pub const fn new() -> Self {
        LayoutGlue(None)
    }

    /// The world's `open`.
    ///
    /// # Errors
    /// What [`Layout::open`] gives.
    pub fn open(&mut self, connector: &str, settings: Vec<wit::Setting>) -> Result<Plan, wit::PluginError> {
        let (layout, plan) = L::open(connector, &Settings::from(settings))?;
        self.0 = Some(layout);
        Ok(plan)
    }

    /// The world's `name`.
    ///
    /// # Errors
    /// What [`Layout::name`] gives; a defect when the instance was not opened.
    pub fn name(&self, identity: &Identity, place: Place) -> Result<String, wit::PluginError> {
        let layout = self.0.as_ref().ok_or_else(|| Error::Bug("name before open".to_owned()))?;
        Ok(layout.name(identity, place)?)
    }

    /// The world's `parse`: one entry for each name. When the instance was not opened there are no
    /// entries, which the host takes for the defect it is; `None` would call its files strangers.
    pub fn parse(&self, names: &[String]) -> Vec<Option<Identity>> {
        let parse_all = |layout: &L| names.iter().map(|name| layout.parse(name)).collect();
        self.0.as_ref().map_or_else(Vec::new, parse_all)
    }
}

impl<L: Layout> Default for LayoutGlue<L> {
    fn default() -> Self {
        Self::new()
    }
}

/// Exports a type that implements [`Layout`] as this component's layout.
#[macro_export]
macro_rules! export_layout {
    ($layout:ty) => {
        // A native linker refuses the names that a component exports.
        #[cfg(target_arch = "wasm32")]
        mod __component {
            use super::*;
            use $crate::bindings::layout::exports::connector::plugin::spool_layout::{Guest, Identity, Place, Plan};
            use $crate::bindings::source::connector::plugin::types::{PluginError, Setting};
            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<$crate::LayoutGlue<$layout>> =
                    const { ::std::cell::RefCell::new($crate::LayoutGlue::new()) };
            }
            struct Component;
            impl Guest for Component {
                fn open(connector: String, settings: Vec<Setting>) -> Result<Plan, PluginError> {
                    INSTANCE.with_borrow_mut(|instance| instance.open(&connector, settings))
                }
                fn name(of: Identity, at: Place) -> Result<String, PluginError> {
                    INSTANCE.with_borrow(|instance| instance.name(&of, at))
                }
                fn parse(names: Vec<String>) -> Vec<Option<Identity>> {
                    INSTANCE.with_borrow(|instance| instance.parse(&names))
                }
            }
            $crate::bindings::layout::export_layout_world!(Component with_types_in $crate::bindings::layout);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rotation, Tree};

    /// Calls every file by its topic.
    struct ByTopic;

    impl Layout for ByTopic {
        fn open(connector: &str, settings: &Settings) -> Result<(Self, Plan), Error> {
            let inbox = settings.text("inbox")?.to_owned();
            let tree = Tree {
                staging: connector.to_owned(),
                inbox,
                tmp: "tmp".to_owned(),
                outbox: "outbox".to_owned(),
                wash: "wash".to_owned(),
                washd: "washd".to_owned(),
                quarantine: "quarantine".to_owned(),
                target: String::new(),
            };
            let rotation = Rotation { max_bytes: 1, max_records: 0, max_age_ms: 0 };
            Ok((ByTopic, Plan { tree, rotation, trash_retention_ms: 0 }))
        }

        fn name(&self, identity: &Identity, _place: Place) -> Result<String, Error> {
            Ok(identity.topic.clone())
        }

        fn parse(&self, name: &str) -> Option<Identity> {
            (!name.starts_with('.')).then(|| identity(name))
        }
    }

    fn identity(topic: &str) -> Identity {
        Identity { topic: topic.to_owned(), partition: 0, first: 0, next: 1, first_ms: 0, last_ms: 0, sequence: 0 }
    }

    #[test]
    fn the_glue_asks_the_instance_it_opened() {
        let mut glue = LayoutGlue::<ByTopic>::new();
        let setting = wit::Setting { key: "inbox".to_owned(), value: "in".to_owned() };
        let tree = glue.open("copy", vec![setting]).map(|plan| plan.tree);
        assert_eq!(tree.map(|tree| (tree.staging, tree.inbox)).ok(), Some(("copy".to_owned(), "in".to_owned())));
        assert_eq!(glue.name(&identity("t"), Place::Inbox).ok().as_deref(), Some("t"));
        let names = [".hidden".to_owned(), "t".to_owned()];
        assert_eq!(glue.parse(&names), [None, Some(identity("t"))]);
    }

    #[test]
    fn before_open_there_is_no_answer() {
        let mut glue = LayoutGlue::<ByTopic>::new();
        assert!(matches!(glue.name(&identity("t"), Place::Inbox), Err(wit::PluginError::Bug(_))));
        assert_eq!(glue.parse(&["t".to_owned()]), []);
        assert!(matches!(glue.open("copy", Vec::new()), Err(wit::PluginError::Config(_))));
        assert_eq!(glue.parse(&["t".to_owned()]), [], "an open that failed opened nothing");
    }
}
