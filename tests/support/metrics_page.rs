//! The metrics of a page in the `OpenMetrics` format, and those of the table in `docs/metrics.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What the table begins and ends with.
const BEGIN: &str = "| Metric | Type | Labels | Unit | Meaning |\n|---|---|---|---|---|\n";

/// A family of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name as queries use it: that of a counter ends in `_total`.
    pub name: String,
    pub kind: String,
    /// Names of its labels.
    pub labels: Vec<String>,
    pub unit: String,
    pub help: String,
}

/// The families of a page that have samples.
pub fn families(page: &str) -> Vec<Family> {
    let mut found: Vec<Family> = Vec::new();
    let mut units = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, text)) = about(line, "HELP") {
            found.push(Family {
                name: name.into(),
                kind: String::new(),
                labels: Vec::new(),
                unit: String::new(),
                help: text.trim_end_matches('.').into(),
            });
        } else if let Some((name, kind)) = about(line, "TYPE") {
            let family = found.last_mut().filter(|family| family.name == name);
            family.unwrap_or_else(|| panic!("{name} has no help")).kind = kind.into();
        } else if let Some((name, unit)) = about(line, "UNIT") {
            units.insert(name.to_owned(), unit.to_owned());
        } else if !line.starts_with('#') {
            let family = found.last_mut().expect("a sample comes after its family");
            let (sample, labels) = sample(line);
            assert!(sample.starts_with(&family.name), "{line}");
            let labels: Vec<_> = labels.into_iter().filter(|label| label != "le").collect();
            assert!(
                family.labels.is_empty() || family.labels == labels,
                "{line}: labels of a family differ"
            );
            family.labels = labels;
        }
    }
    for family in &mut found {
        family.unit = units.remove(&family.name).unwrap_or_else(|| unit(family));
        if family.kind == "counter" {
            family.name.push_str("_total");
        }
    }
    found
}

fn about<'a>(line: &'a str, what: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix("# ")?
        .strip_prefix(what)?
        .strip_prefix(' ')?
        .split_once(' ')
}

/// Name and names of the labels of a sample.
fn sample(line: &str) -> (&str, Vec<String>) {
    let Some((name, rest)) = line.split_once('{').filter(|(name, _)| !name.contains(' ')) else {
        return (line.split(' ').next().unwrap_or_default(), Vec::new());
    };
    let (mut labels, mut label, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for next in rest.chars() {
        match next {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '}' => break,
            '=' => labels.push(std::mem::take(&mut label)),
            ',' => {}
            other => label.push(other),
        }
    }
    (name, labels)
}

/// The unit that the name ends in, or the currency of amounts of money.
fn unit(family: &Family) -> String {
    if family.labels.iter().any(|label| label == "currency") {
        return "the currency".to_owned();
    }
    let units = ["seconds", "bytes", "percent"];
    let named = units.iter().find(|unit| family.name.ends_with(&format!("_{unit}")));
    named.map_or_else(String::new, ToString::to_string)
}

/// The table of families, by name.
pub fn table(families: &[Family]) -> String {
    let mut families = families.to_vec();
    families.sort_by(|one, other| one.name.cmp(&other.name));
    let mut table = BEGIN.to_owned();
    for family in families {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let Family {
            name, kind, unit, help, ..
        } = &family;
        let cells = [
            format!("`{name}`"),
            kind.clone(),
            labels.join(", "),
            unit.clone(),
            help.clone(),
        ];
        let row: String = cells
            .iter()
            .map(|cell| format!(" {cell} |").replace("  |", " |"))
            .collect();
        let _ = writeln!(table, "|{row}");
    }
    table
}

/// The table of a page of documentation, as it is there.
pub fn documented_table(page: &str) -> String {
    let begin = page.find(BEGIN).expect("the page has the table");
    let rows = page[begin..].split_inclusive('\n');
    rows.take_while(|line| line.starts_with('|')).collect()
}

/// The families that the table has.
pub fn documented(page: &str) -> Vec<Family> {
    let table = documented_table(page);
    let rows = table.lines().skip(2).map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, help] = cells[..] else {
            panic!("{row}: not five cells");
        };
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        Family {
            name: plain(name),
            kind: kind.into(),
            labels: labels
                .split(", ")
                .filter(|label| !label.is_empty())
                .map(plain)
                .collect(),
            unit: unit.into(),
            help: help.into(),
        }
    });
    rows.collect()
}

/// The names of metrics in an expression of Prometheus: of a histogram that of the family.
pub fn names_in(expression: &str) -> Vec<String> {
    let words = expression.split(|next: char| !(next.is_ascii_alphanumeric() || next == '_' || next == ':'));
    let metrics = words.filter(|word| word.starts_with("orchestra_"));
    let family = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| word.strip_suffix(part));
        base.unwrap_or(word).to_owned()
    };
    let mut names: Vec<_> = metrics.map(family).collect();
    names.sort();
    names.dedup();
    names
}
