//! A short campaign on the embedded log; `tests/systems` has the program that runs longer ones, also on Kafka.

use tests::campaign::{Options, Place, run, visit_places};

#[test]
fn a_short_campaign_loses_and_doubles_nothing() {
    let options = Options { seed: 1, runs: 2, duration: None, kills: 6, changes: 900 };
    let totals = run(&options, &mut Place::Embedded, &mut |line| eprintln!("{line}"));
    assert!(totals.is_clean(), "{totals}");
    // Many kinds of harm, or this says little.
    assert_eq!(totals.ended_lives(), options.runs * options.kills, "{totals}");
    assert!(totals.crashes.len() >= 3 && totals.harms.len() >= 6 && totals.found.records >= 1000, "{totals}");
}

#[test]
fn a_campaign_that_ends_at_every_named_place_loses_and_doubles_nothing() {
    let totals = visit_places(3, 1200, &mut Place::Embedded);
    assert!(totals.is_clean(), "{totals}");
    assert_eq!((totals.crashes.len(), totals.kills), (12, 0), "{totals}");
}
