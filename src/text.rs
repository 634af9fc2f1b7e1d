//! Text from outside (servers, registries, the Management API, scripts) before it reaches a log, a status, an event or
//! a terminal.

use std::borrow::Cow;

/// Quotation marks that people and programs put around a text.
pub const QUOTES: [char; 9] = ['"', '\'', '`', '“', '”', '‘', '’', '«', '»'];

/// Characters of a message of a server or registry that are repeated.
pub const MESSAGE: usize = 1000;

/// The text as a cell of a table in CSV: an apostrophe comes before one that a spreadsheet would run as a formula (OWASP, "CSV
/// Injection"). Amounts and Kubernetes names never begin like a formula.
pub fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text on one line, of at most `limit` characters, without characters that a terminal would execute or hide: control
/// characters (escape sequences among them) and Unicode's invisible and direction-changing characters. The work is
/// bounded by the limit, not by the length of the text.
pub fn line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let (mut count, mut gap) = (0, false);
    // Dropped characters are bounded as well: a text of spaces only is not read to its end.
    for character in text.chars().take(limit.saturating_mul(16)) {
        if character.is_whitespace() || character.is_control() {
            gap = count > 0;
            continue;
        }
        if is_invisible(character) {
            continue;
        }
        if count + usize::from(gap) >= limit {
            line.push('…');
            return line;
        }
        if gap {
            line.push(' ');
            count += 1;
            gap = false;
        }
        line.push(character);
        count += 1;
    }
    line
}

/// The kept part of a text: its first bytes, in memory of their own. `…` means that it was cut.
pub fn kept(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut kept = text[..text.floor_char_boundary(bytes)].to_owned();
    kept.push('…');
    kept.shrink_to_fit();
    kept
}

/// The first characters of a text that the operator has put together, for a status, an event or a log: a control
/// character becomes a space, and what is invisible is dropped. A text that was cut ends in `…`, which counts.
pub fn shown(text: &str, limit: usize) -> String {
    let visible = text.chars().filter(|c| !is_invisible(*c));
    let mut visible = visible.map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = visible.by_ref().take(limit).collect();
    if visible.next().is_some() && shown.pop().is_some() {
        shown.push('…');
    }
    shown
}

/// A text of at most so many bytes that the operator has put together. What is longer ends between two words outside of
/// a quoted name, in `…` and the number of characters that are missing.
pub fn whole_words(text: &str, bytes: usize) -> String {
    /// As long as the end may be.
    const END: usize = "… (18446744073709551615 more characters)".len();
    let whole = shown(text, text.len());
    if whole.len() <= bytes {
        return whole;
    }
    let room = &whole[..whole.floor_char_boundary(bytes.saturating_sub(END))];
    let (mut quoted, mut between, mut anywhere) = (false, None, None);
    for (at, character) in room.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ' ' => {
                anywhere = Some(at);
                between = if quoted { between } else { Some(at) };
            }
            _ => {}
        }
    }
    // A quotation mark that stands alone must not lose the most of the text.
    let cut = between
        .filter(|at| *at > room.len() / 2)
        .or(anywhere)
        .unwrap_or(room.len());
    let kept = room[..cut].trim_end_matches([' ', ',', ';', ':']);
    let missing = whole[kept.len()..].chars().count();
    format!("{kept}… ({missing} more characters)")
}

/// A number for a message that many objects repeat: it stays the same while a large number changes a little, since each
/// change is a write for each of them.
pub fn about(count: usize) -> String {
    const EXACT: usize = 20;
    if count <= EXACT {
        return count.to_string();
    }
    let mut below = EXACT;
    for factor in [5, 2].into_iter().cycle() {
        // 20, 100, 200, 1000, 2000, …
        let Some(next) = below.checked_mul(factor).filter(|next| *next < count) else {
            break;
        };
        below = next;
    }
    format!("more than {below}")
}

/// A text of several lines for a terminal: as [`line()`], but line feeds and tabs stay, and nothing is cut off.
pub fn lines(text: &str) -> String {
    let shown = |c: &char| matches!(c, '\n' | '\t') || !(c.is_control() || is_invisible(*c));
    text.chars().filter(shown).collect()
}

/// `a, b and 3 more`: the first `most` of these names, and how many of `total` are not named.
pub fn names<T: AsRef<str>>(names: &[T], most: usize, total: usize) -> String {
    first(names, most, total, (", ", " "))
}

/// `a; b; and 3 more`: as [`names`], for texts that hold commas.
pub fn clauses<T: AsRef<str>>(clauses: &[T], most: usize) -> String {
    first(clauses, most, clauses.len(), ("; ", "; "))
}

