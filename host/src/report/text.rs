//! Text from strangers, made fit for a terminal, a log file and JSON.

use std::borrow::Cow;

/// Whether a character would move the cursor, change colours, reorder what
/// stands beside it or start a new line.
pub(crate) fn is_unfit(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The text without terminal escapes and control characters; a line break
/// becomes `\n` in two characters, so that a message cannot imitate another.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\u{1b}' => skip_escape(&mut chars),
            c if is_unfit(c) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Skips what follows the escape character: a control sequence up to its final
/// character, or an operating-system command up to its end.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while chars.next_if(|c| !('\u{40}'..='\u{7e}').contains(c) && !c.is_control()).is_some() {}
            chars.next_if(|c| !c.is_control());
        }
        // The end of an operating-system command.
        Some('\\') => {
            chars.next();
        }
        Some(']') => while chars.next_if(|c| *c != '\u{7}' && *c != '\u{1b}' && *c != '\n').is_some() {},
        _ => {}
    }
}

/// At most `max` bytes of the text, cut between characters.
#[must_use]
pub fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_controls_are_removed() {
        assert_eq!(plain("plain text\twith a tab"), "plain text\twith a tab");
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}end"), "red end");
        assert_eq!(plain("one\r\ntwo\nthree\r"), "one\\ntwo\\nthree");
        assert_eq!(plain("a\u{202e}b\u{0}c\u{8}"), "abc");
        assert_eq!(plain("\u{1b}[31"), "");
        assert_eq!(plain("\u{1b}]8;;http://a\u{1b}\\link"), "link");
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("grün", 3), "gr");
        assert_eq!(cut("grün", 4), "grü");
        assert_eq!(cut("grün", 100), "grün");
    }
}
