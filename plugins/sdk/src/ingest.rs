//! Ingestions: the types, the trait, and the glue to the world `ingest`.

pub use crate::bindings::ingest::exports::connector::plugin::ingestion::{
    Access, Batch, Column, ColumnType, DataSource, Dialect, Granularity, Mode, Secret, Span, Stream, Task,
};

use crate::bindings::source::connector::plugin::types as wit;
use crate::{Error, Settings};

/// Writes what an indexing service is told to do: each text is one JSON object. Pure functions; the
/// host decides what is loaded and when, submits, and holds a text to what it was asked for: the
/// identifier, the data source and the addresses it gave, and no others.
pub trait Ingestion: Sized {
    /// Reads the options.
    ///
    /// # Errors
    /// Mostly [`Error::Config`].
    fn open(settings: &Settings) -> Result<Self, Error>;

    /// The text of a task. The same task always has the same text.
    ///
    /// # Errors
    /// [`Error::Config`] for what [`Task::dialect`] cannot say.
    fn task(&self, of: &Task) -> Result<String, Error>;

    /// The text of a task that merges the segments of one interval in the service's own way.
    ///
    /// # Errors
    /// As for [`Ingestion::task`].
    fn compaction(&self, id: &str, of: &DataSource, interval: Span) -> Result<String, Error>;

    /// The text of a supervisor that loads a topic as it grows.
    ///
    /// # Errors
    /// As for [`Ingestion::task`].
    fn supervisor(&self, into: &DataSource, of: &Stream) -> Result<String, Error>;
}

/// Holds the one instance of a component; made by [`export_ingestion!`](crate::export_ingestion).
#[derive(Debug)]
pub struct IngestionGlue<I>(Option<I>);

impl<I: Ingestion> IngestionGlue<I> {
    /// No instance yet.
    pub const fn new() -> Self {
        IngestionGlue(None)
    }

    /// The world's `open`.
    ///
    /// # Errors
    /// What [`Ingestion::open`] gives.
    pub fn open(&mut self, settings: Vec<wit::Setting>) -> Result<(), wit::PluginError> {
        self.0 = Some(I::open(&Settings::from(settings))?);
        Ok(())
    }

    /// The world's `write-task`.
    ///
    /// # Errors
    /// What [`Ingestion::task`] gives; a defect when the instance was not opened.
    pub fn task(&self, of: &Task) -> Result<String, wit::PluginError> {
        Ok(self.instance("write-task")?.task(of)?)
    }

    /// The world's `write-compaction`.
    ///
    /// # Errors
    /// What [`Ingestion::compaction`] gives; a defect when the instance was not opened.
    pub fn compaction(&self, id: &str, of: &DataSource, interval: Span) -> Result<String, wit::PluginError> {
        Ok(self.instance("write-compaction")?.compaction(id, of, interval)?)
    }

    /// The world's `write-supervisor`.
    ///
    /// # Errors
    /// What [`Ingestion::supervisor`] gives; a defect when the instance was not opened.
    pub fn supervisor(&self, into: &DataSource, of: &Stream) -> Result<String, wit::PluginError> {
        Ok(self.instance("write-supervisor")?.supervisor(into, of)?)
    }

    fn instance(&self, call: &str) -> Result<&I, Error> {
        self.0.as_ref().ok_or_else(|| Error::Bug(format!("{call} before open")))
    }
}

impl<I: Ingestion> Default for IngestionGlue<I> {
    fn default() -> Self {
        Self::new()
    }
}

