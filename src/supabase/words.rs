//! The topic of a refusal, by its text. The API documents neither the status nor the text of most refusals, and they have
//! changed, so a topic is recognised by several words that occur together, and not by a sentence.

mod echo;

use super::operation::Operation;
pub(super) use echo::Echo;
use echo::THIS_REGION;

/// The topic of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// The organization's or its members' limit of projects.
    ProjectLimit,
    /// Invoices, or a restriction of the organization.
    Billing,
    /// A project of this name exists.
    NameTaken,
    /// The region has no room.
    Capacity,
    /// The password is too short, too long or too weak.
    Password,
    /// The project cannot be deleted yet.
    DeletionTooEarly,
    /// The project has been removed.
    Removed,
    /// The organization does not exist.
    NoOrganization,
    /// The project is not in the state that the operation needs.
    NotReady,
}

/// The words of a text, in lower case, without the values of the request.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Words(Vec<String>);

impl Words {
    /// The words of a message, and of a code such as `free_project_limit` or `ProjectLimitReached`.
    pub fn of(message: &str, code: &str, echo: Echo<'_>) -> Self {
        let mut code_words = String::new();
        let mut before = ' ';
        for character in code.chars() {
            if character.is_uppercase() && before.is_lowercase() {
                code_words.push(' ');
            }
            code_words.push(character);
            before = character;
        }
        Self(echo::words(&format!("{message} {code_words}"), echo))
    }

    /// Whether a word is one of these; one that ends in `*` stands for all that begin so.
    pub fn any(&self, wanted: &[&str]) -> bool {
        let is = |word: &String, wanted: &&str| match wanted.strip_suffix('*') {
            Some(stem) => word.starts_with(stem),
            None => word == wanted,
        };
        self.0.iter().any(|word| wanted.iter().any(|wanted| is(word, wanted)))
    }

    /// Whether these words follow each other.
    pub fn says(&self, phrase: &str) -> bool {
        let phrase: Vec<_> = phrase.split(' ').collect();
        self.0.windows(phrase.len()).any(|words| words == phrase)
    }

