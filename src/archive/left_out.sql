-- What a restore leaves out. $1: the schemas of a backup; $2: the session's role, which owns the database; $3: tenants'
-- logins.
WITH RECURSIVE others AS (
    -- What other roles own, with its schema: 1 for a tenant's login, 2 for another role. A schema, a large object and an
    -- extension run nothing of their owner's.
    SELECT d.classid, d.objid, CASE WHEN rolname::text = ANY ($3) THEN 1 ELSE 2 END AS cause, i.schema = ANY ($1) AS is_inside, i.schema IS NULL AS is_nowhere
    FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid, pg_identify_object(d.classid, d.objid, 0) i
    WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
        AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND NOT rolsuper AND rolname::text <> $2 AND rolname !~ '^pg_'
        AND d.classid NOT IN ('pg_namespace'::regclass, 'pg_largeobject'::regclass, 'pg_extension'::regclass)
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
), roles AS (SELECT classid, objid FROM others WHERE cause = 2 AND is_inside),
expressions AS (
    -- What is evaluated by who inserts, or who makes an index, on tables and domains of other roles.
    SELECT 'pg_constraint'::regclass AS classid, c.oid AS objid, conbin::text AS tree FROM pg_constraint c
        JOIN roles o ON o.objid = conrelid AND o.classid = 'pg_class'::regclass
            OR o.objid = contypid AND o.classid = 'pg_type'::regclass
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, adbin::text FROM pg_attrdef d
        JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum AND attgenerated <> ''
        JOIN roles o ON o.objid = adrelid AND o.classid = 'pg_class'::regclass
    UNION ALL SELECT 'pg_class'::regclass, indexrelid, concat(indexprs, indpred) FROM pg_index
        JOIN roles o ON o.objid = indrelid AND o.classid = 'pg_class'::regclass
    UNION ALL SELECT 'pg_class'::regclass, partrelid, partexprs::text FROM pg_partitioned_table
        JOIN roles o ON o.objid = partrelid AND o.classid = 'pg_class'::regclass
    UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid, stxexprs::text FROM pg_statistic_ext s
        JOIN roles o ON o.objid = stxrelid AND o.classid = 'pg_class'::regclass
), shown AS (
    -- What shows a view of another role.
    SELECT o.classid, o.objid FROM roles o JOIN pg_class c ON c.oid = o.objid AND o.classid = 'pg_class'::regclass AND relkind = 'v'
    UNION SELECT n.classid, n.objid FROM shown s, LATERAL (
        SELECT d.classid, d.objid FROM pg_depend d WHERE d.refclassid = s.classid AND d.refobjid = s.objid
        UNION ALL SELECT d.refclassid, d.refobjid FROM pg_depend d
            WHERE d.classid = s.classid AND d.objid = s.objid AND d.deptype = 'i') n
), causes AS (
    SELECT classid, objid, 1 AS cause FROM others WHERE cause = 1 AND (is_inside OR is_nowhere)
    UNION ALL SELECT classid, objid, 2 FROM roles WHERE classid = 'pg_proc'::regclass
    UNION ALL SELECT o.classid, o.objid, 2 FROM roles o JOIN pg_class c ON c.oid = o.objid AND o.classid = 'pg_class'::regclass
        WHERE relkind = 'm'
    UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, 2 FROM pg_rewrite r
        JOIN roles o ON o.objid = ev_class AND o.classid = 'pg_class'::regclass WHERE rulename <> '_RETURN'
    -- Default privileges of other roles, which only these and who is a member of them may set. The provider's superuser has its
    -- own everywhere.
    UNION ALL SELECT 'pg_default_acl'::regclass, a.oid, 2 FROM pg_default_acl a JOIN pg_roles r ON r.oid = defaclrole
        JOIN pg_namespace n ON n.oid = defaclnamespace
        WHERE nspname = ANY ($1) AND rolname::text <> $2 AND rolname::text <> ALL ($3) AND NOT (rolname = 'supabase_admin' AND rolsuper)
    UNION ALL SELECT classid, objid, 2 FROM expressions WHERE tree ~ '\{SQLVALUEFUNCTION ' OR EXISTS (
        SELECT FROM regexp_matches(tree, ':(?:funcid|opfuncid) (\d+)', 'g') AS called LEFT JOIN pg_proc p ON p.oid = called[1]::oid
        WHERE p.oid IS NULL OR p.oid >= 16384 OR pronamespace <> 'pg_catalog'::regnamespace OR provolatile <> 'i')
    UNION ALL SELECT s.classid, s.objid, 3 FROM shown s JOIN pg_class c ON c.oid = s.objid AND s.classid = 'pg_class'::regclass
        WHERE relkind = 'm'
), left_out AS (
    SELECT classid, objid FROM causes
    UNION SELECT n.classid, n.objid FROM left_out o, LATERAL (
        -- What depends on it.
        SELECT d.classid, d.objid FROM pg_depend d WHERE d.refclassid = o.classid AND d.refobjid = o.objid
        -- What it is a part of, and is not made without.
        UNION ALL SELECT d.refclassid, d.refobjid FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid
            AND (d.deptype = 'i' OR d.classid = 'pg_attrdef'::regclass AND d.deptype = 'a' AND d.refclassid = 'pg_class'::regclass)
        UNION ALL SELECT CASE WHEN conrelid <> 0 THEN 'pg_class'::regclass ELSE 'pg_type'::regclass END, greatest(conrelid, contypid)
            FROM pg_constraint c WHERE o.classid = 'pg_constraint'::regclass AND c.oid = o.objid AND contype = 'c'
        -- Without a policy that restricts, its table would show more.
        UNION ALL SELECT 'pg_class'::regclass, polrelid FROM pg_policy p
            WHERE o.classid = 'pg_policy'::regclass AND p.oid = o.objid AND NOT polpermissive) n
)
SELECT o.classid::oid::int8, o.objid::int8,
    CASE WHEN EXISTS (SELECT FROM pg_depend d JOIN left_out w ON w.classid = d.refclassid AND w.objid = d.refobjid
            WHERE d.classid = o.classid AND d.objid = o.objid AND d.deptype IN ('a', 'i', 'P', 'S') AND d.refobjid <> d.objid)
        THEN 0 ELSE coalesce((SELECT min(cause) FROM causes c WHERE c.classid = o.classid AND c.objid = o.objid), 3) END,
    coalesce(CASE o.classid
        WHEN 'pg_class'::regclass THEN (SELECT format('%I.%I', nspname, relname) FROM pg_class c
            JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = o.objid)
        WHEN 'pg_proc'::regclass THEN (SELECT format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid))
            FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE p.oid = o.objid)
        WHEN 'pg_type'::regclass THEN (SELECT format('%I.%I', nspname, typname) FROM pg_type t
            JOIN pg_namespace n ON n.oid = typnamespace WHERE t.oid = o.objid)
        WHEN 'pg_constraint'::regclass THEN (SELECT format('%I on %I.%I', conname, nspname, relname) FROM pg_constraint f
            JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE f.oid = o.objid)
        WHEN 'pg_policy'::regclass THEN (SELECT format('%I on %I.%I', polname, nspname, relname) FROM pg_policy p
            JOIN pg_class c ON c.oid = polrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE p.oid = o.objid)
    END, (SELECT type || ' ' || identity FROM pg_identify_object(o.classid, o.objid, 0)), '')
FROM left_out o
WHERE NOT (o.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = o.objid AND relnamespace = 'pg_toast'::regnamespace))
    AND NOT (o.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type t WHERE t.oid = o.objid AND (typelem <> 0 AND typsubscript = 'array_subscript_handler'::regproc
    OR typrelid <> 0 AND (SELECT relkind FROM pg_class WHERE oid = typrelid) <> 'c')))
ORDER BY 4
