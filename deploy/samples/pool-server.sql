-- The login with which a pool of kind `server` makes its databases. Run it once for each server of PostgreSQL 16 or later,
-- as an admin with CREATEDB and CREATEROLE (a superuser, or the master user of a managed server), and then \password:
--
--   psql -d postgres -f pool-server.sql
--   psql -d postgres -c '\password orchestra_maker'
--
-- The Secret's DATABASE_URL is then postgresql://orchestra_maker:PASSWORD@HOST:5432/postgres?sslmode=verify-full with special
-- characters of the password percent-encoded; HOST is the server itself, not a transaction pooler.
\set ON_ERROR_STOP on
-- Functions and operators that a tenant may have put into schema public of an open database are not used.
SET search_path = pg_catalog, pg_temp;

-- It makes databases and their owners, and keeps no right on either.
CREATE ROLE orchestra_maker LOGIN CREATEDB CREATEROLE;

-- The databases for administration let every role connect otherwise.
GRANT CONNECT ON DATABASE postgres TO orchestra_maker;
SELECT pg_catalog.format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', datname)
FROM pg_catalog.pg_database WHERE datname IN ('postgres', 'template1') AND pg_catalog.pg_has_role(datdba, 'USAGE')
\gexec

-- The group of the tenants' logins, which policies and grants of migrations name. It has no rights.
SELECT 'CREATE ROLE orchestra_app NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'orchestra_app')
\gexec
GRANT orchestra_app TO orchestra_maker WITH ADMIN OPTION;

-- An owner that has BYPASSRLS gives it to its tenant's login, to which policies of row level security do not apply. Only a
-- superuser, or an admin with BYPASSRLS, may give it: where this is refused, policies name the role orchestra_app.
\set ON_ERROR_STOP off
ALTER ROLE orchestra_maker BYPASSRLS;