fn first<T: AsRef<str>>(texts: &[T], most: usize, total: usize, (between, last): (&str, &str)) -> String {
    let shown: Vec<_> = texts.iter().take(most).map(AsRef::as_ref).collect();
    match more(total, shown.len()) {
        None => shown.join(between),
        Some(more) => format!("{}{last}{more}", shown.join(between)),
    }
}

/// `and 3 more`; none when nothing is left.
pub fn more(total: usize, shown: usize) -> Option<String> {
    (total > shown).then(|| format!("and {} more", total - shown))
}

/// Characters that change the direction of the text around them, or are not seen: with them a text reads
/// differently from what it says (<https://trojansource.codes>).
pub fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_number_is_exact_and_a_large_one_changes_seldom() {
        let told = [0, 1, 20, 21, 100, 101, 200, 201, 1000, 1001, 5000].map(about);
        let expected = [
            "0",
            "1",
            "20",
            "more than 20",
            "more than 20",
            "more than 100",
            "more than 100",
            "more than 200",
            "more than 200",
            "more than 1000",
            "more than 2000",
        ];
        assert_eq!(told, expected);
        assert_eq!(about(usize::MAX).split(' ').next(), Some("more"));
    }

    /// The text of a hostile server: colours, a cleared screen, a forged line, a title, reversed text, bare controls.
    const HOSTILE: &str =
        "a\u{1b}[31mb\u{1b}]0;title\u{7}\r\nINFO forged\u{202e}txt\u{2066}x\u{200b}\0\u{9b}2J\u{7f}\u{feff}end";

    #[test]
    fn a_long_note_ends_between_words_and_counts_the_rest() {
        assert_eq!(whole_words("a note\u{1b}", 1024), "a note ");
        let names: Vec<_> = (0..200).map(|number| format!("\"table number {number}\"")).collect();
        let note = format!("cannot read {}", names.join(", "));
        let cut = whole_words(&note, 1024);
        assert!(cut.len() <= 1024 && cut.len() > 950, "{cut}");
        let (kept, rest) = cut.split_once('…').unwrap_or_default();
        assert!(kept.ends_with('"') && kept.matches('"').count() % 2 == 0, "{cut}");
        let missing = note.chars().count() - kept.chars().count();
        assert_eq!(rest, format!(" ({missing} more characters)"));
        // Characters of several bytes, no spaces, and a quotation mark that stands alone.
        for text in ["é".repeat(2000), "x".repeat(2000), format!("\"{}", "word ".repeat(400))] {
            let cut = whole_words(&text, 1024);
            assert!(
                cut.len() <= 1024 && cut.len() > 900 && cut.ends_with("more characters)"),
                "{cut}"
            );
        }
    }

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        let all = ["a", "b", "c"];
        assert_eq!(names(&all, 3, 3), "a, b, c");
        assert_eq!(names(&all, 2, 3), "a, b and 1 more");
        assert_eq!(names(&all, 3, 9), "a, b, c and 6 more");
        assert_eq!(clauses(&all, 2), "a; b; and 1 more");
        assert_eq!(clauses::<&str>(&[], 2), "");
    }

    #[test]
    fn a_line_holds_nothing_that_a_terminal_carries_out() {
        let one = line(HOSTILE, 1000);
        assert_eq!(one, "a [31mb ]0;title INFO forgedtxtx 2J end");
        assert!(!one.chars().any(|c| c.is_control() || is_invisible(c)));
        assert_eq!(shown("a\nb\u{1b}\u{202e}  c", 5), "a b …");
        assert_eq!(
            (shown("abc", 3), shown("abcd", 3), shown("a", 0)),
            ("abc".into(), "ab…".into(), String::new())
        );
        assert_eq!(lines("a\tb\n\u{1b}[2Jc\r\u{202e}d"), "a\tb\n[2Jcd");
    }

    #[test]
    fn a_line_is_capped_in_characters() {
        assert_eq!(line("ééééé", 5), "ééééé");
        assert_eq!(line("éééééé", 5), "ééééé…");
        assert_eq!(line("  a \n b  ", 3), "a b");
        assert_eq!(line("aaa b", 3), "aaa…");
        assert_eq!(line("", 3), "");
        assert_eq!(line(&" ".repeat(1 << 20), 3), "");
        assert_eq!((kept("éé", 4), kept("ééé", 5)), ("éé".to_owned(), "éé…".to_owned()));
    }
}
