-- One entry of a static pool: a database, and a login that owns it and nothing else. Run it once for each entry, as
-- an admin of a server of PostgreSQL 16 or later; psql asks for the password:
--
--   psql -d postgres -v entry=orchestra_pool_1 -f pool-entry.sql
--
-- The entry's URL is then postgresql://orchestra_pool_1:PASSWORD@HOST:5432/orchestra_pool_1?sslmode=verify-full
\set ON_ERROR_STOP on

-- The login makes tenants' roles, so it needs CREATEROLE. No SUPERUSER, REPLICATION or CREATEDB, and no membership of
-- another role.
CREATE ROLE :"entry" LOGIN CREATEROLE;
\password :"entry"
CREATE DATABASE :"entry" OWNER :"entry";
REVOKE CONNECT, TEMPORARY ON DATABASE :"entry" FROM PUBLIC;

-- Once for each server: the databases for administration let every role connect otherwise.
REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC;

-- An admin who is no superuser (on managed servers) needs, before CREATE DATABASE and after \password:
--   GRANT :"entry" TO CURRENT_USER;
-- and at the end:
--   REVOKE :"entry" FROM CURRENT_USER;

-- On PostgreSQL 16 or later, the login then gives BYPASSRLS to its tenant's login, to which policies of row level
-- security do not apply. It reaches no other database by it. Only a superuser, or an admin with BYPASSRLS, may: where
-- this is refused, the entry is usable without it, and policies name the role orchestra_app.
\set ON_ERROR_STOP off
ALTER ROLE :"entry" BYPASSRLS;
