-- One entry of a static pool: a database, and a login that owns it and nothing else. Run it once for each entry, as
-- an admin of a server of PostgreSQL 16 or later; psql asks for the password:
--
--   psql -d postgres -v entry=orchestra_pool_1 -f pool-entry.sql
--   psql -d postgres -v entry=orchestra_pool_2 -f pool-entry.sql
--
-- The entry's URL is then postgresql://orchestra_pool_1:PASSWORD@HOST:5432/orchestra_pool_1?sslmode=verify-full
-- with special characters of the password percent-encoded; HOST is the server itself, not a transaction pooler.
--
-- The admin is a superuser, or has CREATEROLE and CREATEDB, as on managed servers:
--   Amazon RDS, Aurora: the master user. sslrootcert is the region's bundle of certificates; not the endpoint of an RDS
--     Proxy.
--   Cloud SQL: the user postgres. Make the login with this script: logins that gcloud or the console make are members of
--     cloudsqlsuperuser, which a pool refuses. HOST is the instance's address, or a Cloud SQL Auth Proxy beside the
--     operator at 127.0.0.1; its Unix socket cannot be used.
--   Azure Database for PostgreSQL, flexible server: the server's admin. Port 5432, since 6432 is its PgBouncer.
\set ON_ERROR_STOP on
-- Functions and operators that a tenant may have put into schema public of an open database are not used.
SET search_path = pg_catalog, pg_temp;

-- The login makes tenants' roles, so it needs CREATEROLE. No SUPERUSER, REPLICATION or CREATEDB, and no membership of
-- another role but orchestra_app, below.
CREATE ROLE :"entry" LOGIN CREATEROLE;
\password :"entry"

-- An admin who is no superuser gives a database only to a role that it is a member of.
GRANT :"entry" TO CURRENT_USER;
CREATE DATABASE :"entry" OWNER :"entry";
REVOKE CONNECT, TEMPORARY ON DATABASE :"entry" FROM PUBLIC;
REVOKE :"entry" FROM CURRENT_USER;

-- Once for each server: the databases for administration let every role connect otherwise. Where the provider owns them,
-- this changes nothing, and the pool's condition ServersClosed names them. An admin who is neither their owner nor a
-- superuser needs GRANT CONNECT ON DATABASE postgres TO name from then on.
SELECT pg_catalog.format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', datname)
FROM pg_catalog.pg_database WHERE datname IN ('postgres', 'template1') AND pg_catalog.pg_has_role(datdba, 'USAGE')
\gexec

-- Once for each server: the group of the tenants' logins, which policies and grants of migrations name. It has no rights.
SELECT 'CREATE ROLE orchestra_app NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'orchestra_app')
\gexec

-- On PostgreSQL 16 or later, the login makes its tenant's login a member of the group only with ADMIN OPTION. Where this is
-- refused, the login of an earlier entry has made the group: run the line as a superuser, or as that login.
\set ON_ERROR_STOP off
GRANT orchestra_app TO :"entry" WITH ADMIN OPTION;

-- On PostgreSQL 16 or later, the login then gives BYPASSRLS to its tenant's login, to which policies of row level
-- security do not apply. It reaches no other database by it. Only a superuser, or an admin with BYPASSRLS, may: where
-- this is refused, the entry is usable without it, and policies name the role orchestra_app.
ALTER ROLE :"entry" BYPASSRLS;
