//! Which of the server's windows the answers have reported. An answer gives the end of a window with an error of a second
//! plus its travel time, so two successive windows cannot always be distinguished when answers are late.

use std::time::{Duration, Instant};

use super::window::{About, WindowReport};

/// The reports of one endpoint and scope whose windows may be open.
#[derive(Debug, Default)]
pub(super) struct Reports {
    open: Vec<WindowReport>,
    /// No reported window ends later for sure.
    newest: Option<Instant>,
    /// A window has ended that did not end before this time.
    ended: Option<Instant>,
}

impl Reports {
    /// Records what an answer reports. A window that ends before another one that has started has ended.
    pub fn note(&mut self, report: WindowReport, now: Instant) {
        self.newest = self.newest.max(report.earliest);
        self.open.push(report);
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        let over = self.newest.map_or(now, |newest| newest.max(now));
        let ended = self.open.extract_if(.., |report| report.latest <= over);
        self.ended = ended.filter_map(|report| report.earliest).chain(self.ended).max();
    }

    /// No window of this length, which is rounded up, that is open now ends before this time: it began after the one that
    /// has ended.
    fn first_end(&self, length: Duration) -> Option<Instant> {
        let least = length.saturating_sub(Duration::from_secs(1));
        self.ended.map(|ended| ended + least)
    }

    /// The answered requests that the server may have counted in the window that is open now, beyond its first ones.
    pub fn may_count(&mut self, beyond: u32, length: Duration, now: Instant) -> u32 {
        self.forget(now);
        let first = self.first_end(length);
        let may = |report: &&WindowReport| report.counted > beyond && first.is_none_or(|first| report.latest > first);
        u32::try_from(self.open.iter().filter(may).count()).unwrap_or(u32::MAX)
    }

    /// What a report says about the window that is assumed to start at this time.
    pub fn about(&self, report: WindowReport, begun: Instant, length: Duration) -> About {
        let first = self.first_end(length).map_or(begun, |first| first.max(begun));
        if report.latest <= first {
            About::Ended
        } else if report.ends_after(begun) {
            About::Open
        } else {
            About::Unclear
        }
    }

    /// Whether nothing is known of any window that may be open.
    pub fn is_over(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.open.is_empty()
    }
}
