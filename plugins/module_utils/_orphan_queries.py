# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the orphan modules ask the catalog. The search path is pinned, so names without a schema are those of pg_catalog."""

from __future__ import annotations

# Row security off: a query that would see a part of the rows fails instead.
SETTINGS = """
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('row_security', 'off', true),
       pg_catalog.set_config('client_encoding', 'UTF8', true), pg_catalog.set_config('datestyle', 'ISO, MDY', true),
       pg_catalog.set_config('standard_conforming_strings', 'on', true),
       pg_catalog.set_config('statement_timeout', %(statement)s, true), pg_catalog.set_config('lock_timeout', %(lock)s, true)
"""

SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'"

# One row of name, table, columns, referenced table, its columns, MATCH FULL, ON DELETE, PERIOD for each foreign key.
# The name is that of the key that somebody made, not of its repetition for a partition. Columns that only newer servers have
# are asked for by way of JSON.
_KEYS = """
SELECT (WITH RECURSIVE up (name, parent) AS (
            SELECT k.conname, k.conparentid
            UNION ALL SELECT o.conname, o.conparentid FROM up JOIN pg_constraint o ON o.oid = up.parent)
        SELECT name FROM up WHERE parent = 0),
       n.nspname, c.relname,
       ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place),
       pn.nspname, p.relname,
       ARRAY(SELECT a.attname FROM unnest(k.confkey) WITH ORDINALITY AS u (number, place)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place),
       k.confmatchtype = 'f', k.confdeltype::text, coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AND {which}
ORDER BY n.nspname, c.relname, k.conname
"""

# Not those of temporary tables, which only their own sessions can read. A key of a partition is its parent's.
NOT_VALID = _KEYS.format(
    which="NOT k.convalidated AND k.conparentid = 0 AND c.relpersistence <> 't'"
    " AND (%(schemas)s::text[] IS NULL OR n.nspname = ANY (%(schemas)s::text[]))"
)

# Keys that refer to a table or to one of its partitions. A key is repeated for each partition on either side: once is enough.
_FAMILY = "(SELECT %(table)s::oid UNION SELECT relid FROM pg_partition_tree(%(table)s::oid))"
REFERRERS = _KEYS.format(
    which=f"k.confrelid IN {_FAMILY} AND NOT EXISTS"
    f" (SELECT FROM pg_constraint o WHERE o.oid = k.conparentid AND o.confrelid IN {_FAMILY})"
)

RELATION = """
SELECT json_build_object(
    'oid', c.oid::bigint, 'root', coalesce(pg_partition_root(c.oid)::oid, c.oid)::bigint,
    'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'owner', pg_get_userbyid(c.relowner),
    'columns', (
        SELECT json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod),
            (SELECT quote_ident(cn.nspname) || '.' || quote_ident(o.collname) FROM pg_collation o
             JOIN pg_namespace cn ON cn.oid = o.collnamespace
             WHERE o.oid = a.attcollation AND o.oid <> t.typcollation)) ORDER BY a.attnum)
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'primary_key', (
        SELECT json_agg(a.attname ORDER BY u.place)
        FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS u (number, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number
        WHERE i.indrelid = c.oid AND i.indisprimary AND u.place <= i.indnkeyatts))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s
"""

# How the columns are compared, as ADD FOREIGN KEY works it out: by the unique index on the referenced columns, whose operator
# class has an equality for both types, or for its own type, which the referring type becomes by itself. An operator class
# takes a superuser to make, so its operators are trusted; of casts only those without a function or with one of pg_catalog.
# A polymorphic operator (of arrays, enums, …) has no types to name.
PAIRS = """
WITH RECURSIVE pair AS (
    SELECT u.place, f.attname AS child, p.attname AS parent, p.attnum, f.atttypid AS child_type, p.atttypid AS parent_type,
           f.atttypmod AS child_mod, p.atttypmod AS parent_mod, f.attcollation AS child_collation, p.attcollation AS parent_collation
    FROM unnest(%(columns)s::text[], %(referenced)s::text[]) WITH ORDINALITY AS u (child, parent, place)
    JOIN pg_attribute f ON f.attrelid = %(child)s::oid AND f.attname = u.child AND NOT f.attisdropped
    JOIN pg_attribute p ON p.attrelid = %(parent)s::oid AND p.attname = u.parent AND NOT p.attisdropped
), base (type, root) AS (
    SELECT child_type, child_type FROM pair UNION SELECT parent_type, parent_type FROM pair
    UNION SELECT b.type, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.root WHERE t.typtype = 'd'
), plain AS (
    SELECT b.type, b.root FROM base b JOIN pg_type t ON t.oid = b.root WHERE t.typtype <> 'd'
), target AS (
    SELECT i.indkey::smallint[] AS numbers, i.indclass AS classes
    FROM pg_index i
    WHERE i.indrelid = %(parent)s::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = (SELECT count(*) FROM pair)
      AND NOT EXISTS (SELECT FROM pair WHERE pair.attnum <> ALL ((i.indkey::smallint[])[0:i.indnkeyatts - 1]))
    ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1
)
SELECT pair.child, pair.parent,
       format_type(pair.child_type, pair.child_mod), format_type(pair.parent_type, pair.parent_mod),
       quote_ident(n.nspname) || '.' || o.oprname,
       CASE WHEN l.typtype <> 'p' THEN format_type(o.oprleft, -1) END,
       CASE WHEN r.typtype <> 'p' THEN format_type(o.oprright, -1) END,
       (SELECT quote_ident(cn.nspname) || '.' || quote_ident(c.collname) FROM pg_collation c
        JOIN pg_namespace cn ON cn.oid = c.collnamespace
        WHERE c.oid = pair.parent_collation AND c.oid <> pair.child_collation)
FROM pair CROSS JOIN target
JOIN plain child ON child.type = pair.child_type
JOIN plain parent ON parent.type = pair.parent_type
JOIN pg_opclass k ON k.oid = target.classes[array_position(target.numbers, pair.attnum)]
JOIN pg_am m ON m.oid = k.opcmethod AND m.amname = 'btree'
JOIN pg_type input ON input.oid = k.opcintype
LEFT JOIN LATERAL (
    SELECT e.amopopr FROM pg_amop e
    WHERE e.amopfamily = k.opcfamily AND e.amopstrategy = 3 AND e.amoplefttype = k.opcintype
      AND (e.amoprighttype = child.root OR e.amoprighttype = k.opcintype AND (
          input.typtype = 'p' AND child.root = parent.root
          OR EXISTS (
              SELECT FROM pg_cast x LEFT JOIN pg_proc f ON f.oid = x.castfunc
              WHERE x.castsource = child.root AND x.casttarget = k.opcintype AND x.castcontext = 'i'
                AND (x.castmethod = 'b' OR f.pronamespace = 'pg_catalog'::regnamespace))))
    ORDER BY e.amoprighttype = child.root DESC LIMIT 1
) equal ON true
LEFT JOIN pg_operator o ON o.oid = equal.amopopr
LEFT JOIN pg_namespace n ON n.oid = o.oprnamespace
LEFT JOIN pg_type l ON l.oid = o.oprleft
LEFT JOIN pg_type r ON r.oid = o.oprright
ORDER BY pair.place
"""

GRANTEES = """
SELECT DISTINCT CASE WHEN g.grantee = 0 THEN 'public' ELSE pg_get_userbyid(g.grantee)::text END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN aclexplode(c.relacl) AS g
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND g.grantee <> c.relowner
"""
