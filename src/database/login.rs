//! Whether the owner's login to a hosted database is proven.

use jiff::Timestamp;

use super::plan::{ClaimState, ConnectionState};
use super::{Pass, adopted, former, key_rotation, password};
use crate::supabase::listed::ListedProject;

/// The state of the login, and what is due. `connected`: the project's address is stored.
pub fn connection(
    pass: &Pass,
    (claim, now): (ClaimState, Timestamp),
    connected: bool,
    project: Option<&ListedProject>,
) -> ConnectionState {
    let vague = project.is_some_and(|project| project.status.is_vague());
    let wrong = pass.ctx.logins.wrong_password(pass.name());
    // The password may be changed at the provider: a refusal says more than the project's status.
    let doubted = vague || wrong;
    match connected {
        false => ConnectionState::Unread,
        // This comes before any other login: the project may have either password.
        true if password::is_pending(pass) => ConnectionState::PasswordPending,
        true if pass.proven || (!doubted && pass.object.is_ready()) => {
            if former::are_due(pass, claim) {
                ConnectionState::LoginsLeft
            } else if password::is_due(pass, claim) {
                ConnectionState::PasswordDue
            } else if let Some(work) = key_rotation::work(pass, claim, now) {
                ConnectionState::KeysRotate(work)
            } else if pass.ctx.keys.are_due(pass.name(), pass.ctx.core.settings.resync) {
                ConnectionState::KeysDue
            } else {
                ConnectionState::Proven
            }
        }
        true if wrong && !adopted::is_tried_again(pass) => ConnectionState::WrongPassword,
        true => ConnectionState::Unproven,
    }
}
