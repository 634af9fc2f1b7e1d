//! The pages of the ledger: ConfigMaps of the operator's namespace, those of a month filled one after the other. A key is the
//! UID of an OrchestraDatabase, and its value the record as JSON.
//!
//! A record is written by a merge patch of its one key, which neither reads nor repeats what others have written, and which may
//! be sent again. A server-side apply would have to repeat the whole page each time, or take the other keys away.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, Patch};
use serde_json::json;

use super::{LedgerMonth, LedgerRecord};
use crate::api::condition::Reason;
use crate::api::names::{FIELD_MANAGER, LEDGER_LABEL, MANAGED_BY};
use crate::controller::error::Error;
use crate::controller::write::{patch_parameters, post_parameters};
use crate::money::charged::Month;

/// Beginning of the names of the pages, before the month.
const NAME: &str = "orchestra-ledger-";

/// The most bytes of the records of a page: half of what a ConfigMap may have, since records that are written at the same time do not
/// know of each other.
const BYTES: usize = 512 << 10;

/// The most pages of a month, which have room for some hundred thousand databases.
const PAGES: usize = 200;

/// Records as they are stored, by their keys.
type Texts = BTreeMap<String, String>;

/// The name of a page. The first one has the month alone, since most months have one page.
fn name(month: Month, page: usize) -> String {
    let month = month.name();
    match page {
        0 => format!("{NAME}{month}"),
        page => format!("{NAME}{month}-{page}"),
    }
}

/// The month of a page with this name; none for other ConfigMaps.
pub(super) fn month_of(name: &str) -> Option<Month> {
    name.strip_prefix(NAME)?.get(..7)?.parse().ok()
}

fn page_of(month: Month, page: usize, texts: Texts) -> ConfigMap {
    let labels = [
        (MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned()),
        (LEDGER_LABEL.to_owned(), month.name()),
    ];
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name(month, page)),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        },
        data: Some(texts),
        ..ConfigMap::default()
    }
}

fn is_sealed(map: &ConfigMap) -> bool {
    map.immutable == Some(true)
}

/// Reads the pages of a month. Of two records of one database the later one counts.
pub(super) async fn read(api: &Api<ConfigMap>, month: Month) -> Result<Option<LedgerMonth>, kube::Error> {
    let mut found = None;
    for page in 0..PAGES {
        let Some(map) = api.get_opt(&name(month, page)).await? else {
            break;
        };
        let ledger = found.get_or_insert_with(|| LedgerMonth {
            closed: is_sealed(&map),
            ..LedgerMonth::default()
        });
        for (uid, text) in map.data.into_iter().flatten() {
            add(ledger, uid, &text);
        }
    }
    Ok(found)
}

/// Adds a record as it is stored. What nobody can read is left out: an admin may write the pages of a month that is not over.
fn add(ledger: &mut LedgerMonth, uid: String, text: &str) {
    let record: LedgerRecord = match serde_json::from_str(text) {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(uid, %error, "a record of the ledger cannot be read");
            return;
        }
    };
    let old = ledger.records.get(&uid);
    if old.is_none_or(|old| old.until <= record.until) {
        ledger.records.insert(uid, record);
    }
}

/// Writes records of a month, each over an older one of the same database, into the first pages with room. A month that is closed
/// does not change.
pub(super) async fn put(api: &Api<ConfigMap>, month: Month, mut records: Texts) -> Result<(), Error> {
    for page in 0..PAGES {
        if records.is_empty() {
            return Ok(());
        }
        let name = name(month, page);
        let found = api.get_opt(&name).await?;
        if found.as_ref().is_some_and(is_sealed) {
            if page == 0 {
                return Ok(());
            }
            // An admin has sealed it. The first page is the last one that the operator seals.
            continue;
        }
        let taken = take(&mut records, found.as_ref().and_then(|map| map.data.as_ref()));
        let is_made = found.is_none() && make(api, &page_of(month, page, taken.clone())).await?;
        if !is_made && !taken.is_empty() {
            let patch = Patch::Merge(json!({"data": taken}));
            api.patch(&name, &patch_parameters(FIELD_MANAGER), &patch).await?;
        }
    }
    if records.is_empty() {
        return Ok(());
    }
    let text = format!("the ledger of {} has no room for another record", month.name());
    Err(Error::blocked(Reason::InternalError, text))
}

