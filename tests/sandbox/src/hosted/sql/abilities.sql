-- What supautils lets postgres do though it is no superuser. A server without that module needs another way: before a
-- command of a list begins, an event trigger gives postgres what the command asks for, and takes it back when the
-- command ends. Both belong to the command's own transaction, so that no other session ever sees it, and a command
-- that fails leaves nothing. CREATE EVENT TRIGGER and commands on roles fire no event triggers: those stay as they are.
CREATE FUNCTION pgbouncer.sandbox_actor() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT CASE current_setting('role') WHEN 'none' THEN session_user::text ELSE current_setting('role') END
$$;

-- How many commands of the list are inside one another, in this transaction: an extension's script has such commands.
CREATE FUNCTION pgbouncer.sandbox_depth(change integer) RETURNS integer
LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT set_config('sandbox.depth',
        (coalesce(nullif(current_setting('sandbox.depth', true), ''), '0')::integer + change)::text, true)::integer
$$;

CREATE FUNCTION pgbouncer.sandbox_begin() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    actor text := pgbouncer.sandbox_actor();
BEGIN
    IF pgbouncer.sandbox_depth(1) > 1 OR (SELECT rolsuper FROM pg_roles WHERE rolname = actor) THEN
        RETURN;
    ELSIF tg_tag LIKE '% POLICY' THEN
        IF actor = 'postgres' THEN
            GRANT supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin TO postgres;
        END IF;
    ELSIF actor = 'postgres' OR tg_tag = 'CREATE EXTENSION' THEN
        EXECUTE format('ALTER ROLE %I SUPERUSER', actor);
    END IF;
END $$;

CREATE FUNCTION pgbouncer.sandbox_end() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    actor text := pgbouncer.sandbox_actor();
    made record;
BEGIN
    IF pgbouncer.sandbox_depth(-1) > 0 OR actor = 'supabase_admin' THEN
        RETURN;
    ELSIF tg_tag LIKE '% POLICY' THEN
        IF actor = 'postgres' THEN
            REVOKE supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin FROM postgres;
        END IF;
        RETURN;
    ELSIF actor = 'postgres' OR tg_tag = 'CREATE EXTENSION' THEN
        EXECUTE format('ALTER ROLE %I NOSUPERUSER', actor);
    END IF;
    FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE EXTENSION' LOOP
        IF made.object_identity IN ('adminpack', 'bool_plperlu', 'file_fdw', 'hstore_plperlu', 'jsonb_plperlu', 'lo',
            'pageinspect', 'pg_surgery', 'plperlu', 'plpython3u', 'pltclu', 'sslinfo', 'xml2') THEN
            RAISE insufficient_privilege USING
                MESSAGE = format('permission denied to create extension "%s"', made.object_identity),
                HINT = 'Must be superuser to create this extension.';
        END IF;
        UPDATE pg_extension SET extowner = 'supabase_admin'::regrole WHERE oid = made.objid;
        UPDATE pg_shdepend SET refobjid = 'supabase_admin'::regrole
        WHERE classid = 'pg_extension'::regclass AND objid = made.objid AND refobjid = actor::regrole;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION pgbouncer.sandbox_begin, pgbouncer.sandbox_end FROM PUBLIC;

CREATE EVENT TRIGGER sandbox_begin ON ddl_command_start
    WHEN TAG IN ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'CREATE EXTENSION', 'ALTER EXTENSION',
        'DROP EXTENSION', 'CREATE PUBLICATION', 'CREATE FOREIGN DATA WRAPPER')
    EXECUTE FUNCTION pgbouncer.sandbox_begin();
CREATE EVENT TRIGGER sandbox_end ON ddl_command_end
    WHEN TAG IN ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'CREATE EXTENSION', 'ALTER EXTENSION',
        'DROP EXTENSION', 'CREATE PUBLICATION', 'CREATE FOREIGN DATA WRAPPER')
    EXECUTE FUNCTION pgbouncer.sandbox_end();
-- Also where session_replication_role is replica.
ALTER EVENT TRIGGER sandbox_begin ENABLE ALWAYS;
ALTER EVENT TRIGGER sandbox_end ENABLE ALWAYS;

CREATE FUNCTION extensions.pgrst_ddl_watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY pgrst, 'reload schema';
END $$;
CREATE FUNCTION extensions.pgrst_drop_watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY pgrst, 'reload schema';
END $$;
CREATE EVENT TRIGGER pgrst_ddl_watch ON ddl_command_end EXECUTE FUNCTION extensions.pgrst_ddl_watch();
CREATE EVENT TRIGGER pgrst_drop_watch ON sql_drop EXECUTE FUNCTION extensions.pgrst_drop_watch();
