//! Compares the catalogue of a database with that of a fresh one. Pure: it gets the facts that were read before.

/// The possible differences between a database and a fresh one of its server, which `CREATE DATABASE` has just created from
/// a template without objects of its own, and to which PUBLIC may not connect. Names are printable; of many, only the first
/// ones are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// Objects that PostgreSQL itself has not made, apart from the schema `public`, as it describes them.
    pub objects: Vec<String>,
    /// How many there are.
    pub count: i64,
    /// The schema `public`; none when it is gone.
    pub public: Option<Public>,
    /// Settings of the database and of its owner, apart from those that only a superuser sets, and its connection limit.
    pub settings: Vec<String>,
    /// Roles other than the owner and superusers that have rights on the database itself.
    pub grantees: Vec<String>,
    /// Roles that the owner has created, also through others.
    pub roles: Vec<String>,
    /// Subscriptions, replication slots and prepared transactions.
    pub shared: Vec<String>,
    /// It is a template, from which every role that may create databases can create one.
    pub template: bool,
    /// It has a comment.
    pub comment: bool,
    /// It or one of its objects has a security label.
    pub labels: bool,
}

/// The schema `public`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// Its owner is `pg_database_owner`, or a superuser.
    pub is_own: bool,
    /// Who has which right on it beside its owner, as `name=PRIVILEGE`; PUBLIC has no name.
    pub rights: Vec<String>,
    /// It has PostgreSQL's own comment.
    pub commented: bool,
}

impl Catalogue {
    /// The schema of a fresh database, since PostgreSQL 15.
    pub fn fresh() -> Self {
        Self {
            objects: Vec::new(),
            count: 0,
            public: Some(Public {
                is_own: true,
                rights: vec!["=USAGE".into()],
                commented: true,
            }),
            settings: Vec::new(),
            grantees: Vec::new(),
            roles: Vec::new(),
            shared: Vec::new(),
            template: false,
            comment: false,
            labels: false,
        }
    }
}

/// What a database has that a fresh one does not have, or lacks; empty when they are equal.
pub fn left(found: &Catalogue) -> Vec<String> {
    let fresh = Catalogue::fresh();
    let mut left = found.objects.clone();
    let unnamed = found.count - i64::try_from(found.objects.len()).unwrap_or(i64::MAX);
    if unnamed > 0 {
        left.push(format!("{unnamed} further objects"));
    }
    let named = |kind: &'static str, names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("{kind} {name}")).collect()
    };
    left.extend(named("role", &found.roles));
    left.extend(named("rights on the database of", &found.grantees));
    left.extend(named("setting", &found.settings));
    left.extend(found.shared.iter().cloned());
    match (&found.public, &fresh.public) {
        (Some(public), Some(fresh)) if public != fresh => {
            left.push("owner, rights or comment of schema public".into());
        }
        (None, _) => left.push("schema public is gone".into()),
        _ => {}
    }
    for (what, found, fresh) in [
        ("that the database is a template", found.template, fresh.template),
        ("comment on the database", found.comment, fresh.comment),
        ("security labels", found.labels, fresh.labels),
    ] {
        left.extend((found != fresh).then(|| what.to_owned()));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of the catalogue, and its description.
    type Difference = (fn(&mut Catalogue), &'static str);

    #[test]
    fn every_difference_is_told() {
        assert_eq!(left(&Catalogue::fresh()), [""; 0]);
        let differences: [Difference; 11] = [
            (|it| (it.objects, it.count) = (vec!["table a".into()], 1), "table a"),
            (|it| it.count = 7, "7 further objects"),
            (|it| it.public = None, "schema public is gone"),
            (
                |it| it.public.iter_mut().for_each(|public| public.is_own = false),
                "owner, rights or comment of schema public",
            ),
            (
                |it| {
                    it.public
                        .iter_mut()
                        .for_each(|public| public.rights.push("=CREATE".into()));
                },
                "owner, rights or comment of schema public",
            ),
            (|it| it.settings.push("search_path".into()), "setting search_path"),
            (|it| it.grantees.push("eve".into()), "rights on the database of eve"),
            (|it| it.roles.push("mallory".into()), "role mallory"),
            (|it| it.shared.push("subscription s".into()), "subscription s"),
            (|it| it.template = true, "that the database is a template"),
            (|it| it.comment = true, "comment on the database"),
        ];
        for (change, told) in differences {
            let mut found = Catalogue::fresh();
            change(&mut found);
            assert_eq!(left(&found), [told]);
        }
    }
}
