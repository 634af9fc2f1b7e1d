//! Answers as recorded by several clients of the API, rewritten, and the resulting errors.

use Operation::{
    CreateApiKey, CreateProject, DeleteApiKey, GetApiKeys, GetLegacyKeys, GetPoolerConfig, GetProject, ListProjects,
    RestoreProject,
};

use super::*;
use crate::api::condition::Reason;

fn error(operation: Operation, status: u16, body: &str) -> Error {
    FailedAnswer::read(status, body.as_bytes(), &[], Echo::default()).classify(operation, Duration::from_secs(9))
}

/// A refusal of a creation in each form and wording, and the resulting error.
#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn who_has_answered_and_with_which_status_goes_before_the_words() {
    let html =
        "<html><head><title>Attention Required! | Cloudflare</title></head><body>project limit reached</body></html>";
    for (operation, status, body, reason) in [
        // A proxy is neither the token's fault nor the project's.
        (CreateProject, 403, html, Reason::RequestRefused),
        (CreateProject, 403, "Forbidden", Reason::RequestRefused),
        (CreateProject, 403, "", Reason::RequestRefused),
        (CreateProject, 401, html, Reason::RequestRefused),
        (CreateProject, 401, "Unauthorized", Reason::RequestRefused),
        (ListProjects, 401, html, Reason::RequestRefused),
        (GetProject, 401, "", Reason::RequestRefused),
        (GetApiKeys, 401, html, Reason::RequestRefused),
        (ListProjects, 401, r#""Unauthorized""#, Reason::TokenRejected),
        (
            ListProjects,
            401,
            r#"{"message":"Invalid token"}"#,
            Reason::TokenRejected,
        ),
        (
            CreateProject,
            400,
            "free project limit exceeded",
            Reason::RequestRefused,
        ),
        (
            CreateProject,
            402,
            "Payment required by the proxy",
            Reason::RequestRefused,
        ),
        (CreateProject, 404, "404 page not found", Reason::RequestRefused),
        // A key that cannot be created is reported; one that is gone needs no deletion, but an answer of a proxy does not
        // prove that.
        (
            CreateApiKey,
            409,
            r#"{"message":"API key name already exists"}"#,
            Reason::RequestRefused,
        ),
        (CreateApiKey, 404, r#"{"message":"Not found"}"#, Reason::RequestRefused),
        (
            CreateApiKey,
            400,
            r#"{"message":"Project must be active and healthy."}"#,
            Reason::Provisioning,
        ),
        (
            DeleteApiKey,
            404,
            r#"{"message":"API key not found"}"#,
            Reason::DatabaseLost,
        ),
        (DeleteApiKey, 404, html, Reason::RequestRefused),
        (
            DeleteApiKey,
            404,
            r#"{"message":"no Route matched with those values"}"#,
            Reason::RequestRefused,
        ),
        (
            DeleteApiKey,
            410,
            r#"{"message":"default backend - 404"}"#,
            Reason::RequestRefused,
        ),
        (DeleteApiKey, 404, "{}", Reason::RequestRefused),
        (DeleteApiKey, 404, r#""API key not found""#, Reason::DatabaseLost),
        (CreateProject, 405, html, Reason::RequestRefused),
        (
            CreateProject,
            407,
            r#"{"message":"Proxy authentication required"}"#,
            Reason::RequestRefused,
        ),
        (
            CreateProject,
            302,
            r#"{"message":"Organization not found"}"#,
            Reason::RequestRefused,
        ),
        (ListProjects, 403, html, Reason::RequestRefused),
        (ListProjects, 404, html, Reason::RequestRefused),
        (
            GetProject,
            404,
            r#"{"message":"no Route matched with those values"}"#,
            Reason::RequestRefused,
        ),
        (GetProject, 404, "{}", Reason::RequestRefused),
        (GetProject, 404, "[]", Reason::RequestRefused),
        (GetProject, 404, r#"[{"message":"Not found"}]"#, Reason::RequestRefused),
        (GetProject, 404, r#""Not found""#, Reason::RequestRefused),
        (GetProject, 410, html, Reason::RequestRefused),
        (GetApiKeys, 403, html, Reason::RequestRefused),
        (GetPoolerConfig, 405, "Method not allowed", Reason::RequestRefused),
        (GetPoolerConfig, 404, html, Reason::Provisioning),
        // The API itself, in its own shapes and in those that wrap them.
        (
            CreateProject,
            400,
            r#"[{"message":"Members of the organization have reached the maximum limit of free projects"}]"#,
            Reason::QuotaExceeded,
        ),
        (
            ListProjects,
            401,
            r#"[{"message":"Unauthorized"}]"#,
            Reason::TokenRejected,
        ),
        (ListProjects, 401, r#"["Unauthorized"]"#, Reason::TokenRejected),
        (
            CreateProject,
            403,
            r#"[{"message":"Forbidden","missing_permissions":["projects:write"]}]"#,
            Reason::PermissionDenied,
        ),
        (GetProject, 404, r#""Project not found""#, Reason::DatabaseLost),
        (
            GetProject,
            404,
            r#"{"error":{"message":"Project not found"}}"#,
            Reason::DatabaseLost,
        ),
        (
            GetProject,
            404,
            r#""{\"message\":\"Project not found\"}""#,
            Reason::DatabaseLost,
        ),
        (
            GetProject,
            410,
            r#"{"message":"Project not found"}"#,
            Reason::DatabaseLost,
        ),
        (
            GetLegacyKeys,
            404,
            r#"{"message":"Cannot GET /v1/projects/x/api-keys/legacy"}"#,
            Reason::DatabaseLost,
        ),
        (CreateProject, 403, r#""Forbidden resource""#, Reason::PermissionDenied),
        (
            CreateProject,
            403,
            r#"{"message":"over the project limit of your role","missing_permissions":["organization_projects_create"]}"#,
            Reason::PermissionDenied,
        ),
        (
            CreateProject,
            400,
            r#"{"message":"Bad Request","code":"free_project_limit_reached"}"#,
            Reason::QuotaExceeded,
        ),
        (
            CreateProject,
            422,
            r#"{"error":{"code":"ProjectLimitReached","message":"Not possible"}}"#,
            Reason::QuotaExceeded,
        ),
        (
            CreateProject,
            400,
            r#""Members have gone beyond their limit of free projects""#,
            Reason::QuotaExceeded,
        ),
        (
            CreateProject,
            429,
            r#"{"message":"Free project quota exceeded"}"#,
            Reason::QuotaExceeded,
        ),
        (
            CreateProject,
            400,
            r#"{"message":"Free project limit exceeded, try again in 10 minutes"}"#,
            Reason::QuotaExceeded,
        ),
        (
            RestoreProject,
            400,
            r#"{"message":"Free project limit exceeded, retry after 60 seconds"}"#,
            Reason::QuotaExceeded,
        ),
        (
            CreateProject,
            400,
            r#"{"message":"Your requests exceed the limit of free projects"}"#,
            Reason::QuotaExceeded,
        ),
        (
            CreateProject,
            429,
            r#"{"message":"Rate limit exceeded for free projects, retry after 60 seconds"}"#,
            Reason::RateLimited,
        ),
        (
            CreateProject,
            402,
            r#"{"message":"The free plan allows 2 projects"}"#,
            Reason::QuotaExceeded,
        ),
        (
            CreateProject,
            429,
            r#"{"message":"Too many requests"}"#,
            Reason::RateLimited,
        ),
        (CreateProject, 429, "free project limit", Reason::RateLimited),
        (
            RestoreProject,
            403,
            r#"{"message":"You have exceeded your free project limit"}"#,
            Reason::QuotaExceeded,
        ),
        (
            CreateProject,
            423,
            r#"{"message":"Your account has unpaid invoices"}"#,
            Reason::BillingRestricted,
        ),
        (
            CreateProject,
            400,
            r#"{"message":"Project creation is disabled for this Vercel-managed organization."}"#,
            Reason::RequestRefused,
        ),
        // Whatever it says: the project may be there.
        (
            CreateProject,
            500,
            r#"{"message":"free project limit exceeded"}"#,
            Reason::ProviderUnavailable,
        ),
        (
            CreateProject,
            544,
            r#"{"message":"Connection terminated due to connection timeout"}"#,
            Reason::ProviderUnavailable,
        ),
        (CreateProject, 520, html, Reason::ProviderUnavailable),
        (CreateProject, 599, "", Reason::ProviderUnavailable),
        (CreateProject, 408, "Request timeout", Reason::ProviderUnavailable),
        (CreateProject, 499, "", Reason::ProviderUnavailable),
    ] {
        let error = error(operation, status, body);
        assert_eq!(error.reason(), reason, "{operation} {status} {body}: {error}");
        assert_eq!(
            error.outcome_unknown(),
            reason == Reason::ProviderUnavailable,
            "{status} {body}"
        );
        let (length, lines) = (error.to_string().chars().count(), error.to_string().lines().count());
        assert!(length < 600 && lines == 1, "{error}");
    }
}

#[test]
fn an_error_shows_no_secret_of_the_request_or_of_the_body() {
    let password = "Very-secret_password.0123456789~";
    let jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYSJ9.c2ln";
    for (body, secret) in [
        (format!(r#"{{"message":"db_pass {password} is weak"}}"#), password),
        (
            format!(r#"{{"message":"db_pass {}... is weak"}}"#, &password[..20]),
            "Very-secret_password",
        ),
        (format!("{}{password}", "x ".repeat(140)), "Very-secret"),
        ("Very-sec\u{200b}ret_password.0123456789~".to_owned(), "ret_password"),
        (r#"{"db_pass":"another one","name":"n"}"#.to_owned(), "another one"),
        (
            r#"{"message":"bad request: {\"db_pass\":\"another one\"}"}"#.to_owned(),
            "another one",
        ),
        (format!("key {jwt}"), "eyJ"),
        (
            r#"{"message":["sb_secret_abcdefgh", "postgres://postgres:hidden@db/x"]}"#.to_owned(),
            "sb_secret",
        ),
        (
            r#"{"message":["sb_secret_abcdefgh", "postgres://postgres:hidden@db/x"]}"#.to_owned(),
            "hidden",
        ),
    ] {
        for status in [400, 403, 500] {
            let answer = FailedAnswer::read(status, body.as_bytes(), &[password], Echo::default());
            let error = answer.classify(CreateProject, Duration::ZERO);
            assert!(!format!("{error} {error:?}").contains(secret), "{body}: {error}");
        }
    }
}
