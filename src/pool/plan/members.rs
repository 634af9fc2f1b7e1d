//! Which members are checked again: whether their entries still lead to their databases, and their servers answer.
//!
//! A member that waits for a claim is checked repeatedly, a claimed one only until its entry was seen to lead to its
//! database. While a server does not answer, one of its members is tried, and the others once that one answers. When a
//! member that answered no longer does, one other member is checked, and when both do not answer, all are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A member with an entry in the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryMember {
    /// Key of its entry.
    pub key: String,
    /// Host and port of its entry; none when its URL is not valid.
    pub server: Option<String>,
    /// It waits for a claim.
    pub free: bool,
    /// The result of its last check.
    pub state: EntryMemberState,
}

/// The result of the last check of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryMemberState {
    /// It was not checked since the operator started, or since its entry was changed.
    Unknown,
    /// The check is running.
    Looking,
    /// Its entry leads to its database.
    Well {
        /// How long ago.
        age: Duration,
    },
    /// Its server did not answer.
    Silent {
        /// How long ago.
        age: Duration,
    },
    /// Something else is wrong.
    Refused {
        /// How long ago.
        age: Duration,
        /// It is transient.
        passing: bool,
    },
}

/// How often members are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time between two checks of a member without problems.
    pub calm: Duration,
    /// Time between two checks of a member with a problem.
    pub again: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            calm: Duration::MAX,
            again: Duration::MAX,
        }
    }
}

/// What is known of one server.
#[derive(Default)]
struct MemberServer {
    /// Members whose server did not answer.
    silent: usize,
    /// The latest check without an answer.
    silence: Option<Duration>,
    /// The latest check with an answer.
    answer: Option<Duration>,
    /// One of its members is being checked.
    looking: bool,
}

impl MemberServer {
    /// Whether the server has not answered since the latest failure to answer.
    fn is_quiet(&self) -> bool {
        let later = |silence| self.answer.is_none_or(|answer| answer > silence);
        self.silence.is_some_and(later)
    }
}

/// When each member is to be checked, as the time until then; none for one that is checked when its entry changes.
fn waits(members: &[EntryMember], pace: Pace) -> Vec<Option<Duration>> {
    let servers = servers(members);
    let nothing = MemberServer::default();
    let mut tried = BTreeSet::new();
    let mut first = |member: &EntryMember, well: bool| {
        let server = member.server.clone();
        server.is_none() || tried.insert((server, well))
    };
    let one = |member: &EntryMember| {
        let server = member.server.as_deref().and_then(|name| servers.get(name));
        let known = server.unwrap_or(&nothing);
        match member.state {
            EntryMemberState::Unknown => Some(Duration::ZERO),
            EntryMemberState::Looking => None,
            // The server answers again.
            EntryMemberState::Silent { .. } if server.is_some() && !known.is_quiet() => Some(Duration::ZERO),
            EntryMemberState::Silent { age } => first(member, false).then(|| pace.again.saturating_sub(age)),
            EntryMemberState::Refused { age, passing } => passing.then(|| pace.again.saturating_sub(age)),
            EntryMemberState::Well { .. } if !member.free => None,
            EntryMemberState::Well { .. } if known.is_quiet() && known.silent > 1 => Some(Duration::ZERO),
            EntryMemberState::Well { .. } if known.is_quiet() && !known.looking && first(member, true) => {
                Some(Duration::ZERO)
            }
            EntryMemberState::Well { age } => Some(pace.calm.saturating_sub(age)),
        }
    };
    members.iter().map(one).collect()
}

fn servers(members: &[EntryMember]) -> BTreeMap<&str, MemberServer> {
    let mut servers: BTreeMap<&str, MemberServer> = BTreeMap::new();
    for member in members {
        let Some(name) = &member.server else { continue };
        let server = servers.entry(name).or_default();
        let latest =
            |known: &mut Option<Duration>, age| *known = Some(known.map_or(age, |known: Duration| known.min(age)));
        match member.state {
            EntryMemberState::Silent { age } => {
                server.silent += 1;
                latest(&mut server.silence, age);
            }
            EntryMemberState::Well { age } => latest(&mut server.answer, age),
            EntryMemberState::Looking => server.looking = true,
            _ => {}
        }
    }
    servers
}

