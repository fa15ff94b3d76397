//! Primary keys: of every type, of several fields, and with every character.

use ow_storage::DataType::{Boolean, Bytes, Date, Decimal, Int64, Text, Timestamp};
use ow_storage::WriteMode::Merge;

use crate::kind::Edge;
use crate::values::{FIRST_DAY, FIRST_MOMENT, LAST_DAY, LAST_MOMENT, Value, cell, stream};
use crate::{Place, cells, row};

/// Pairs that fall together wherever keys are glued to one text.
pub fn keys_with_separators_and_quotes(place: &Place) {
    let schema = stream("pairs", &[("*a", Text), ("*b", Text), ("n", Int64)]);
    let mut pairs = vec![
        ("a|b", "c"),
        ("a", "b|c"),
        ("a,b", "c"),
        ("a", "b,c"),
        ("a\nb", "c"),
        ("a", "b\nc"),
        ("", "x"),
        ("x", ""),
        ("", ""),
        ("'", "\""),
        ("\"", "'"),
        ("''", "\"\""),
        ("\\", "\\'"),
        ("\\'", "\\"),
        ("null", "NULL"),
        ("a\u{1f}b", "c"),
        ("a", "b\u{1f}c"),
        ("🎉", "é"),
        ("e\u{301}", "é"),
        ("A", "a"),
        ("a", "A"),
        ("a ", "a"),
        ("a", "a "),
        ("a", "a"),
        ("`", "--"),
        (";", "/*"),
        ("$1", "?"),
    ];
    if place.kind.holds(Edge::Nul) {
        pairs.extend([("a\0b", "c"), ("a", "b\0c"), ("a\0", "c"), ("a", "\0c")]);
    }
    let rows = |plus: i64| pairs.iter().zip(plus..).map(|((a, b), n)| row![*a, *b, n]).collect::<Vec<_>>();
    place.load(&schema, Merge, &[&rows(0)]);
    place.load(&schema, Merge, &[&rows(500), &rows(1000)]);
    let expected: Vec<_> = pairs.iter().zip(1000_i64..).map(|((a, b), n)| cells![*a, *b, n]).collect();
    place.expect(&schema, &expected);
}

/// Keys of every type that may be one, at their edges.
pub fn keys_of_every_type(place: &Place) {
    let cases: [(_, Vec<Value>, Vec<Value>); 6] = [
        (Boolean, row![true, false], row![true, false]),
        (
            Int64,
            row![i64::MIN, i64::MAX, 0, 9_007_199_254_740_992_i64, 9_007_199_254_740_993_i64],
            row![i64::MIN, i64::MAX, 0, 9_007_199_254_740_992_i64, 9_007_199_254_740_993_i64],
        ),
        (Decimal(20, 2), row![-1, 0, 100], row!["-0.01", "0", "1"]),
        (Bytes, row![&b""[..], &b"\0"[..], &b"\0\xff"[..]], row!["", "00", "00ff"]),
        (Date, row![FIRST_DAY, 0, LAST_DAY], row!["0001-01-01", "1970-01-01", "9999-12-31"]),
        (
            Timestamp,
            row![FIRST_MOMENT, -1, LAST_MOMENT],
            row!["0001-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"],
        ),
    ];
    for (number, (data_type, keys, expected)) in cases.into_iter().enumerate() {
        let schema = stream(&format!("keys_{number}"), &[("*k", data_type), ("n", Int64)]);
        for round in 0..2 {
            let rows: Vec<_> = keys.iter().map(|key| vec![key.clone(), round.into()]).collect();
            place.load(&schema, Merge, &[&rows]);
        }
        let expected: Vec<_> =
            expected.into_iter().map(|key| vec![cell(key), Some("1".to_owned())]).collect();
        place.expect(&schema, &expected);
    }
}

/// A key of all fields: there is nothing to update.
pub fn a_key_of_all_fields(place: &Place) {
    let schema = stream("all_key", &[("*a", Int64), ("*b", Text)]);
    place.load(&schema, Merge, &[&[row![1, "x"], row![1, "x"], row![1, "y"]]]);
    place.load(&schema, Merge, &[&[row![1, "x"], row![2, "x"]]]);
    place.expect(&schema, &[cells![1, "x"], cells![1, "y"], cells![2, "x"]]);
}

/// Key fields that are not the first, and not in the order of the fields.
pub fn a_key_in_another_order(place: &Place) {
    let mut schema = stream("ordered", &[("n", Int64), ("*a", Text), ("*b", Int64)]);
    schema.primary_key.reverse();
    place.load(&schema, Merge, &[&[row![1, "x", 1], row![2, "x", 2]]]);
    place.load(&schema, Merge, &[&[row![3, "x", 1]]]);
    place.expect(&schema, &[cells![3, "x", 1], cells![2, "x", 2]]);
}
