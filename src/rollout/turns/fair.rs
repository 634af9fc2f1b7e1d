//! The next turn on a server: fair between namespaces, so that a namespace which fills the queue with its Orchestras
//! delays only itself.

use std::collections::HashMap;

/// A place in the queue of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnPlace<'a> {
    /// UID of the Orchestra.
    pub uid: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its number: a smaller one came earlier.
    pub number: u64,
}

/// The UIDs of those whose turns are next, at most `room`. The namespace that holds the fewest turns comes first,
/// then the one that was given a turn longest ago, then who came first.
pub fn next<'a>(
    mut places: Vec<TurnPlace<'a>>,
    mut taken: HashMap<&'a str, usize>,
    given: impl Fn(&str) -> u64,
    room: usize,
) -> Vec<&'a str> {
    let mut chosen = Vec::new();
    while chosen.len() < room {
        let key = |place: &TurnPlace<'_>| {
            let count = taken.get(place.namespace).copied().unwrap_or_default();
            (count, given(place.namespace), place.number)
        };
        let Some(index) = (0..places.len()).min_by_key(|index| key(&places[*index])) else {
            break;
        };
        let place = places.swap_remove(index);
        *taken.entry(place.namespace).or_default() += 1;
        chosen.push(place.uid);
    }
    chosen
}

/// Whether a namespace that holds this many turns may be given one more. On a server that several namespaces use,
/// the last turn is left to the others.
pub fn may_take_more(taken: usize, per_server: usize, shared: bool) -> bool {
    !shared || per_server == 1 || taken + 1 < per_server
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_take_turns() {
        let all = [
            ("a1", "a", 0),
            ("a2", "a", 1),
            ("a3", "a", 2),
            ("b1", "b", 3),
            ("c1", "c", 4),
        ];
        let places = || {
            all.map(|(uid, namespace, number)| TurnPlace { uid, namespace, number })
                .to_vec()
        };
        for (taken, given, room, chosen) in [
            (vec![], [("a", 0), ("b", 0)], 4, vec!["a1", "b1", "c1", "a2"]),
            (vec![("a", 3)], [("a", 0), ("b", 0)], 1, vec!["b1"]),
            (
                vec![("a", 3)],
                [("a", 0), ("b", 0)],
                9,
                vec!["b1", "c1", "a1", "a2", "a3"],
            ),
            (vec![], [("a", 7), ("b", 6)], 2, vec!["c1", "b1"]),
            (vec![], [("a", 0), ("b", 0)], 0, vec![]),
        ] {
            let given = HashMap::from(given);
            let last = |namespace: &str| given.get(namespace).copied().unwrap_or_default();
            let told = next(places(), taken.iter().copied().collect(), last, room);
            assert_eq!(told, chosen, "{taken:?} {given:?} {room}");
        }
    }

    #[test]
    fn the_last_turn_of_a_shared_server_is_left_to_others() {
        for (taken, per_server, shared, may) in [
            (2, 4, true, true),
            (3, 4, true, false),
            (3, 4, false, true),
            (0, 2, true, true),
            (1, 2, true, false),
            (0, 1, true, true),
        ] {
            assert_eq!(
                may_take_more(taken, per_server, shared),
                may,
                "{taken} {per_server} {shared}"
            );
        }
    }
}