/// Takes from the records those that a page with these texts has, or has room for, and returns those that it does not have as they
/// are.
fn take(records: &mut Texts, page: Option<&Texts>) -> Texts {
    let texts = page.into_iter().flatten();
    let mut size: usize = texts.map(|(uid, text)| uid.len() + text.len()).sum();
    let mut taken = Texts::new();
    records.retain(|uid, text| {
        let old = page.and_then(|page| page.get(uid));
        let more = uid.len() + text.len();
        if old.is_none() && size + more > BYTES {
            return true;
        }
        if old != Some(&*text) {
            size += more;
            taken.insert(uid.clone(), text.clone());
        }
        false
    });
    taken
}

/// Makes a page; false where it is there already.
async fn make(api: &Api<ConfigMap>, page: &ConfigMap) -> Result<bool, Error> {
    match api.create(&post_parameters(FIELD_MANAGER), page).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes the first page of a month, without records, where it is not there.
pub(super) async fn begin(api: &Api<ConfigMap>, month: Month) -> Result<(), Error> {
    make(api, &page_of(month, 0, Texts::new())).await.map(drop)
}

/// Whether a month is closed: its first page, which is the last to be sealed, is immutable.
pub(super) async fn is_closed(api: &Api<ConfigMap>, month: Month) -> Result<bool, Error> {
    let first = api.get_opt(&name(month, 0)).await?;
    Ok(first.is_some_and(|map| is_sealed(&map)))
}

/// Writes the last records of a month, and makes its pages immutable, the first one last.
pub(super) async fn close(api: &Api<ConfigMap>, month: Month, records: Texts) -> Result<(), Error> {
    begin(api, month).await?;
    put(api, month, records).await?;
    let mut pages = Vec::new();
    for page in 0..PAGES {
        let name = name(month, page);
        if api.get_metadata_opt(&name).await?.is_none() {
            break;
        }
        pages.push(name);
    }
    let sealed = Patch::Merge(json!({"immutable": true}));
    for name in pages.iter().rev() {
        api.patch(name, &patch_parameters(FIELD_MANAGER), &sealed).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn texts(all: &[(&str, &str)]) -> Texts {
        all.iter()
            .map(|(uid, text)| ((*uid).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn a_page_is_named_by_its_month() {
        let month: Month = "2026-11".parse().unwrap();
        assert_eq!(name(month, 0), "orchestra-ledger-2026-11");
        assert_eq!(name(month, 2), "orchestra-ledger-2026-11-2");
        for page in [0, 2] {
            assert_eq!(month_of(&name(month, page)), Some(month));
        }
        for other in [
            "orchestra-ledger-",
            "orchestra-ledger-2026-13",
            "schema",
            "orchestra-ledger-åäöåäö",
        ] {
            assert_eq!(month_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_record_is_written_once_and_over_an_older_one() {
        let page = texts(&[("a", "1"), ("b", "1")]);
        let mut records = texts(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(take(&mut records, Some(&page)), texts(&[("b", "2"), ("c", "3")]));
        assert!(records.is_empty());
    }

    #[test]
    fn what_a_page_has_no_room_for_is_left_for_the_next() {
        let big = "x".repeat(BYTES / 2);
        let page = texts(&[("a", &big)]);
        let mut records = texts(&[("a", "1"), ("b", &big), ("c", "1")]);
        assert_eq!(take(&mut records, Some(&page)), texts(&[("a", "1"), ("c", "1")]));
        assert_eq!(records, texts(&[("b", &big)]));
        assert_eq!(take(&mut records, None), texts(&[("b", &big)]), "a page of its own");
    }

    #[test]
    fn of_two_records_the_later_one_counts() {
        let text = |until: &str| json!({"database": "orchdb-one", "amount": until, "until": until}).to_string();
        let mut ledger = LedgerMonth::default();
        let (early, late) = ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z");
        for text in [&text(late), &text(early), "no record"] {
            add(&mut ledger, "a".into(), text);
        }
        assert_eq!(ledger.records["a"].amount.as_deref(), Some(late));
    }
}
