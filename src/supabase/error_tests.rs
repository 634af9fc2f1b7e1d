use super::*;

#[test]
#[allow(clippy::too_many_lines, reason = "every error, in its order")]
fn no_text_has_a_gap() {
    let (operation, after) = (Operation::GetProject, Duration::from_secs(1));
    let text = || "said".to_owned();
    let said = || Said::from(text());
    for error in [
        Error::TokenMalformed,
        Error::Throttled { after },
        Error::Queued { after, long: false },
        Error::Queued { after, long: true },
        Error::RateLimited { operation, after },
        Error::TokenRejected { message: text() },
        Error::PermissionDenied {
            operation,
            message: said(),
            missing: Vec::new(),
        },
        Error::PermissionDenied {
            operation,
            message: said(),
            missing: vec![text(), text()],
        },
        Error::FreeProjectLimit { message: text() },
        Error::BillingRestricted { message: text() },
        Error::RegionAtCapacity { message: text() },
        Error::PasswordRefused { message: text() },
        Error::NameTaken { message: said() },
        Error::OrganizationNotFound { message: said() },
        Error::NotReadyForDeletion,
        Error::Gone { message: text() },
        Error::NotReady {
            operation,
            message: text(),
        },
        Error::Refused {
            operation,
            status: 404,
            message: said(),
            outside: false,
        },
        Error::Refused {
            operation,
            status: 404,
            message: said(),
            outside: true,
        },
        Error::Unavailable {
            operation,
            status: 503,
            message: text(),
        },
        Error::Unreachable {
            operation,
            cause: text(),
        },
        Error::Undecodable {
            operation,
            cause: text(),
        },
        Error::ListingChanged,
        Error::ListingIncomplete,
        Error::KeyMasked { name: text() },
        Error::KeyNotAccepted { cause: text() },
        Error::KeyMissing { kind: text() },
        Error::KeysDisabled { kind: text() },
        Error::UntrustedHost { host: text() },
    ] {
        let told = error.to_string();
        assert!(!told.contains("  ") && !told.contains('\n'), "{told}");
    }
}