    fn says_one_of(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.says(phrase))
    }

    /// The topic of the text, for a refusal of this operation.
    pub fn topic(&self, operation: Operation) -> Option<Topic> {
        let creates = operation == Operation::CreateProject;
        let starts = creates || operation == Operation::RestoreProject;
        let of_project = operation.scope() == super::operation::LimitScope::Project;
        let topics = [
            (starts && self.is_free_limit(), Topic::ProjectLimit),
            (self.is_billing(), Topic::Billing),
            (creates && self.is_name_taken(), Topic::NameTaken),
            (starts && self.is_limit_of_plan(), Topic::ProjectLimit),
            (creates && self.any(&["capacity"]), Topic::Capacity),
            (self.is_password(), Topic::Password),
            (
                operation == Operation::DeleteProject && self.is_early(),
                Topic::DeletionTooEarly,
            ),
            (of_project && self.is_removed(), Topic::Removed),
            (
                self.any(&["organization", "organisation"]) && self.says_one_of(&["not found", "not exist"]),
                Topic::NoOrganization,
            ),
            (self.is_not_ready(), Topic::NotReady),
            (starts && self.is_limit(), Topic::ProjectLimit),
        ];
        topics.into_iter().find(|(is, _)| *is).map(|(_, topic)| topic)
    }

    /// A limit of something that is counted. Lengths and rates are other limits.
    fn has_limit(&self) -> bool {
        let measure = [
            "character*",
            "length",
            "longer",
            "shorter",
            "rate",
            "requests",
            "second*",
            "minute*",
        ];
        !self.any(&measure) && self.names_limit()
    }

    fn names_limit(&self) -> bool {
        let limit = ["limit*", "quota*", "exceed*", "maximum", "max", "allowance", "beyond"];
        let phrases = ["too many", "more than", "no more", "at most"];
        self.any(&limit) || self.says_one_of(&phrases)
    }

    /// A limit of requests in a time.
    fn is_rate(&self) -> bool {
        let phrases = [
            "too many requests",
            "requests per",
            "per second",
            "per minute",
            "per hour",
        ];
        self.any(&["rate", "throttl*"]) || self.says_one_of(&phrases)
    }

    /// The limit of free projects. A refusal that speaks of them, and of no value of the request, is about nothing else. A time in
    /// it says when to ask again, and makes it no limit of requests.
    fn is_free_limit(&self) -> bool {
        let form = self.is_about_form() || self.is_password() || self.any(&["length", "longer", "shorter"]);
        let other = [
            "free capacity",
            "free resources",
            "free room",
            "free space",
            "feel free",
        ];
        let free = self.any(&["free"]) && self.any(&["project", "projects"]) && !self.says_one_of(&other);
        let plan = self.says_one_of(&["free plan", "free tier"]);
        let bare = free && !form && !self.is_billing() && !self.is_not_ready();
        !self.is_rate() && (bare || (free && self.has_limit()) || ((free || plan) && self.names_limit() && !form))
    }

    /// The limit of a plan's projects, which may be called their capacity.
    fn is_limit_of_plan(&self) -> bool {
        self.any(&["plan", "tier"]) && self.is_limit()
    }

    fn is_not_ready(&self) -> bool {
        self.says("must be active and healthy") || self.says("no longer in a paused state")
    }

    fn is_limit(&self) -> bool {
        let plan = ["plan", "active", "upgrade", "tier"];
        let more = ["reach*", "only", "upgrade", "left", "another", "additional"];
        self.any(&["project", "projects"])
            && !self.is_about_form()
            && (self.has_limit() || (self.any(&plan) && self.any(&more)))
    }

    /// Whether it is about a value of the request.
    fn is_about_form(&self) -> bool {
        self.any(&[
            "instance*",
            "size*",
            "compute",
            "region*",
            "name",
            "names",
            "character*",
        ])
    }

    fn is_billing(&self) -> bool {
        let phrases = [
            "service restriction",
            "service restrictions",
            "past due",
            "payment method",
            "payment required",
        ];
        let trouble = [
            "suspend*",
            "restrict*",
            "settle",
            "problem*",
            "issue*",
            "fail*",
            "update",
            "outstanding",
        ];
        self.any(&["overdue", "unpaid", "invoice*"])
            || self.says_one_of(&phrases)
            || (self.any(&["billing"]) && self.any(&trouble))
    }

    /// Whether it says that a project of this name exists.
    pub fn is_name_taken(&self) -> bool {
        self.says("already exists")
            || (self.any(&["name"]) && self.any(&["already", "duplicate*", "taken", "exists", "unique"]))
    }

    fn is_password(&self) -> bool {
        let length = [
            "longer",
            "shorter",
            "weak",
            "length",
            "strong*",
            "characters",
            "least",
            "complex*",
        ];
        (self.any(&["password"]) || self.says("db pass")) && self.any(&length)
    }

    fn is_early(&self) -> bool {
        let state = ["provisioning", "restoring", "pausing", "progress", "yet"];
        self.says("not ready") || self.says("coming up") || self.says("try again") || self.any(&state)
    }

    fn is_removed(&self) -> bool {
        let removed = [
            "been removed",
            "been deleted",
            "was removed",
            "was deleted",
            "no longer exists",
        ];
        self.any(&["resource", "project"]) && self.says_one_of(&removed)
    }

    /// Whether it is about a region that is switched off, and not about one that does not exist.
    pub fn is_region_off(&self) -> bool {
        let wrong = ["invalid", "unknown", "expected", "enum", "empty"];
        let wrong_phrases = [
            "must be",
            "must match",
            "must contain",
            "must have",
            "not exist",
            "not found",
        ];
        // A text for a wrong value, and also for the choice instead of a disabled region.
        let choice = self.any(&["valid", "unsupported"]) || self.says("one of the following");
        let names = self.any(&["region", "regions", "location", "zone", "datacenter", THIS_REGION]);
        let (used_up, off) = (self.is_used_up(), self.is_off());
        let blamed = (self.any(&["size*"]) && !used_up) || ((choice || self.any(&["instance*"])) && !used_up && !off);
        names && !blamed && !self.any(&wrong) && !self.says_one_of(&wrong_phrases)
    }

    /// Whether it says that something is switched off, for now or for good.
    fn is_off(&self) -> bool {
        self.any(&[
            "disabled",
            "paused",
            "unavailable",
            "suspended",
            "closed",
            "offline",
            "maintenance",
            "outage*",
            "temporarily",
            "currently",
            "moment",
        ])
    }

    /// Whether it says that something is used up.
    fn is_used_up(&self) -> bool {
        let phrases = [
            "out of capacity",
            "out of stock",
            "out of instances",
            "run out",
            "ran out",
            "sold out",
        ];
        let left = ["left", "remain*"];
        self.any(&["shortage*", "full", "exhausted", "depleted", "capacity"])
            || (self.any(&["no", "none", "zero", "0"]) && self.any(&left))
            || self.says_one_of(&phrases)
    }

    /// Whether it is about a region, and not about an organization.
    pub fn is_about_region(&self) -> bool {
        self.any(&["region*", "location", "zone", "datacenter", THIS_REGION])
            && !self.any(&["organization", "organisation"])
    }

    /// Whether it is about what the token or its user may do.
    pub fn is_about_rights(&self) -> bool {
        self.any(&[
            "permission*",
            "privilege*",
            "role*",
            "token",
            "scope*",
            "admin*",
            "owner",
        ])
    }

    /// Whether it may be about the region or the compute size of the request: it names one, or says nothing.
    pub fn may_be_about_place_or_size(&self) -> bool {
        let place = [
            "region*",
            "location",
            "zone",
            "instance*",
            "size*",
            "compute",
            "selection",
        ];
        self.any(&place) || self.0.len() < 4
    }

    /// Whether it says that there is no such route: then the address is wrong, and the project may exist.
    pub fn is_about_route(&self) -> bool {
        let about = self.any(&["project", "projects", "resource", "organization"]);
        let verbs = [
            "cannot get",
            "cannot post",
            "cannot delete",
            "cannot patch",
            "cannot put",
        ];
        self.says_one_of(&verbs)
            || self.any(&["route", "routes", "upstream", "backend", "endpoint", "url", "path"])
            || !(about || self.says("not found"))
    }
}

#[cfg(test)]
mod tests;
