//! An estimate of what the server has counted in one window of its rate limit.

use std::time::{Duration, Instant};

/// One request that was taken from a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WindowSlot {
    /// The window that it was taken from; 0 before any limit was known.
    pub number: u64,
    /// When it was taken. The server counts the request later than that.
    pub at: Instant,
}

/// The window that a request was counted in, as its answer describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowReport {
    /// Requests that the server has counted in the window, those of other clients included.
    pub counted: u32,
    /// The window ends after this time. The server states the end in whole seconds, rounded up, as of the moment
    /// when it counted the request, so only an interval is known.
    pub earliest: Option<Instant>,
    /// The window does not end after this time.
    pub latest: Instant,
}

impl WindowReport {
    pub fn new(slot: WindowSlot, counted: u32, reset: Duration, now: Instant) -> Self {
        Self {
            counted,
            earliest: (slot.at + reset).checked_sub(Duration::from_secs(1)),
            latest: now + reset,
        }
    }

    /// Whether the window ends after this time for sure.
    pub fn ends_after(&self, at: Instant) -> bool {
        self.earliest.is_some_and(|earliest| earliest > at)
    }
}

/// What a report of an earlier request says about the open window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The request was counted in a window that has ended.
    Ended,
    /// It was counted in the window that is open now.
    Open,
    /// It may have been either.
    Unclear,
}

/// A window of one endpoint and scope. The server opens a window with the first request that it counts after the
/// end of the one before. Answers may overtake each other, and arrive windows later.
#[derive(Debug)]
pub(super) struct Window {
    /// Distinguishes it from earlier windows.
    pub number: u64,
    /// When the first of its requests was taken.
    pub begun: Instant,
    /// When it has ended for sure.
    pub resets: Instant,
    /// An answer has reported it; before that it is a guess.
    confirmed: bool,
    /// No request is sent while it lasts.
    closed: bool,
    /// Requests that were taken from it, and earlier ones that the server may count in it: they are in flight, or their
    /// answers do not show it.
    granted: u32,
    /// The part of `granted` that was taken before the window began, and is in flight.
    carried: u32,
    /// The part of `granted` that was answered.
    answered: u32,
    /// The highest count that an answer has reported.
    counted: u32,
    /// The part of `counted` that other clients have sent for sure.
    others: u32,
}

impl Window {
    /// A window that is guessed to begin now, while requests are in flight and answered ones may be counted in it.
    pub fn guess(number: u64, in_flight: u32, unclear: u32, length: Duration, now: Instant) -> Self {
        Self {
            number,
            begun: now,
            resets: now + length,
            confirmed: false,
            closed: false,
            granted: in_flight.saturating_add(unclear),
            carried: in_flight,
            answered: 0,
            counted: 0,
            others: 0,
        }
    }

    /// The window that an answer reports, while other requests are in flight and answered ones may be counted in it after
    /// this one.
    pub fn reported(number: u64, slot: WindowSlot, in_flight: u32, unclear: u32, report: WindowReport) -> Self {
        Self {
            number,
            begun: slot.at,
            resets: report.latest,
            confirmed: true,
            closed: false,
            granted: in_flight.saturating_add(1).saturating_add(unclear),
            carried: in_flight,
            answered: 1,
            counted: report.counted,
            others: report.counted.saturating_sub(in_flight + 1),
        }
    }

    /// A pause: a window in which no request is sent.
    pub fn closed(number: u64, pause: Duration, now: Instant) -> Self {
        Self {
            closed: true,
            confirmed: true,
            ..Self::guess(number, 0, 0, pause, now)
        }
    }

    /// Requests that can certainly be sent. A request that the server has counted and whose answer has not arrived
    /// may be another client's, or one of those in flight: it is subtracted from both.
    pub fn free(&self, limit: u32) -> u32 {
        let unknown = self.counted.saturating_sub(self.answered);
        self.room(limit.saturating_sub(self.granted.saturating_add(unknown)))
    }

    /// Requests that may be sent, at the most, once those in flight are answered.
    pub fn hoped(&self, limit: u32) -> u32 {
        let own = self.granted.saturating_sub(self.carried);
        self.room(limit.saturating_sub(own.saturating_add(self.others)))
    }

    fn room(&self, room: u32) -> u32 {
        if self.closed { 0 } else { room }
    }

    /// Takes one request from the window.
    pub fn grant(&mut self) {
        self.granted += 1;
    }

    /// Whether the answer to a request of this window shows that the server has opened its next window.
    pub fn is_over(&self, slot: WindowSlot, report: WindowReport) -> bool {
        !self.closed && self.confirmed && slot.number == self.number && report.ends_after(self.resets)
    }

    /// Counts an answer. That of an older request is about the window as `about` says.
    pub fn answer(&mut self, slot: WindowSlot, report: WindowReport, about: About) {
        if self.closed {
            return;
        }
        if slot.number < self.number {
            match about {
                About::Ended => return self.drop_carried(),
                // It stays a part of `granted`, and nothing else that it reports is the window's for sure.
                About::Unclear => {
                    self.carried = self.carried.saturating_sub(1);
                    return;
                }
                About::Open => self.carried = self.carried.saturating_sub(1),
            }
        }
        self.answered += 1;
        self.counted = self.counted.max(report.counted);
        self.others = self.others.max(report.counted.saturating_sub(self.granted));
        self.resets = if self.confirmed {
            self.resets.min(report.latest)
        } else {
            report.latest
        };
        self.confirmed = true;
    }

    /// Counts a request that got no answer, or one without the headers. The server may have counted it.
    pub fn lose(&mut self, slot: WindowSlot) {
        if slot.number == self.number {
            self.answered += 1;
        }
    }

    /// Takes back a request that was not sent.
    pub fn give_back(&mut self, slot: WindowSlot) {
        if slot.number == self.number {
            self.granted = self.granted.saturating_sub(1);
        } else {
            self.drop_carried();
        }
    }

    /// A request that was in flight when the window began turns out not to be counted in it.
    fn drop_carried(&mut self) {
        let known = u32::from(self.carried > 0);
        self.carried -= known;
        self.granted = self.granted.saturating_sub(known);
    }
}
