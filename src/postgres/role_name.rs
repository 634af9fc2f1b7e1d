//! Names of tenants' roles: `orchestra_` and the UID of the Orchestra without hyphens; `_` and a number follow where the login
//! was rotated. With the UID, a name is unique on every server: pool entries may share one.

/// The prefix of the name of each tenant's role.
const PREFIX: &str = "orchestra_";
/// Digits of a UID.
const DIGITS: usize = 32;

/// Name of a tenant's first role.
pub fn role_name(uid: &str) -> String {
    format!("{PREFIX}{}", uid.replace('-', ""))
}

/// Whether a role has the name of a tenant's role.
pub fn is_tenants(role: &str) -> bool {
    let all = |text: &str, is: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|byte| is(&byte));
    let Some(rest) = role.strip_prefix(PREFIX) else {
        return false;
    };
    let (digits, number) = rest.split_once('_').unwrap_or((rest, "1"));
    digits.len() == DIGITS && all(digits, u8::is_ascii_hexdigit) && all(number, u8::is_ascii_digit)
}

/// The SQL condition that a role, an expression of a name, has the name of a tenant's role, as [`is_tenants`] says.
pub fn has_tenants_name(role: &str) -> String {
    format!("{role} OPERATOR(pg_catalog.~) '^{PREFIX}[0-9a-fA-F]{{{DIGITS}}}(_[0-9]+)?$'")
}

/// The SQL condition that a role, an expression of type `text`, has the name of a tenant's role, and its tenant's first role is
/// none of `known`, a list of expressions. It means the same in a session of an admin, whatever its `search_path`.
pub fn is_other_tenants(role: &str, known: &str) -> String {
    let first = PREFIX.len() + DIGITS;
    format!(
        "{role} OPERATOR(pg_catalog.~) '^{PREFIX}[0-9a-f]{{{DIGITS}}}(_[0-9]+)?$' \
         AND pg_catalog.left({role}, {first}) OPERATOR(pg_catalog.<>) ALL (ARRAY[{known}])"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_rust_and_in_sql() {
        let first = role_name("7f3c0a1e-0000-4000-8000-0123456789ab");
        assert!(is_tenants(&first) && is_tenants(&format!("{first}_2")));
        for other in [
            "orchestra_app",
            "orchestra_",
            "postgres",
            &format!("{first}_"),
            &format!("{first}_x"),
            &format!("{first}0"),
        ] {
            assert!(!is_tenants(other), "{other}");
        }
        assert_eq!(
            is_other_tenants("r.rolname", "'a', 'b'"),
            "r.rolname OPERATOR(pg_catalog.~) '^orchestra_[0-9a-f]{32}(_[0-9]+)?$' \
             AND pg_catalog.left(r.rolname, 42) OPERATOR(pg_catalog.<>) ALL (ARRAY['a', 'b'])"
        );
    }
}