/// The members to check now, at most so many at once, by the keys of their entries.
pub fn due(members: &[EntryMember], pace: Pace, at_once: usize) -> Vec<String> {
    let looking = members
        .iter()
        .filter(|member| member.state == EntryMemberState::Looking)
        .count();
    let due = members.iter().zip(waits(members, pace));
    let due = due.filter(|(_, wait)| wait.is_some_and(|wait| wait.is_zero()));
    let keys = due.map(|(member, _)| member.key.clone());
    keys.take(at_once.saturating_sub(looking)).collect()
}

/// Time until the next check.
pub fn next(members: &[EntryMember], pace: Pace) -> Option<Duration> {
    // Running checks trigger the pool, and due ones have no room now.
    let waits = waits(members, pace).into_iter().flatten();
    waits.filter(|wait| !wait.is_zero()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        calm: Duration::from_mins(10),
        again: Duration::from_secs(30),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn well(age: u64) -> EntryMemberState {
        EntryMemberState::Well { age: seconds(age) }
    }

    fn silent(age: u64) -> EntryMemberState {
        EntryMemberState::Silent { age: seconds(age) }
    }

    fn members(states: &[EntryMemberState]) -> Vec<EntryMember> {
        let member = |(number, state): (usize, &EntryMemberState)| EntryMember {
            key: number.to_string(),
            server: Some("one".into()),
            free: true,
            state: *state,
        };
        states.iter().enumerate().map(member).collect()
    }

    #[test]
    fn a_silent_server_is_tried_by_one_member_and_all_come_back_with_it() {
        let due = |states: &[EntryMemberState]| due(&members(states), PACE, 32).join(",");
        assert_eq!(due(&[EntryMemberState::Unknown, EntryMemberState::Unknown]), "0,1");
        assert_eq!(due(&[well(1), well(599)]), "");
        assert_eq!(due(&[well(1), well(600)]), "1");
        // One that answered no longer does: another one is checked, and then all.
        assert_eq!(due(&[silent(1), well(60), well(60)]), "1");
        assert_eq!(due(&[silent(1), EntryMemberState::Looking, well(60)]), "");
        assert_eq!(due(&[silent(5), silent(1), well(60), well(60)]), "2,3");
        // Only this one does not answer.
        assert_eq!(due(&[silent(5), well(1), well(60)]), "0");
        // One is tried at the interval.
        assert_eq!(due(&[silent(5), silent(5), silent(5)]), "");
        assert_eq!(due(&[silent(30), silent(40), silent(40)]), "0");
        // It answers.
        assert_eq!(due(&[well(1), silent(40), silent(40)]), "1,2");
        assert_eq!(next(&members(&[silent(10), silent(25)]), PACE), Some(seconds(20)));
        assert_eq!(next(&members(&[well(0), well(100)]), PACE), Some(seconds(500)));
    }

    #[test]
    fn servers_do_not_concern_one_another() {
        let mut two = members(&[silent(1), well(60)]);
        two[1].server = Some("two".into());
        assert_eq!(due(&two, PACE, 32), [""; 0]);
        two[1].server = None;
        assert_eq!(due(&two, PACE, 32), [""; 0]);
    }

    #[test]
    fn a_claimed_member_is_looked_at_until_it_is_known() {
        let of = |state| {
            let mut one = members(&[state]);
            one[0].free = false;
            (due(&one, PACE, 32).len(), next(&one, PACE))
        };
        assert_eq!(of(EntryMemberState::Unknown), (1, None));
        assert_eq!(of(well(100_000)), (0, None));
        assert_eq!(of(silent(1)), (0, Some(seconds(29))));
        let refused = |passing| EntryMemberState::Refused {
            age: seconds(10),
            passing,
        };
        assert_eq!(of(refused(true)), (0, Some(seconds(20))));
        assert_eq!(of(refused(false)), (0, None));
    }

    #[test]
    fn no_more_than_the_limit_are_looked_at_at_once() {
        let mut states = vec![EntryMemberState::Looking; 30];
        states.extend([EntryMemberState::Unknown; 10]);
        assert_eq!(due(&members(&states), PACE, 32).len(), 2);
    }
}
