//! Which function executes an operation.

use super::Operation as It;
use super::reply::{Call, Reply};
use super::state::Inner;
use super::{
    advisors, backups, billing, config, health, keys, login_role, migrations, network, organization, projects, query,
    secrets, settings, types, usage,
};

/// Carries out an operation.
pub(super) async fn perform(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    match call.operation {
        It::CreateProject => projects::create(inner, call).await,
        It::ListProjects => Ok(projects::list(inner)),
        It::AvailableRegions => organization::regions(inner, call),
        It::GetProject => projects::get(inner, call),
        It::UpdateProject => projects::rename(inner, call),
        It::DeleteProject => projects::delete(inner, call).await,
        It::PauseProject => projects::pause(inner, call).await,
        It::RestoreProject => projects::restore(inner, call).await,
        It::CancelRestore => projects::cancel_restore(inner, call).await,
        It::RestoreVersions => projects::restore_versions(inner, call),
        It::Health => health::health(inner, call),
        It::ListKeys => keys::list(inner, call),
        It::CreateKey => keys::create(inner, call),
        It::GetLegacyKeys | It::UpdateLegacyKeys => keys::legacy(inner, call),
        It::GetKey => keys::get(inner, call),
        It::UpdateKey => keys::update(inner, call),
        It::DeleteKey => keys::delete(inner, call),
        It::PoolerConfig => settings::pooler(inner, call),
        It::UpdatePoolerConfig => settings::update_pooler(inner, call),
        It::PgbouncerConfig => settings::pgbouncer(inner, call),
        It::UpdatePassword => settings::password(inner, call).await,
        It::ListAddons => billing::list(inner, call),
        It::ApplyAddon => billing::apply(inner, call).await,
        It::RemoveAddon => billing::remove(inner, call).await,
        It::ListBackups => backups::list(inner, call),
        It::RestorePitr => backups::restore_pitr(inner, call).await,
        It::ListOrganizations => Ok(organization::list(inner)),
        It::GetOrganization => organization::get(inner, call),
        It::Entitlements => organization::entitlements(inner, call),
        It::ListOrganizationProjects => projects::list_of_organization(inner, call),
        _ => within(inner, call).await,
    }
}

/// What concerns the inside of one project.
async fn within(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    match call.operation {
        It::RunQuery => query::run(inner, call).await,
        It::ReadOnlyQuery => query::read(inner, call).await,
        It::ListMigrations => migrations::list(inner, call).await,
        It::ApplyMigration => migrations::apply(inner, call).await,
        It::UpsertMigration => migrations::upsert(inner, call).await,
        It::RollbackMigrations => migrations::rollback(inner, call).await,
        It::GetMigration => migrations::get(inner, call).await,
        It::PatchMigration => migrations::patch(inner, call).await,
        It::CreateLoginRole => login_role::create(inner, call).await,
        It::DeleteLoginRoles => login_role::delete(inner, call).await,
        It::PostgrestConfig => config::postgrest(inner, call),
        It::UpdatePostgrestConfig => config::update_postgrest(inner, call),
        It::AuthConfig => config::auth(inner, call),
        It::UpdateAuthConfig => config::update_auth(inner, call),
        It::StorageConfig => config::storage(inner, call),
        It::UpdateStorageConfig => config::update_storage(inner, call),
        It::RealtimeConfig => config::realtime(inner, call),
        It::UpdateRealtimeConfig => config::update_realtime(inner, call),
        It::PostgresConfig => config::postgres(inner, call),
        It::UpdatePostgresConfig => config::update_postgres(inner, call),
        It::ListBuckets => usage::buckets(inner, call).await,
        It::ListFunctions | It::ListBranches => usage::none(inner, call),
        It::Restrictions => network::restrictions(inner, call),
        It::PatchRestrictions => network::patch_restrictions(inner, call),
        It::ApplyRestrictions => network::apply_restrictions(inner, call),
        It::ListBans => network::bans(inner, call),
        It::DeleteBans => network::delete_bans(inner, call),
        It::SslEnforcement | It::UpdateSslEnforcement => network::ssl(inner, call),
        It::ReadOnlyMode => network::read_only(inner, call).await,
        It::DisableReadOnlyMode => network::writable(inner, call).await,
        It::ListSecrets => secrets::list(inner, call),
        It::CreateSecrets => secrets::create(inner, call),
        It::DeleteSecrets => secrets::delete(inner, call),
        It::PerformanceAdvisors => advisors::performance(inner, call).await,
        It::SecurityAdvisors => advisors::security(inner, call).await,
        It::TypescriptTypes => types::typescript(inner, call).await,
        It::Logs => usage::logs(inner, call),
        It::ApiCounts => usage::api_counts(inner, call),
        It::ApiRequests => usage::api_requests(inner, call),
        // The others are in `perform`.
        other => Err(Reply::message(501, &format!("the stand-in does not carry out {other}"))),
    }
}
