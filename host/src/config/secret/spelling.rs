//! The ways in which a value stands in texts: as it is, and as URLs, forms, JSON,
//! XML, Base64 and hexadecimal digits write it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::{Zeroize as _, Zeroizing};

/// Everything but what RFC 3986 calls unreserved.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What JavaScript's `encodeURIComponent` encodes.
const SCRIPT: &AsciiSet = &STRICT.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');

/// Shorter pieces of Base64 and of hexadecimal digits would hit other texts.
const SHORTEST_CODE: usize = 8;

/// The longest value whose Base64 and hexadecimal digits are looked for, in bytes.
const LONGEST_CODED: usize = 16 * 1024;

/// A text that is wiped.
pub(super) type Text = Zeroizing<String>;

/// Every spelling of a value, each once; the value itself first.
pub(super) fn spellings(value: &str) -> Vec<Text> {
    let mut all = Vec::new();
    let mut add = |text: Text| {
        // Most values are spelt the same everywhere.
        if !all.contains(&text) {
            all.push(text);
        }
    };
    add(Zeroizing::new(value.to_owned()));
    for text in [
        utf8_percent_encode(value, STRICT).to_string(),
        utf8_percent_encode(value, SCRIPT).to_string(),
        form_urlencoded::byte_serialize(value.as_bytes()).collect(),
    ] {
        let text = Zeroizing::new(text);
        add(with_small_digits(&text));
        add(text);
    }
    let json = in_json(value);
    let ascii = in_ascii(&json);
    add(slashes_escaped(&json));
    add(slashes_escaped(&ascii));
    add(markup_escaped(&json));
    add(markup_escaped(&ascii));
    add(json);
    add(ascii);
    add(in_xml(value));
    if value.len() <= LONGEST_CODED {
        codes(value.as_bytes()).into_iter().filter(|text| text.len() >= SHORTEST_CODE).for_each(add);
    }
    all
}

/// The digits of `%2F` as `%2f`.
fn with_small_digits(text: &str) -> Text {
    let mut small = Zeroizing::new(String::with_capacity(text.len()));
    let mut digits = 0;
    for c in text.chars() {
        small.push(if digits > 0 { c.to_ascii_lowercase() } else { c });
        digits = if c == '%' { 2 } else { i32::max(digits - 1, 0) };
    }
    small
}

/// The value inside a JSON text.
pub(crate) fn in_json(value: &str) -> Text {
    let mut quoted = Zeroizing::new(serde_json::to_string(value).unwrap_or_default());
    quoted.pop();
    if !quoted.is_empty() {
        quoted.remove(0);
    }
    quoted
}

/// JSON as Python writes it: no character beyond ASCII.
fn in_ascii(json: &str) -> Text {
    replaced(json, |c, out| {
        if c.is_ascii() {
            return false;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
        true
    })
}

/// JSON as PHP writes it.
fn slashes_escaped(json: &str) -> Text {
    replaced(json, |c, out| {
        let is_slash = c == '/';
        out.push_str(if is_slash { "\\/" } else { "" });
        is_slash
    })
}

/// JSON as Go writes it, to be safe inside HTML.
fn markup_escaped(json: &str) -> Text {
    replaced(json, |c, out| {
        let is_markup = matches!(c, '&' | '<' | '>');
        if is_markup {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
        is_markup
    })
}

/// The value as text of XML or HTML, or as an attribute.
pub(crate) fn in_xml(value: &str) -> Text {
    replaced(value, |c, out| {
        let name = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            _ => return false,
        };
        out.push_str(name);
        true
    })
}

fn replaced(text: &str, replace: impl Fn(char, &mut String) -> bool) -> Text {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    for c in text.chars() {
        if !replace(c, &mut out) {
            out.push(c);
        }
    }
    out
}

/// The value in Base64, wherever in a longer text it begins, and in hexadecimal
/// digits.
fn codes(value: &[u8]) -> Vec<Text> {
    let mut all = Vec::new();
    for shift in 0..3_usize {
        // Of the first and the last character a part belongs to what stands beside
        // the value: those that the value alone decides are looked for.
        let mut text = vec![0; shift];
        text.extend_from_slice(value);
        let own = (shift * 8).div_ceil(6)..text.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = Zeroizing::new(engine.encode(&text));
            all.push(Zeroizing::new(encoded.get(own.clone()).unwrap_or_default().to_owned()));
        }
        text.zeroize();
    }
    let mut digits = Zeroizing::new(String::with_capacity(value.len() * 2));
    value.iter().for_each(|byte| digits.push_str(&format!("{byte:02x}")));
    all.push(Zeroizing::new(digits.to_ascii_uppercase()));
    all.push(digits);
    all
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn spelt(value: &str) -> Vec<String> {
        spellings(value).iter().map(|text| text.to_string()).collect()
    }

    #[test]
    fn a_plain_value_has_few_spellings() {
        assert_eq!(
            spelt("hunter2hunter2"),
            [
                "hunter2hunter2",
                "aHVudGVyMmh1bnRlcj",
                "h1bnRlcjJodW50ZXIy",
                "odW50ZXIyaHVudGVyM",
                "68756E7465723268756E74657232",
                "68756e7465723268756e74657232",
            ]
        );
    }

    #[test]
    fn every_way_to_write_it_is_there() {
        let all = spelt("a/ü&\"<b> 'c");
        for text in [
            "a/ü&\"<b> 'c",
            "a%2F%C3%BC%26%22%3Cb%3E%20%27c",
            "a%2f%c3%bc%26%22%3cb%3e%20%27c",
            "a%2F%C3%BC%26%22%3Cb%3E%20'c",
            "a%2F%C3%BC%26%22%3Cb%3E+%27c",
            r#"a/ü&\"<b> 'c"#,
            r#"a\/ü&\"<b> 'c"#,
            r#"a/\u00fc&\"<b> 'c"#,
            r#"a\/\u00fc&\"<b> 'c"#,
            r#"a/ü\u0026\"\u003cb\u003e 'c"#,
            "a/ü&amp;&quot;&lt;b&gt; &#39;c",
        ] {
            assert!(all.contains(&text.to_owned()), "{text} is not in {all:#?}");
        }
    }

    #[test]
    fn base64_is_found_wherever_the_value_begins_and_ends() {
        for value in ["hunter2hunter", "hunter2hunter2", "hunter2hunter22"] {
            let all = spelt(value);
            for before in 0..7 {
                for after in 0..4 {
                    let text = format!(
                        "{}{value}{}",
                        "é:xyz~?".chars().take(before).collect::<String>(),
                        "\u{7f}".repeat(after)
                    );
                    for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                        assert!(
                            all.iter().any(|spelling| spelling.len() > 12 && encoded.contains(spelling)),
                            "{before} {after} {encoded}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn pieces_of_codes_that_are_too_short_are_not_looked_for() {
        assert_eq!(spelt("abc1"), ["abc1", "61626331"]);
    }
}
