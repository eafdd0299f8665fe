//! The real ledger and the real plan on the real embedded log, driven step by step by a random script as
//! `host/src/ingest/loading.rs` drives them, by two hosts: each batch is stored by one task, whatever is
//! lost in between. The loop itself is not public, so its order of steps is written down here again.

use host::connector::{Granularity, IngestMode};
use host::ingest::next_load;
use host::ingest::{BatchEntry, BatchFacts, BatchState, Change, Job, Ledger, PlanSettings, TaskEntry, TaskStage};
use host::io::embedded::EmbeddedLog;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAME: &str = "ingestion";

/// A step; the first number names the host.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A batch is found, by who looks first.
    Find(usize),
    /// One step of loading, in which an answer may be lost.
    Load(usize, Lost),
    /// It dies and is started again, which ends the other one.
    Restart(usize),
    /// All tasks of the service end: whether well.
    Run(bool),
}

/// What of a hand-in is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Nothing,
    Answer,
    All,
}

fn step() -> impl Strategy<Value = Step> {
    let lost = prop_oneof![3 => Just(Lost::Nothing), 1 => Just(Lost::Answer), 1 => Just(Lost::All)];
    prop_oneof![
        2 => (0..2usize).prop_map(Step::Find),
        8 => (0..2usize, lost).prop_map(|(host, lost)| Step::Load(host, lost)),
        2 => (0..2usize).prop_map(Step::Restart),
        2 => any::<bool>().prop_map(Step::Run),
    ]
}

/// Tasks of the service: their batches, and how they ended.
#[derive(Default)]
struct Service(BTreeMap<String, (Vec<String>, Option<bool>)>);

/// A host: its ledger while it lives, and what it wrote down and has not handed in.
#[derive(Default)]
struct Host {
    ledger: Option<Ledger>,
    in_hand: Option<String>,
}

fn settings() -> PlanSettings {
    PlanSettings {
        data_source: "wikipedia".to_owned(),
        mode: IngestMode::Append,
        granularity: Granularity::Day,
        max_batches: 3,
        merge_min_tasks: 100,
    }
}

impl Host {
    fn restart(&mut self, log: &EmbeddedLog) {
        *self = Host { ledger: Some(Ledger::open(log, NAME).unwrap()), in_hand: None };
    }

    /// A change; who was replaced ends with it.
    fn write(&mut self, change: Change) {
        if self.ledger.as_mut().is_some_and(|ledger| ledger.write(change).is_err()) {
            *self = Host::default();
        }
    }

    fn find(&mut self) {
        let Some(ledger) = &self.ledger else { return };
        let number = ledger.book().batches.len() as u64;
        let facts = BatchFacts {
            number,
            records: 10,
            bytes: 100,
            sha256: format!("digest {number}"),
            times: Some((0, 1)),
            chunks: vec![(0, 86_400_000)],
            skipped: BTreeMap::new(),
            members: Vec::new(),
        };
        let entry = BatchEntry { state: BatchState::Waiting, task: None, since_ms: 0, facts };
        self.write(Change { batches: vec![(format!("batch {number}"), entry)], tasks: Vec::new() });
    }

    fn load(&mut self, service: &mut Service, lost: Lost) {
        let Some(ledger) = &self.ledger else { return };
        if let Some(id) = self.in_hand.take() {
            return self.hand_in(&id, service, lost);
        }
        let Some((id, mut task)) = ledger.book().open_task().map(|(id, task)| (id.clone(), task.clone())) else {
            let job = next_load(ledger.book(), &settings(), &|_| true).unwrap();
            return job.into_iter().for_each(|job| self.begin(job));
        };
        match service.0.get(&id).map(|(_, ended)| *ended) {
            None => self.in_hand = Some(id),
            Some(None) => {}
            Some(Some(is_good)) => {
                let stage = if is_good { TaskStage::Success } else { TaskStage::Failed };
                let change = ledger.book().end(&id, &mut task, stage, None);
                self.write(change);
            }
        }
    }

    fn begin(&mut self, job: Job) {
        let Some(ledger) = &self.ledger else { return };
        let taken = job.batches.iter().map(|name| {
            let mut batch = ledger.book().batches[name].clone();
            (batch.state, batch.task) = (BatchState::Taken, Some(job.id.clone()));
            (name.clone(), batch)
        });
        let batches = taken.collect();
        let entry = TaskEntry::new(job.mode, job.attempt, job.batches, &job.intervals, job.rows);
        self.write(Change { batches, tasks: vec![(job.id.clone(), entry)] });
        if self.ledger.is_some() {
            self.in_hand = Some(job.id);
        }
    }

    fn hand_in(&mut self, id: &str, service: &mut Service, lost: Lost) {
        let Some(ledger) = &self.ledger else { return };
        let mut task = ledger.book().tasks[id].clone();
        if lost != Lost::All {
            service.0.entry(id.to_owned()).or_insert((task.batches.clone(), None));
        }
        if lost == Lost::Nothing {
            task.stage = TaskStage::Submitted;
            self.write(Change { batches: Vec::new(), tasks: vec![(id.to_owned(), task)] });
        }
    }
}

impl Service {
    fn run(&mut self, is_good: bool) {
        for (_, ended) in self.0.values_mut() {
            ended.get_or_insert(is_good);
        }
    }

    /// How many tasks stored each batch.
    fn stored(&self) -> BTreeMap<&String, usize> {
        let mut stored = BTreeMap::new();
        let good = self.0.values().filter(|(_, ended)| *ended == Some(true));
        good.flat_map(|(batches, _)| batches).for_each(|batch| *stored.entry(batch).or_default() += 1);
        stored
    }
}

fn check(steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), None).unwrap();
    let (mut hosts, mut service) = ([Host::default(), Host::default()], Service::default());
    hosts[0].restart(&log);
    for step in steps {
        match *step {
            Step::Find(host) => hosts[host].find(),
            Step::Load(host, lost) => hosts[host].load(&mut service, lost),
            Step::Restart(host) => hosts[host].restart(&log),
            Step::Run(is_good) => service.run(is_good),
        }
        assert!(service.stored().values().all(|count| *count == 1), "{:?}", service.0);
    }
    // From here on nothing goes wrong.
    hosts[0].restart(&log);
    for _ in 0..10 + 10 * steps.len() {
        hosts[0].load(&mut service, Lost::Nothing);
        service.run(true);
    }
    let book = hosts[0].ledger.as_ref().unwrap().book();
    assert!(book.batches.values().all(|batch| batch.state == BatchState::Ingested), "{book:?}");
    let stored = service.stored();
    assert_eq!(stored.keys().copied().collect::<Vec<_>>(), book.batches.keys().collect::<Vec<_>>());
    assert!(stored.values().all(|count| *count == 1), "{:?}", service.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_batch_is_stored_by_one_task(steps in prop::collection::vec(step(), 0..40)) {
        check(&steps);
    }
}