/// Exports a type that implements [`Ingestion`] as this component's ingestion.
#[macro_export]
macro_rules! export_ingestion {
    ($ingestion:ty) => {
        // A native linker refuses the names that a component exports.
        #[cfg(target_arch = "wasm32")]
        mod __component {
            use super::*;
            use $crate::bindings::ingest::exports::connector::plugin::ingestion::Guest;
            use $crate::bindings::source::connector::plugin::types::{PluginError, Setting};
            use $crate::ingest::{DataSource, Span, Stream, Task};
            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<$crate::IngestionGlue<$ingestion>> =
                    const { ::std::cell::RefCell::new($crate::IngestionGlue::new()) };
            }
            struct Component;
            impl Guest for Component {
                fn open(settings: Vec<Setting>) -> Result<(), PluginError> {
                    INSTANCE.with_borrow_mut(|instance| instance.open(settings))
                }
                fn write_task(of: Task) -> Result<String, PluginError> {
                    INSTANCE.with_borrow(|instance| instance.task(&of))
                }
                fn write_compaction(id: String, of: DataSource, interval: Span) -> Result<String, PluginError> {
                    INSTANCE.with_borrow(|instance| instance.compaction(&id, &of, interval))
                }
                fn write_supervisor(into: DataSource, of: Stream) -> Result<String, PluginError> {
                    INSTANCE.with_borrow(|instance| instance.supervisor(&into, &of))
                }
            }
            $crate::bindings::ingest::export_ingest_world!(Component with_types_in $crate::bindings::ingest);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with what it was asked, after its option, and says so in the log.
    struct Echo(String);

    impl Ingestion for Echo {
        fn open(settings: &Settings) -> Result<Self, Error> {
            Ok(Echo(settings.text("mark")?.to_owned()))
        }

        fn task(&self, of: &Task) -> Result<String, Error> {
            if of.dialect == Dialect::Legacy {
                return Err(Error::Config("expected the current dialect".to_owned()));
            }
            crate::log::log(crate::log::Level::Info, &format!("task `{}`", of.id));
            Ok(format!("{} {} {}", self.0, of.id, of.into.name))
        }

        fn compaction(&self, id: &str, of: &DataSource, interval: Span) -> Result<String, Error> {
            Ok(format!("{} {id} {} {}", self.0, of.name, interval.end))
        }

        fn supervisor(&self, into: &DataSource, of: &Stream) -> Result<String, Error> {
            Ok(format!("{} {} {}", self.0, into.name, of.topic))
        }
    }

    fn data_source() -> DataSource {
        let column = Column { name: "page".to_owned(), kind: ColumnType::Text };
        DataSource {
            name: "edits".to_owned(),
            time_column: "timestamp".to_owned(),
            time_format: "iso".to_owned(),
            columns: vec![column],
            segments: Granularity::Day,
        }
    }

    fn task(dialect: Dialect) -> Task {
        Task {
            id: "t1".to_owned(),
            into: data_source(),
            mode: Mode::Append,
            batches: vec![Batch { uri: "http://h/1".to_owned(), records: 1, bytes: 9 }],
            intervals: vec![Span { start: 0, end: 86_400_000 }],
            access: Access { basic: None, headers: Vec::new() },
            dialect,
        }
    }

    fn stream() -> Stream {
        Stream { topic: "topic".to_owned(), bootstrap_servers: "b:9092".to_owned() }
    }

    #[test]
    fn the_glue_asks_the_instance_it_opened() {
        let mut glue = IngestionGlue::<Echo>::new();
        let setting = wit::Setting { key: "mark".to_owned(), value: "m".to_owned() };
        assert!(glue.open(vec![setting]).is_ok());
        assert_eq!(glue.task(&task(Dialect::Current)).ok().as_deref(), Some("m t1 edits"));
        assert_eq!(crate::fake::take_log(), ["info: task `t1`"]);
        let span = Span { start: 0, end: 7 };
        assert_eq!(glue.compaction("c1", &data_source(), span).ok().as_deref(), Some("m c1 edits 7"));
        assert_eq!(glue.supervisor(&data_source(), &stream()).ok().as_deref(), Some("m edits topic"));
        assert!(matches!(glue.task(&task(Dialect::Legacy)), Err(wit::PluginError::Config(_))));
    }

    #[test]
    fn before_open_there_is_no_answer() {
        let mut glue = IngestionGlue::<Echo>::new();
        assert!(matches!(glue.open(Vec::new()), Err(wit::PluginError::Config(_))));
        let span = Span { start: 0, end: 7 };
        let answers = [
            glue.task(&task(Dialect::Current)),
            glue.compaction("c1", &data_source(), span),
            glue.supervisor(&data_source(), &stream()),
        ];
        assert!(answers.iter().all(|answer| matches!(answer, Err(wit::PluginError::Bug(_)))));
    }
}
