//! The contract of logs, on Kafka.

use crate::support::{connect, kafka};
use tests::log_contract::{self, MissingTopics};

#[test]
fn kafka_keeps_the_contract_of_logs() {
    let Some(kafka) = kafka() else { return };
    log_contract::run(&connect(kafka.bootstrap()), "contract", MissingTopics::Refused);
}
