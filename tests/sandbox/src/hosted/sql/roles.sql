-- The roles of a hosted project, with their attributes, memberships and settings. supabase_admin is the superuser of
-- initdb. Logins without a password cannot log in.
CREATE ROLE postgres LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS;
CREATE ROLE anon;
CREATE ROLE authenticated;
CREATE ROLE service_role BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT;
CREATE ROLE supabase_auth_admin LOGIN NOINHERIT;
CREATE ROLE supabase_storage_admin LOGIN NOINHERIT CREATEROLE;
CREATE ROLE supabase_realtime_admin;
CREATE ROLE supabase_replication_admin LOGIN REPLICATION;
CREATE ROLE supabase_etl_admin LOGIN REPLICATION BYPASSRLS;
CREATE ROLE supabase_read_only_user LOGIN BYPASSRLS;
CREATE ROLE supabase_privileged_role;
CREATE ROLE dashboard_user CREATEROLE CREATEDB REPLICATION;
CREATE ROLE pgbouncer LOGIN;
CREATE ROLE pgtle_admin;

GRANT anon, authenticated, service_role TO authenticator;
GRANT authenticator TO supabase_storage_admin;
GRANT pg_read_all_data TO supabase_read_only_user;
GRANT pg_monitor, pg_read_all_data TO supabase_etl_admin;
GRANT pgtle_admin, supabase_privileged_role TO postgres;
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        GRANT anon, authenticated, service_role, authenticator, pg_monitor, pg_read_all_data, pg_signal_backend
            TO postgres WITH ADMIN OPTION;
        -- It may administer the authenticator, and is not one.
        EXECUTE 'GRANT authenticator TO postgres WITH INHERIT FALSE, SET FALSE';
        EXECUTE 'GRANT pg_create_subscription TO postgres';
    ELSE
        GRANT anon, authenticated, service_role, pg_monitor, pg_read_all_data, pg_signal_backend TO postgres;
    END IF;
END $$;

ALTER ROLE supabase_admin SET search_path = "$user", public, auth, extensions;
ALTER ROLE supabase_admin SET log_statement = none;
ALTER ROLE postgres SET search_path = "$user", public, extensions;
ALTER ROLE anon SET statement_timeout = '3s';
ALTER ROLE authenticated SET statement_timeout = '8s';
ALTER ROLE authenticator SET statement_timeout = '8s';
ALTER ROLE authenticator SET lock_timeout = '8s';
ALTER ROLE supabase_auth_admin SET search_path = auth;
ALTER ROLE supabase_auth_admin SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE supabase_auth_admin SET log_statement = none;
ALTER ROLE supabase_storage_admin SET search_path = storage;
ALTER ROLE supabase_storage_admin SET log_statement = none;

-- Of what supautils lets postgres set; the others need no superuser.
GRANT SET ON PARAMETER session_replication_role, log_min_duration_statement, log_statement, track_functions,
    track_io_timing, "auto_explain.log_min_duration", "auto_explain.log_analyze" TO postgres;

ALTER DATABASE postgres OWNER TO postgres;
GRANT ALL ON DATABASE postgres TO dashboard_user;
CREATE PUBLICATION supabase_realtime;
ALTER PUBLICATION supabase_realtime OWNER TO postgres;
