//! A campaign through every named place, on a broker of its own.

use systems::kafka::Kafka;
use systems::or_skip;
use tests::campaign::{Broker, Place, visit_places};

#[test]
fn a_campaign_that_ends_at_every_named_place_loses_and_doubles_nothing() {
    let Some(kafka) = or_skip(Kafka::start()) else { return };
    let mut kafka = Some(kafka);
    let mut start = || kafka.take().map(|kafka| Box::new(kafka) as Box<dyn Broker>).ok_or("one run".to_owned());
    let totals = visit_places(4, 1500, &mut Place::Kafka(&mut start));
    assert!(totals.is_clean(), "{totals}");
    assert_eq!((totals.crashes.len(), totals.kills), (12, 0), "{totals}");
}
