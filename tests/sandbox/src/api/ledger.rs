//! What happened, for tests to look at afterwards.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use super::Operation;

/// A project that was created at some time.
#[derive(Clone, Debug, Serialize)]
pub struct Created {
    /// Its reference.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The name it was created with.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was deleted.
    pub deleted: Option<Timestamp>,
    /// The owner's password as it is now; not shown over HTTP.
    #[serde(skip)]
    pub password: String,
}

/// A request to the API.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// When it came.
    pub at: Timestamp,
    /// From when it came to when it was answered.
    pub took: Duration,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The operation, if the API has one there.
    pub operation: Option<Operation>,
    /// The status answered; none when no answer was sent.
    pub status: Option<u16>,
}

/// Everything that happened since the start.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    projects: Vec<Created>,
    alive: HashMap<String, usize>,
    most_alive: HashMap<String, usize>,
    secrets: Vec<String>,
    requests: Vec<Recorded>,
}

impl Ledger {
    /// Every project ever created, oldest first.
    pub fn projects(&self) -> Vec<Created> {
        self.book().projects.clone()
    }

    /// How many projects of each name there were at once, at most.
    pub fn most_alive(&self) -> HashMap<String, usize> {
        self.book().most_alive.clone()
    }

    /// Every password, key and token that was given or received.
    pub fn secrets(&self) -> Vec<String> {
        self.book().secrets.clone()
    }

    /// Every request that was answered or dropped, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.book().requests.clone()
    }

    /// How many requests of an operation there were.
    pub fn count(&self, operation: Operation) -> usize {
        self.book()
            .requests
            .iter()
            .filter(|request| request.operation == Some(operation))
            .count()
    }

    pub(super) fn created(&self, reference: &str, name: &str, created: Timestamp, password: &str) {
        let mut book = self.book();
        book.projects.push(Created {
            reference: reference.to_owned(),
            name: name.to_owned(),
            created,
            deleted: None,
            password: password.to_owned(),
        });
        book.secrets.push(password.to_owned());
        let alive = book.alive.entry(name.to_owned()).or_default();
        *alive += 1;
        let alive = *alive;
        let most = book.most_alive.entry(name.to_owned()).or_default();
        *most = alive.max(*most);
    }

    pub(super) fn deleted(&self, reference: &str) {
        let mut book = self.book();
        let Some(project) = book.projects.iter_mut().find(|it| it.reference == reference) else {
            return;
        };
        project.deleted = Some(Timestamp::now());
        let name = project.name.clone();
        if let Some(alive) = book.alive.get_mut(&name) {
            *alive = alive.saturating_sub(1);
        }
    }

    pub(super) fn password(&self, reference: &str, password: &str) {
        let mut book = self.book();
        book.secrets.push(password.to_owned());
        if let Some(project) = book.projects.iter_mut().find(|it| it.reference == reference) {
            password.clone_into(&mut project.password);
        }
    }

    /// The owner's password as it is now.
    pub(super) fn password_of(&self, reference: &str) -> Option<String> {
        let book = self.book();
        let project = book.projects.iter().find(|it| it.reference == reference);
        project.map(|project| project.password.clone())
    }

    pub(super) fn secret(&self, secret: &str) {
        self.book().secrets.push(secret.to_owned());
    }

    pub(super) fn request(&self, request: Recorded) {
        self.book().requests.push(request);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock()
    }
}
