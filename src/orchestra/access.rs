//! The access to its database that a pass has opened, and the tenant's logins as the pass knows them.

use sqlx::postgres::PgConnection;

use super::login::{Opened, WayIn};
use crate::api::names::tenant_secret;
use crate::controller::Core;
use crate::credentials::secrets;
use crate::credentials::tenant::Logins;

/// The owner's session, the values that the tenant gets, and the tenant's logins. A session is kept only together with a
/// proven access.
#[derive(Default)]
pub struct Access {
    session: Option<PgConnection>,
    way_in: Option<WayIn>,
    logins: Option<Logins>,
}

/// What a piece of work inside the database leaves to the pass that continues.
pub struct WorkLeft {
    /// The owner's session.
    pub session: PgConnection,
    /// The tenant's logins as they were before.
    pub logins: Option<Logins>,
}

impl Access {
    /// Whether the owner's session is open.
    pub fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// The owner's login and the values that the tenant gets, once both logins have worked.
    pub fn way_in(&self) -> Option<&WayIn> {
        self.way_in.as_ref()
    }

    /// The tenant's logins, as this pass has read or written them.
    pub fn logins(&self) -> Option<&Logins> {
        self.logins.as_ref()
    }

    /// Keeps what the preparation of the tenant's login has opened.
    pub fn open(&mut self, opened: Opened) {
        (self.session, self.way_in, self.logins) = (Some(opened.session), Some(opened.way_in), Some(opened.logins));
    }

    /// Closes the session: it does not prove the login that is to be proven next.
    pub fn close(&mut self) {
        (self.session, self.way_in) = (None, None);
    }

    /// Takes the session for a piece of work, which gives it back.
    pub fn take_session(&mut self) -> Option<PgConnection> {
        self.session.take()
    }

    /// Gives the session back. A session from work between two passes, without a proven access, is closed.
    pub fn give_back(&mut self, session: Option<PgConnection>) {
        self.session = session.filter(|_| self.way_in.is_some());
    }

    /// Continues after a piece of work in the database of this name: with the session if the same pass opened the access,
    /// and with the tenant's logins if nobody has changed their Secret, which then is not read again.
    pub fn take_over(&mut self, core: &Core, database: Option<&str>, left: WorkLeft) {
        let known = left.logins.zip(database).filter(|_| self.logins.is_none());
        if let Some((logins, database)) = known {
            let watched = secrets::watched_version(core, &tenant_secret(database));
            self.logins = Some(logins).filter(|logins| watched.is_some() && logins.version() == watched.as_deref());
        }
        self.give_back(Some(left.session));
    }

    /// Keeps the tenant's logins as they were read or written.
    pub fn learn(&mut self, logins: Logins) {
        self.logins = Some(logins);
    }
}
