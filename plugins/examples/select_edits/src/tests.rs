//! The rules of selection, case by case.

#![allow(clippy::unwrap_used)]
use super::*;
use connector_sdk::BatchBuilder;

const DEFAULTS: [(&str, &str); 3] = [("robots", "keep"), ("min.delta", "0"), ("namespaces", "")];
const ROBOT: &str = r#"{"isRobot":true,"delta":-60,"namespace":"User talk"}"#;
const PERSON: &str = r#"{"isRobot":false,"delta":5,"namespace":"Main"}"#;

/// Opens with the defaults of `plugin.toml`, which the host fills in, and these on top.
fn open(options: &[(&str, &str)]) -> Result<SelectEdits, Error> {
    let settings: Settings = DEFAULTS.iter().chain(options).copied().collect();
    let input = Schemas { key: None, value: Some("{}".to_owned()) };
    let (transform, output) = SelectEdits::open(&settings, input)?;
    assert_eq!((output.key, output.value.as_deref()), (None, Some("{}")));
    Ok(transform)
}

fn judge(options: &[(&str, &str)], value: &str) -> Verdict {
    open(options).unwrap().judge(Some(value.as_bytes()))
}

#[test]
fn each_option_keeps_what_it_says() {
    for (options, robot, person) in [
        (("robots", "keep"), Verdict::Keep, Verdict::Keep),
        (("robots", "drop"), Verdict::Skip("robot"), Verdict::Keep),
        (("robots", "only"), Verdict::Keep, Verdict::Skip("no robot")),
        (("min.delta", "5"), Verdict::Keep, Verdict::Keep),
        (("min.delta", "6"), Verdict::Keep, Verdict::Skip("small change")),
        (("min.delta", "61"), Verdict::Skip("small change"), Verdict::Skip("small change")),
        (("namespaces", " User talk, Talk"), Verdict::Keep, Verdict::Skip("other namespace")),
        (("namespaces", "Main"), Verdict::Skip("other namespace"), Verdict::Keep),
    ] {
        assert_eq!(judge(&[options], ROBOT), robot, "{options:?}");
        assert_eq!(judge(&[options], PERSON), person, "{options:?}");
    }
}

#[test]
fn what_cannot_be_judged_is_rejected_with_the_reason() {
    for (value, reason) in [
        ("", "value is not a json object"),
        ("[true,1,\"Main\"]", "value is not a json object"),
        ("{\"delta\":1", "value is not json at line 1 column 10"),
        ("{\"delta\":\"much\"}", "value holds a column of another type at line 1 column 15"),
        ("{}", "record has no column `delta`, which option `min.delta` needs"),
    ] {
        assert_eq!(judge(&[("min.delta", "1")], value), Verdict::Reject(reason.to_owned()), "{value}");
    }
    let no_value = "record has no value, expected a json object".to_owned();
    assert_eq!(open(&[]).unwrap().judge(None), Verdict::Reject(no_value));
    assert_eq!(judge(&[], "{}"), Verdict::Keep, "no option asks for a column");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    for (option, expected) in [
        (("robots", "maybe"), "option `robots` is `maybe`, expected `keep`, `drop` or `only`"),
        (("min.delta", "-1"), "option `min.delta` is `-1`, expected a value of type u64"),
    ] {
        assert_eq!(open(&[option]).err(), Some(Error::Config(expected.to_owned())));
    }
}

#[test]
fn a_kept_record_passes_unchanged_and_the_others_give_none() {
    let mut transform = open(&[("robots", "drop")]).unwrap();
    let mut out = Transformed::default();
    for value in [ROBOT, PERSON, "nonsense"] {
        let record = Record { key: Some(b"k"), value: Some(value.as_bytes()), headers: &[], timestamp: 7 };
        transform.transform(&record, &mut out).unwrap();
    }
    let mut expected = BatchBuilder::default();
    expected.push(Some(b"k"), Some(PERSON.as_bytes()), 7);
    assert_eq!(out.records.into_records(), expected.into_records());
}
