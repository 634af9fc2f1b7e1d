//! The records of a CSV file as PostgreSQL's `COPY` splits them: a quotation mark counts at any position. The server
//! reads the rows; this names their columns and finds their lines.

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CsvRecord<'a> {
    /// The text without the end of its line.
    pub text: &'a str,
    /// Byte at which it begins.
    pub start: usize,
    /// Byte at which the next one begins.
    pub end: usize,
    /// Line of the file, from 1.
    pub line: usize,
}

/// The records of a text.
pub(super) fn records(text: &str) -> impl Iterator<Item = CsvRecord<'_>> {
    let (mut start, mut line) = (0, 1);
    std::iter::from_fn(move || {
        if start >= text.len() {
            return None;
        }
        let (length, rest) = record(&text[start..]);
        let found = CsvRecord {
            text: &text[start..start + length],
            start,
            end: start + length + rest,
            line,
        };
        let lines = &text[start..found.end];
        line += lines.matches('\n').count() + usize::from(rest == 1 && lines.ends_with('\r'));
        start = found.end;
        Some(found)
    })
}

/// The bytes of the first record, and those of the end of its line.
fn record(text: &str) -> (usize, usize) {
    let bytes = text.as_bytes();
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' if !quoted => return (at, 1 + usize::from(bytes.get(at + 1) == Some(&b'\n'))),
            b'\n' if !quoted => return (at, 1),
            _ => {}
        }
    }
    (bytes.len(), 0)
}

impl CsvRecord<'_> {
    /// The values.
    pub(super) fn fields(&self) -> Vec<String> {
        let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = self.text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    field.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(std::mem::take(&mut field)),
                other => field.push(other),
            }
        }
        fields.push(field);
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_as_copy_splits_them() {
        let text = "id,\"a\"\"b\",ab\"c,d\"e\r\n1,\"x\n\\.\ny\",\r\n\\.\r\n2,\"\"";
        let found: Vec<_> = records(text).collect();
        let fields: Vec<_> = found.iter().map(CsvRecord::fields).collect();
        assert_eq!(
            fields,
            [
                vec!["id", "a\"b", "abc,de"],
                vec!["1", "x\n\\.\ny", ""],
                vec!["\\."],
                vec!["2", ""]
            ]
        );
        assert_eq!(found.iter().map(|record| record.line).collect::<Vec<_>>(), [1, 2, 5, 6]);
        assert_eq!(found.last().map(|record| record.end), Some(text.len()));
        let old: Vec<_> = records("a\r1\r2").map(|record| (record.text, record.line)).collect();
        assert_eq!(old, [("a", 1), ("1", 2), ("2", 3)]);
    }
}
