//! Commits whose end the host is not told: each is made once.

use crate::proxy::{Fault, Proxy};
use crate::support::{commit_of, commit_until_made, connect, id, values};
use host::error::ErrorClass;
use host::io::kafka::KafkaLog;
use host::ports::log::{KafkaSettings, Log, TopicSpec};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use systems::kafka::Kafka;
use systems::or_skip;

/// A broker that can only be reached through a proxy; one test at a time uses it.
struct Behind {
    proxy: Proxy,
    _kafka: Kafka,
}

fn behind() -> Option<MutexGuard<'static, Behind>> {
    static BEHIND: OnceLock<Result<Mutex<Behind>, String>> = OnceLock::new();
    let started = BEHIND.get_or_init(|| {
        let proxy = Proxy::start();
        let advertised = format!("PLAINTEXT://{}", proxy.address());
        // The broker looks for transactions past their time limit this often, 10 s otherwise.
        let often = ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500");
        let kafka = Kafka::start_with(&[("advertised.listeners", &advertised), often])?;
        proxy.lead_to(kafka.bootstrap());
        Ok(Mutex::new(Behind { proxy, _kafka: kafka }))
    });
    or_skip(started.as_ref().map(|behind| behind.lock().unwrap_or_else(PoisonError::into_inner)).map_err(Clone::clone))
}

/// One commit in three meets the fault; the caller gives it again as the host's task does.
fn check(topic: &str, fault: Fault) {
    let Some(behind) = behind() else { return };
    let at = behind.proxy.address();
    let mut settings = KafkaSettings::new(&at);
    if matches!(fault, Fault::Delay(_)) {
        settings.properties.push(("transaction.timeout.ms".to_owned(), "2000".to_owned()));
    }
    let log = KafkaLog::connect(settings).unwrap();
    log.create_topic(topic, TopicSpec::default()).unwrap();
    let mut writer = log.writer(&id(topic)).unwrap();
    writer.commit(&commit_of(topic, &["a"])).unwrap();
    behind.proxy.arm(fault);
    let unclear = commit_of(topic, &["b", "c"]);
    let error = writer.commit(&unclear).unwrap_err();
    assert!(behind.proxy.has_happened(), "the fault has not happened: {error}");
    assert_eq!(error.class(), ErrorClass::Retry, "{error}");
    behind.proxy.come_up();
    commit_until_made(writer.as_mut(), &unclear);
    writer.commit(&commit_of(topic, &["d"])).unwrap();
    assert_eq!(values(&at, topic), ["a", "b", "c", "d"]);
    let positions = log.positions(topic).unwrap();
    assert_eq!(positions.len(), 1);
    assert_eq!(positions[0].position, br#"{"last":"d"}"#);
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_made_twice() {
    check("answer-lost", Fault::LoseAnswer);
}

#[test]
fn a_commit_that_never_arrived_is_made() {
    check("request-lost", Fault::LoseRequest);
}

#[test]
fn a_commit_that_the_broker_ended_by_its_time_limit_is_made_and_is_no_takeover() {
    check("time-limit", Fault::Delay(Duration::from_secs(5)));
}

#[test]
fn an_older_writer_that_comes_back_after_a_newer_one_has_begun_is_at_its_end() {
    for (topic, fault) in [("back-request", Fault::LoseRequest), ("back-answer", Fault::LoseAnswer)] {
        let Some(behind) = behind() else { return };
        let at = behind.proxy.address();
        let log = connect(&at);
        log.create_topic(topic, TopicSpec::default()).unwrap();
        let mut older = log.writer(&id(topic)).unwrap();
        older.commit(&commit_of(topic, &["a"])).unwrap();
        behind.proxy.arm(fault);
        let unclear = commit_of(topic, &["b"]);
        let error = older.commit(&unclear).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Retry, "{error}");
        behind.proxy.come_up();
        // The newer one reads what the older has left, and goes on from there.
        let mut newer = connect(&at).writer(&id(topic)).unwrap();
        let last = log.positions(topic).unwrap()[0].position.clone();
        let expected: &[u8] = if fault == Fault::LoseAnswer { br#"{"last":"b"}"# } else { br#"{"last":"a"}"# };
        assert_eq!(last, expected, "{fault:?}");
        if fault == Fault::LoseRequest {
            newer.commit(&commit_of(topic, &["b"])).unwrap();
        }
        for _ in 0..2 {
            let error = older.commit(&unclear).unwrap_err();
            assert_eq!(error.class(), ErrorClass::Config, "{error}");
            assert!(error.to_string().contains("a newer writer has taken over"), "{error}");
        }
        // Not disturbed by the older one's end.
        newer.commit(&commit_of(topic, &["c"])).unwrap();
        assert_eq!(values(&at, topic), ["a", "b", "c"], "{fault:?}");
    }
}
