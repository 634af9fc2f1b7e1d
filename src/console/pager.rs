//! Lists in pages.

use super::form::Fields;
use super::text::Lang;

/// One page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its number, from 1.
    number: usize,
    /// The number of pages; at least 1.
    pages: usize,
    /// Items of a page.
    size: usize,
}

impl Cut {
    /// The page that a query asks for, of a list of this length; the last one where there are not so many.
    pub fn of(length: usize, size: usize, query: &Fields) -> Self {
        let pages = length.div_ceil(size).max(1);
        let number = query.get("page").parse().unwrap_or(1).clamp(1, pages);
        Self { number, pages, size }
    }

    /// The items of the page.
    pub fn items<T>(self, all: &[T]) -> &[T] {
        let begin = ((self.number - 1) * self.size).min(all.len());
        let end = (begin + self.size).min(all.len());
        &all[begin..end]
    }

    /// Which page of how many it is.
    pub fn place(self, lang: Lang) -> String {
        lang.with(
            "pager-place",
            &[("page", self.number.into()), ("pages", self.pages.into())],
        )
    }

    /// The number of the page before.
    pub fn before(self) -> Option<usize> {
        (self.number > 1).then(|| self.number - 1)
    }

    /// The number of the page after.
    pub fn after(self) -> Option<usize> {
        (self.number < self.pages).then(|| self.number + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_on_one_page() {
        let all: Vec<_> = (0..250).collect();
        let cut = |page: &str| Cut::of(all.len(), 100, &Fields::from_pairs(&[("page", page)]));
        for (page, first, count, before, after) in [
            ("", 0, 100, None, Some(2)),
            ("2", 100, 100, Some(1), Some(3)),
            ("3", 200, 50, Some(2), None),
            ("99", 200, 50, Some(2), None),
            ("0", 0, 100, None, Some(2)),
            ("x", 0, 100, None, Some(2)),
        ] {
            let cut = cut(page);
            let items = cut.items(&all);
            assert_eq!((items[0], items.len()), (first, count), "{page}");
            assert_eq!((cut.before(), cut.after()), (before, after), "{page}");
        }
        assert!(Cut::of(0, 100, &Fields::default()).items::<u8>(&[]).is_empty());
    }
}
