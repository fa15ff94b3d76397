//! The header `Link` (RFC 8288), as far as pages need it.

/// The target of the first link whose relation is `next`.
pub(super) fn next<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    let links = headers.filter(|(name, _)| name.eq_ignore_ascii_case("link"));
    links.map(|(_, value)| value).find_map(in_value)
}

/// In `<one>; rel="prev", <two>; rel="next last"`.
fn in_value(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, parameters) = after.split_once('>')?;
        let (is_next, after) = relation(parameters);
        if is_next {
            return Some(target.trim());
        }
        rest = after;
    }
}

/// Whether the parameters up to the next link say `rel=next`, and what stands
/// behind them.
fn relation(mut rest: &str) -> (bool, &str) {
    // Only the first `rel` counts.
    let mut relation = None;
    loop {
        rest = rest.trim_start();
        let Some(after) = rest.strip_prefix(';') else { break };
        let end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            rest = after;
            continue;
        };
        let (value, after) = parameter(after.trim_start());
        if name.trim().eq_ignore_ascii_case("rel") {
            relation.get_or_insert(value);
        }
        rest = after;
    }
    let words = relation.unwrap_or_default().split_ascii_whitespace();
    (words.into_iter().any(|word| word.eq_ignore_ascii_case("next")), rest)
}

/// A parameter's value, quoted or not, and what stands behind it.
fn parameter(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([';', ',']).unwrap_or(text.len()));
        return (value.trim(), rest);
    };
    let mut escaped = false;
    for (at, letter) in quoted.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (value, rest) = quoted.split_at(at);
                return (value, rest.strip_prefix('"').unwrap_or(rest));
            }
            _ => {}
        }
    }
    (quoted, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_page() {
        for (value, want) in [
            (
                r#"<https://h/?page=2>; rel="next", <https://h/?page=9>; rel="last""#,
                Some("https://h/?page=2"),
            ),
            (r#"<https://h/?page=1>; rel="prev",<https://h/?page=3>;rel=next"#, Some("https://h/?page=3")),
            (r#"</a,b;c>; title="x, <y>; rel=\"next\""; rel="first", </z>; REL="last Next""#, Some("/z")),
            (r"<a>; rel=prev; rel=next", None),
            (r"<a>; next", None),
            (r#"<a>; rel="nextish""#, None),
            (r#"<a>; x; rel = "next""#, Some("a")),
            (r"<>; rel=next", Some("")),
            ("", None),
            ("nonsense", None),
            ("<a", None),
            (r#"<a>; rel="next"#, Some("a")),
            ("<a>,<b>; rel=next", Some("b")),
        ] {
            assert_eq!(in_value(value), want, "{value}");
        }
        let headers = [("Date", "x"), ("link", "<a>; rel=prev"), ("Link", "<b>; rel=next")];
        assert_eq!(next(headers.into_iter()), Some("b"));
    }
}
