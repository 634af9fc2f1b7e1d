//! What a server counts in one window, as far as it can be known from here.

use std::time::{Duration, Instant};

/// One request that may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grant {
    /// The window that it was taken from; 0 before any limit was known.
    pub number: u64,
    /// When it was taken. The server counts it later than that.
    pub at: Instant,
}

/// What an answer tells of the window that its request was counted in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// Requests that the server has counted in it, others' too.
    pub counted: u32,
    /// Ends are told in whole seconds, rounded up, and as of when the request was counted: the
    /// window ends after this,
    earliest: Option<Instant>,
    /// and not after this.
    latest: Instant,
}

impl Told {
    pub fn new(grant: Grant, counted: u32, reset: Duration, now: Instant) -> Self {
        Self {
            counted,
            earliest: (grant.at + reset).checked_sub(Duration::from_secs(1)),
            latest: now + reset,
        }
    }

    /// Whether the window ends after this.
    pub fn ends_after(&self, at: Instant) -> bool {
        self.earliest.is_some_and(|earliest| earliest > at)
    }
}

/// A window of one endpoint and scope. The server opens one with the first request that it counts after
/// the last one, and answers may overtake each other and come windows later.
#[derive(Debug)]
pub(super) struct Window {
    /// Tells it from the windows before it.
    pub number: u64,
    /// When the first of its requests was taken.
    begun: Instant,
    /// When it has ended for sure.
    pub resets: Instant,
    /// Whether an answer has told of it; before, it is our guess.
    confirmed: bool,
    /// Nothing is sent in it.
    closed: bool,
    /// Requests that were taken from it, and those on their way that it may count.
    granted: u32,
    /// Of these, those that were taken before it began.
    carried: u32,
    /// Of these, those that were answered.
    answered: u32,
    /// The most that an answer said the server has counted.
    counted: u32,
    /// Of that, what others have sent at the least.
    others: u32,
}

impl Window {
    /// Our guess of a window that begins now, while others are on their way.
    pub fn guess(number: u64, in_flight: u32, length: Duration, now: Instant) -> Self {
        Self {
            number,
            begun: now,
            resets: now + length,
            confirmed: false,
            closed: false,
            granted: in_flight,
            carried: in_flight,
            answered: 0,
            counted: 0,
            others: 0,
        }
    }

    /// The window that an answer tells of, while others are on their way.
    pub fn told(number: u64, grant: Grant, in_flight: u32, told: Told) -> Self {
        Self {
            number,
            begun: grant.at,
            resets: told.latest,
            confirmed: true,
            closed: false,
            granted: in_flight + 1,
            carried: in_flight,
            answered: 1,
            counted: told.counted,
            others: told.counted.saturating_sub(in_flight + 1),
        }
    }

    /// A time in which nothing is sent.
    pub fn closed(number: u64, pause: Duration, now: Instant) -> Self {
        Self {
            closed: true,
            confirmed: true,
            ..Self::guess(number, 0, pause, now)
        }
    }

    /// Requests that may be sent for sure: what the server has counted and is not answered yet, others
    /// may have sent, or it is on its way from here.
    pub fn free(&self, limit: u32) -> u32 {
        let unknown = self.counted.saturating_sub(self.answered);
        self.room(limit.saturating_sub(self.granted.saturating_add(unknown)))
    }

    /// Requests that may be sent once those on their way are answered, at the most.
    pub fn hoped(&self, limit: u32) -> u32 {
        let own = self.granted.saturating_sub(self.carried);
        self.room(limit.saturating_sub(own.saturating_add(self.others)))
    }

    fn room(&self, room: u32) -> u32 {
        if self.closed { 0 } else { room }
    }

    pub fn grant(&mut self) {
        self.granted += 1;
    }

    /// Whether an answer to a request of this window tells that the server is in its next one already.
    pub fn is_over(&self, grant: Grant, told: Told) -> bool {
        !self.closed && self.confirmed && grant.number == self.number && told.ends_after(self.resets)
    }

    /// Counts an answer. One to an older request speaks of this window when it ends in its later half.
    pub fn answer(&mut self, grant: Grant, told: Told) {
        if self.closed {
            return;
        }
        if grant.number < self.number {
            let counted_here = told.ends_after(self.begun + (self.resets - self.begun) / 2);
            if !counted_here {
                self.let_go();
                return;
            }
            self.carried = self.carried.saturating_sub(1);
        }
        self.answered += 1;
        self.counted = self.counted.max(told.counted);
        self.others = self.others.max(told.counted.saturating_sub(self.granted));
        self.resets = if self.confirmed {
            self.resets.min(told.latest)
        } else {
            told.latest
        };
        self.confirmed = true;
    }

    /// A request got no answer, or one that tells nothing. It may have been counted.
    pub fn lose(&mut self, grant: Grant) {
        if grant.number == self.number {
            self.answered += 1;
        }
    }

    /// A request was not sent.
    pub fn give_back(&mut self, grant: Grant) {
        if grant.number == self.number {
            self.granted = self.granted.saturating_sub(1);
        } else {
            self.let_go();
        }
    }

    /// One that was on its way when the window began is not counted in it.
    fn let_go(&mut self) {
        let known = u32::from(self.carried > 0);
        self.carried -= known;
        self.granted = self.granted.saturating_sub(known);
    }
}
