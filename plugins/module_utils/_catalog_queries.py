# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The queries of the catalog reader: a fixed number of them, whatever the size of the schema.

Each answers one JSON value. What there are thousands of (columns, indexes, constraints) comes as one list a field, which the
server makes and Python reads several times as fast as rows. Parameters: `schemas`, the oids of the schemas in scope, and
`relations`, `functions`, `types`, the oids of what extensions made, each as the text of an array of oids. The session's
search_path is empty, so names are printed in full and nothing that the database's owner planted is called.
"""

from __future__ import annotations

import re

FIRST_NORMAL_OID = 16384  # below are the objects that initdb made (access/transam.h, FirstNormalObjectId)

# Names of options whose values are secrets.
SECRET = "pass(?!word_(encryption|required)$)|secret|token|credential|pwd|api_?key|private_?key|jwt"  # noqa: S105


def _internal(catalog: str, oid: str) -> str:
    """Return the condition that an object came along with another one, without which it cannot be."""
    return f"EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid} AND d.deptype = 'i')"


def _without_secrets(options: str) -> str:
    """Return the expression of a list of options, name=value, in which secrets have no value."""
    name = "split_part(o, '=', 1)"
    return f"(SELECT json_agg(CASE WHEN {name} ~* '{SECRET}' THEN {name} || '=' ELSE o END) FROM unnest({options}) o)"  # noqa: S608


# What the reader must be able to read; some installations take it from PUBLIC.
CATALOGS = """
    pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_cast pg_class pg_collation pg_constraint pg_conversion pg_database
    pg_db_role_setting pg_default_acl pg_depend pg_description pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper
    pg_foreign_server pg_foreign_table pg_index pg_inherits pg_init_privs pg_language pg_namespace pg_opclass pg_operator pg_opfamily
    pg_policy pg_proc pg_publication pg_publication_namespace pg_publication_rel pg_range pg_rewrite pg_roles pg_seclabel pg_sequence
    pg_shdescription pg_statistic_ext pg_tablespace pg_transform pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser
    pg_ts_template pg_type pg_user_mappings
""".split()

# A catalog may be taken away in parts too; pg_get_expr and its kin want no privilege.
UNREADABLE = """
SELECT coalesce(json_agg(c.relname::text ORDER BY c.relname), '[]')
FROM pg_class c
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relname = ANY (%(catalogs)s) AND NOT has_table_privilege(c.oid, 'SELECT')
"""

CONTEXT = """
SELECT json_build_object(
  'standby', pg_is_in_recovery(),
  'backend', pg_backend_pid(),
  'schemas', (SELECT coalesce(json_agg(json_build_object(
      'oid', n.oid, 'name', n.nspname, 'owner', n.nspowner, 'acl', n.nspacl::text[])), '[]')
    FROM pg_namespace n
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgsteward', 'pgsteward_pooler') AND n.nspname NOT LIKE 'pg\\_temp\\_%%'
      AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%%'),
  'roles', (SELECT json_object_agg(r.oid, r.rolname) FROM pg_roles r),
  'members', (SELECT json_object_agg(m.class, m.oids) FROM (
    SELECT d.classid::regclass::text AS class, json_agg(d.objid) AS oids FROM pg_depend d WHERE d.deptype = 'e' GROUP BY 1) m),
  'extensions', (SELECT coalesce(json_agg(json_build_object(
      'oid', e.oid, 'name', e.extname, 'owner', e.extowner, 'schema', n.nspname, 'version', e.extversion)), '[]')
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace))
"""

DATABASE = """
SELECT json_build_object(
  'oid', d.oid, 'name', d.datname, 'owner', d.datdba, 'acl', d.datacl::text[], 'encoding', pg_encoding_to_char(d.encoding),
  'provider', d.datlocprovider, 'collate', d.datcollate, 'ctype', d.datctype,
  'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), 'rules', to_jsonb(d) ->> 'daticurules',
  'connection_limit', d.datconnlimit, 'tablespace', t.spcname, 'template', d.datistemplate, 'allowed', d.datallowconn,
  'comment', (SELECT s.description FROM pg_shdescription s WHERE s.classoid = 'pg_database'::regclass AND s.objoid = d.oid),
  'settings', (SELECT coalesce(json_agg(json_build_object('role', s.setrole, 'values', s.setconfig)), '[]')
    FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
WHERE d.datname = current_database()
"""

RELATIONS = """
SELECT coalesce(json_agg(json_build_object(
  'oid', c.oid, 'kind', c.relkind, 'schema', c.relnamespace, 'name', c.relname, 'owner', c.relowner, 'acl', c.relacl::text[],
  'rest', CASE WHEN c.relkind NOT IN ('r', 'S') OR c.relpersistence <> 'p' OR c.reloptions IS NOT NULL OR t.reloptions IS NOT NULL
      OR c.reltablespace <> 0 OR c.relrowsecurity OR c.relforcerowsecurity OR c.relreplident <> 'd' OR c.relispartition
      OR c.reloftype <> 0 OR m.amname <> 'heap' THEN json_build_object(
    'persistence', c.relpersistence, 'options', c.reloptions, 'toast_options', t.reloptions, 'access_method', m.amname,
    'tablespace', s.spcname, 'row_security', c.relrowsecurity, 'force_row_security', c.relforcerowsecurity,
    'replica_identity', c.relreplident, 'of_type', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END,
    'bound', CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
    'partition_by', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
    'definition', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
    'server', f.srvname, 'foreign_options', f.ftoptions) END)), '[]')
FROM pg_class c
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
LEFT JOIN pg_am m ON m.oid = c.relam
LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
LEFT JOIN (SELECT g.ftrelid, g.ftoptions, v.srvname FROM pg_foreign_table g JOIN pg_foreign_server v ON v.oid = g.ftserver) f
  ON f.ftrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'S') AND c.relnamespace = ANY (%(schemas)s::oid[])
"""

INHERITS = """
SELECT coalesce(json_agg(json_build_array(i.inhrelid, i.inhparent, i.inhdetachpending) ORDER BY i.inhrelid, i.inhseqno), '[]')
FROM pg_inherits i
"""

# Minor releases from autumn 2026 on (15.20 and 17.12 were seen) keep a stamp of their own among the options of every column, pg_attver.
_HAS_OPTIONS = "(cardinality(a.attoptions) > 1 OR a.attoptions[1] NOT LIKE 'pg\\_attver=%%')"

# A default names no column; printing it without its table makes tables of a thousand columns bearable before PostgreSQL 18.
COLUMNS = """
SELECT json_build_array(
  json_agg(x.attrelid), json_agg(x.attnum), json_agg(x.attname::text), json_agg(x.type), json_agg(x.attnotnull), json_agg(x.expression), json_agg(x.rest))
FROM (
  SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
    CASE WHEN a.atthasdef THEN (SELECT pg_get_expr(d.adbin, CASE WHEN a.attgenerated <> '' THEN d.adrelid ELSE 0 END)
      FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END AS expression,
    CASE WHEN a.attidentity <> '' OR a.attgenerated <> '' OR a.attcollation <> t.typcollation OR a.attstorage <> t.typstorage
      OR a.attcompression <> '' OR coalesce(a.attstattarget, -1) >= 0 OR {options} OR a.attfdwoptions IS NOT NULL
      OR a.attacl IS NOT NULL OR NOT a.attislocal THEN json_build_object(
      'identity', a.attidentity, 'generated', a.attgenerated, 'storage', nullif(a.attstorage, t.typstorage),
      'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
      'compression', a.attcompression, 'statistics', a.attstattarget, 'options', a.attoptions, 'foreign_options', a.attfdwoptions,
      'acl', a.attacl::text[], 'local', a.attislocal) END AS rest
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid
  JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
    AND c.relnamespace = ANY (%(schemas)s::oid[])
  ORDER BY a.attrelid, a.attnum
) x
""".replace("{options}", _HAS_OPTIONS)

# Numbers of columns, for the lists of constraints and indexes. Dropped columns keep theirs.
# Constraints that another one brings along (parts of a foreign key on partitions) are left out: only the server names them.
CONSTRAINTS = """
SELECT json_build_array(
  json_agg(k.oid), json_agg(k.conrelid), json_agg(k.contypid), json_agg(k.conname::text), json_agg(k.contype),
  json_agg(k.condeferrable), json_agg(k.condeferred), json_agg(k.convalidated), json_agg({enforced}), json_agg(k.connoinherit),
  json_agg(k.conislocal), json_agg(k.conkey), json_agg(k.conindid),
  json_agg(CASE WHEN k.contype = 'f' THEN json_build_array(
    k.confrelid, k.confkey, k.confupdtype, k.confdeltype, k.confmatchtype, k.confdelsetcols) END),
  json_agg(CASE k.contype WHEN 'c' THEN pg_get_expr(k.conbin, k.conrelid) WHEN 'x' THEN pg_get_constraintdef(k.oid) END),
  json_agg({period}))
FROM pg_constraint k
WHERE k.connamespace = ANY (%(schemas)s::oid[]) AND k.contype IN ('p', 'u', 'f', 'c', 'x')
  AND NOT (k.contype = 'f' AND k.conparentid <> 0)
"""

# PostgreSQL 18 keeps NOT NULL as constraints. Only what a column of an older server cannot be is of interest: not valid, not inherited.
NOT_NULLS = """
SELECT coalesce(json_agg(json_build_array(k.conrelid, a.attname, k.convalidated, k.connoinherit)), '[]')
FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.contype = 'n' AND k.conrelid <> 0 AND (NOT k.convalidated OR k.connoinherit) AND k.connamespace = ANY (%(schemas)s::oid[])
"""

INDEXES = """
SELECT json_build_array(
  json_agg(i.indexrelid), json_agg(i.indrelid), json_agg(c.relname::text), json_agg(m.amname::text), json_agg(i.indisunique),
  json_agg(i.indkey::text), json_agg(i.indnkeyatts), json_agg(i.indclass::text), json_agg(i.indcollation::text),
  json_agg(i.indoption::text),
  json_agg(CASE WHEN i.indexprs IS NOT NULL OR i.indpred IS NOT NULL OR c.reloptions IS NOT NULL OR NOT i.indisvalid OR NOT i.indisready
      OR NOT i.indislive OR i.indisclustered OR i.indisreplident OR i.indnullsnotdistinct OR c.reltablespace <> 0 OR c.relispartition
    THEN json_build_object(
      'expressions', CASE WHEN i.indexprs IS NOT NULL THEN (SELECT json_agg(pg_get_indexdef(i.indexrelid, n, false) ORDER BY n)
        FROM generate_series(1, i.indnkeyatts) n) END,
      'predicate', pg_get_expr(i.indpred, i.indrelid), 'options', c.reloptions, 'valid', i.indisvalid AND i.indisready AND i.indislive,
      'clustered', i.indisclustered, 'replica_identity', i.indisreplident, 'nulls_not_distinct', i.indnullsnotdistinct,
      'tablespace', (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace), 'partition', c.relispartition) END))
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am m ON m.oid = c.relam
WHERE c.relnamespace = ANY (%(schemas)s::oid[])
"""

# Options of operator classes and statistics targets stand with the index's own columns, and nearly no index has them.
INDEX_COLUMNS = """
SELECT coalesce(json_agg(json_build_array(a.attrelid, a.attnum, a.attoptions, a.attstattarget)), '[]')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relkind IN ('i', 'I') AND c.relnamespace = ANY (%(schemas)s::oid[])
  AND ({options} OR coalesce(a.attstattarget, -1) >= 0)
""".replace("{options}", _HAS_OPTIONS)

# Operator classes by oid, with whether they are the default of their type.
CLASSES = """
SELECT json_object_agg(o.oid, json_build_array(n.nspname, o.opcname, o.opcdefault))
FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace
"""

# The collation of each indexed column that is not that of the table's column, or, for an expression, of its type.
INDEX_COLLATIONS = """
SELECT coalesce(json_agg(json_build_array(x.indexrelid, x.n, x.collated::regcollation::text)), '[]')
FROM (
  SELECT i.indexrelid, u.n, u.collated, coalesce(a.attcollation, t.typcollation) AS usual
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  CROSS JOIN LATERAL unnest(i.indcollation, i.indkey::int2[]) WITH ORDINALITY AS u (collated, attnum, n)
  LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum AND u.attnum > 0
  LEFT JOIN pg_attribute e ON e.attrelid = i.indexrelid AND e.attnum = u.n AND u.attnum = 0
  LEFT JOIN pg_type t ON t.oid = e.atttypid
  WHERE u.collated <> 0 AND c.relnamespace = ANY (%(schemas)s::oid[])
    -- Nearly all indexes have the database's collation (100), or none, on columns that have the same: they are not looked at twice.
    AND (i.indexprs IS NOT NULL OR NOT i.indcollation::oid[] <@ '{0,100}' OR i.indrelid = ANY (ARRAY(
      SELECT b.attrelid FROM pg_attribute b WHERE b.attcollation NOT IN (0, 100) AND b.attrelid >= {first})))
) x
WHERE x.collated <> x.usual
""".replace("{first}", str(FIRST_NORMAL_OID))

TRIGGERS = """
SELECT coalesce(json_agg(json_build_array(
  t.oid, t.tgrelid, t.tgname, t.tgenabled, t.tgparentid <> 0, CASE WHEN NOT t.tgisinternal THEN pg_get_triggerdef(t.oid) END,
  t.tgconstraint)), '[]')
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = ANY (%(schemas)s::oid[]) AND (NOT t.tgisinternal OR t.tgenabled <> 'O')
"""

RULES = """
SELECT coalesce(json_agg(json_build_array(r.oid, r.ev_class, r.rulename, r.ev_enabled, pg_get_ruledef(r.oid))), '[]')
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
WHERE c.relnamespace = ANY (%(schemas)s::oid[]) AND NOT (r.rulename = '_RETURN' AND c.relkind IN ('v', 'm'))
"""

POLICIES = """
SELECT coalesce(json_agg(json_build_array(
  p.oid, p.polrelid, p.polname, p.polcmd, p.polpermissive, p.polroles, pg_get_expr(p.polqual, p.polrelid),
  pg_get_expr(p.polwithcheck, p.polrelid))), '[]')
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
WHERE c.relnamespace = ANY (%(schemas)s::oid[])
"""

SEQUENCES = """
SELECT coalesce(json_agg(json_build_array(
  s.seqrelid, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
  d.refobjid, a.attname, d.deptype)), '[]')
FROM pg_sequence s
JOIN pg_class c ON c.oid = s.seqrelid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.objsubid = 0
  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE c.relnamespace = ANY (%(schemas)s::oid[])
"""

# Row types of tables, arrays and multiranges come with what they belong to.
TYPES = """
SELECT coalesce(json_agg(json_build_object(
  'oid', t.oid, 'kind', t.typtype, 'schema', t.typnamespace, 'name', t.typname, 'owner', t.typowner, 'acl', t.typacl::text[],
  'relation', t.typrelid,
  'labels', CASE WHEN t.typtype = 'e' THEN (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder)
    FROM pg_enum e WHERE e.enumtypid = t.oid) END,
  'domain', CASE WHEN t.typtype = 'd' THEN json_build_object(
    'base', format_type(t.typbasetype, t.typtypmod), 'not_null', t.typnotnull, 'default', pg_get_expr(t.typdefaultbin, 0),
    'collation', CASE WHEN t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END) END,
  'range', CASE WHEN t.typtype = 'r' THEN (SELECT json_build_object(
    'subtype', format_type(r.rngsubtype, NULL), 'multirange', r.rngmultitypid::regtype::text,
    'opclass', (SELECT n.nspname || '.' || o.opcname FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace
      WHERE o.oid = r.rngsubopc AND NOT o.opcdefault),
    'collation', CASE WHEN r.rngcollation <> s.typcollation THEN r.rngcollation::regcollation::text END,
    'canonical', nullif(r.rngcanonical::text, '-'), 'subtype_diff', nullif(r.rngsubdiff::text, '-'))
    FROM pg_range r JOIN pg_type s ON s.oid = r.rngsubtype WHERE r.rngtypid = t.oid) END,
  'base', CASE WHEN t.typtype = 'b' THEN json_build_object(
    'input', t.typinput::text, 'output', t.typoutput::text, 'receive', t.typreceive::text, 'send', t.typsend::text,
    'typmod_in', t.typmodin::text, 'typmod_out', t.typmodout::text, 'analyze', t.typanalyze::text, 'length', t.typlen,
    'by_value', t.typbyval, 'alignment', t.typalign, 'storage', t.typstorage, 'category', t.typcategory, 'preferred', t.typispreferred,
    'default', t.typdefault, 'element', nullif(t.typelem::regtype::text, '-'), 'delimiter', t.typdelim,
    'collatable', t.typcollation <> 0, 'subscript', to_jsonb(t) ->> 'typsubscript') END)), '[]')
FROM pg_type t
LEFT JOIN pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_type b ON b.oid = t.typbasetype
WHERE t.typnamespace = ANY (%(schemas)s::oid[]) AND t.typtype IN ('e', 'd', 'r', 'b', 'c') AND t.oid <> ALL (%(types)s::oid[])
  AND (t.typtype <> 'c' OR c.relkind = 'c')
  AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid AND t.typelem = e.oid)
"""

# What a range type brings along (constructors, casts to its multirange) is part of it, and belongs to the role that initdb made.
FUNCTIONS = """
SELECT coalesce(json_agg(json_build_object(
  'oid', p.oid, 'kind', p.prokind, 'schema', p.pronamespace, 'name', p.proname, 'inputs', oidvectortypes(p.proargtypes),
  'owner', p.proowner, 'acl', p.proacl::text[], 'arguments', pg_get_function_arguments(p.oid),
  'returns', CASE WHEN p.prokind <> 'p' THEN pg_get_function_result(p.oid) END, 'language', l.lanname, 'source', p.prosrc,
  'binary', p.probin, 'body', pg_get_function_sqlbody(p.oid), 'volatility', p.provolatile, 'strict', p.proisstrict,
  'security_definer', p.prosecdef, 'leakproof', p.proleakproof, 'parallel', p.proparallel, 'cost', p.procost, 'set', p.proretset,
  'rows', p.prorows, 'support', nullif(p.prosupport::text, '-'), 'settings', p.proconfig,
  'transforms', (SELECT json_agg(format_type(x, NULL)) FROM unnest(p.protrftypes) x),
  'aggregate', CASE WHEN p.prokind = 'a' THEN (SELECT json_build_object(
    'kind', g.aggkind, 'direct_arguments', g.aggnumdirectargs, 'transition', g.aggtransfn::text, 'final', g.aggfinalfn::text,
    'combine', g.aggcombinefn::text, 'serialize', g.aggserialfn::text, 'deserialize', g.aggdeserialfn::text,
    'moving_transition', g.aggmtransfn::text, 'moving_inverse', g.aggminvtransfn::text, 'moving_final', g.aggmfinalfn::text,
    'final_extra', g.aggfinalextra, 'moving_final_extra', g.aggmfinalextra, 'final_modify', g.aggfinalmodify,
    'moving_final_modify', g.aggmfinalmodify, 'sort_operator', nullif(g.aggsortop::regoperator::text, '0'),
    'state', format_type(g.aggtranstype, NULL), 'state_space', g.aggtransspace,
    'moving_state', CASE WHEN g.aggmtranstype <> 0 THEN format_type(g.aggmtranstype, NULL) END,
    'moving_state_space', g.aggmtransspace, 'initial', g.agginitval, 'moving_initial', g.aggminitval)
    FROM pg_aggregate g WHERE g.aggfnoid = p.oid) END)), '[]')
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = ANY (%(schemas)s::oid[]) AND p.oid <> ALL (%(functions)s::oid[])
  AND NOT (l.lanname = 'internal' AND {internal})
""".replace("{internal}", _internal("pg_proc", "p.oid"))

# Comments and labels of what initdb made are the server's own; only the schema public is often spoken of.
REMARKS = """
SELECT json_build_object(
  'comments', (SELECT coalesce(json_agg(json_build_array(d.classoid::regclass::text, d.objoid, d.objsubid, d.description)), '[]')
    FROM pg_description d WHERE d.objoid >= {first} OR (d.classoid = 'pg_namespace'::regclass
      AND d.description <> 'standard public schema')),
  'labels', (SELECT coalesce(json_agg(json_build_array(s.classoid::regclass::text, s.objoid, s.objsubid, s.provider, s.label)), '[]')
    FROM pg_seclabel s WHERE s.objoid >= {first}))
""".replace("{first}", str(FIRST_NORMAL_OID))

DEFAULT_PRIVILEGES = """
SELECT coalesce(json_agg(json_build_array(a.defaclrole, n.nspname, a.defaclobjtype, a.defaclacl::text[])), '[]')
FROM pg_default_acl a LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace
WHERE a.defaclnamespace = 0 OR a.defaclnamespace = ANY (%(schemas)s::oid[])
"""

# What was granted or revoked since on objects that initdb or an extension made, as pg_dump looks for it. Privileges that an extension's
# script gave are in pg_init_privs too.
SYSTEM_PRIVILEGES = """
SELECT coalesce(json_agg(json_build_array(x.kind, x.identity, x.owner, x.acl) ORDER BY x.kind, x.identity), '[]')
FROM (
  SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, c.oid::regclass::text AS identity, c.relowner AS owner,
    c.relacl::text[] AS acl
  FROM pg_class c LEFT JOIN pg_init_privs i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = 0
  WHERE (c.relnamespace = 'pg_catalog'::regnamespace OR c.oid = ANY (%(relations)s::oid[])) AND c.relacl IS DISTINCT FROM i.initprivs
  UNION ALL
  SELECT 'column', c.oid::regclass::text || '.' || quote_ident(a.attname), c.relowner, a.attacl::text[]
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
  LEFT JOIN pg_init_privs i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = a.attnum
  WHERE (c.relnamespace = 'pg_catalog'::regnamespace OR c.oid = ANY (%(relations)s::oid[])) AND a.attacl IS DISTINCT FROM i.initprivs
  UNION ALL
  SELECT 'function', p.oid::regprocedure::text, p.proowner, p.proacl::text[]
  FROM pg_proc p LEFT JOIN pg_init_privs i ON i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid AND i.objsubid = 0
  WHERE (p.pronamespace = 'pg_catalog'::regnamespace OR p.oid = ANY (%(functions)s::oid[])) AND p.proacl IS DISTINCT FROM i.initprivs
  UNION ALL
  SELECT 'type', format_type(t.oid, NULL), t.typowner, t.typacl::text[]
  FROM pg_type t LEFT JOIN pg_init_privs i ON i.classoid = 'pg_type'::regclass AND i.objoid = t.oid AND i.objsubid = 0
  WHERE (t.typnamespace = 'pg_catalog'::regnamespace OR t.oid = ANY (%(types)s::oid[])) AND t.typacl IS DISTINCT FROM i.initprivs
  UNION ALL
  SELECT 'schema', quote_ident(n.nspname), n.nspowner, n.nspacl::text[]
  FROM pg_namespace n LEFT JOIN pg_init_privs i ON i.classoid = 'pg_namespace'::regclass AND i.objoid = n.oid AND i.objsubid = 0
  WHERE n.nspname = 'pg_catalog' AND n.nspacl IS DISTINCT FROM i.initprivs
  UNION ALL
  SELECT 'language', l.lanname, l.lanowner, l.lanacl::text[]
  FROM pg_language l LEFT JOIN pg_init_privs i ON i.classoid = 'pg_language'::regclass AND i.objoid = l.oid AND i.objsubid = 0
  WHERE l.oid < {first} AND l.lanacl IS DISTINCT FROM i.initprivs
) x
""".replace("{first}", str(FIRST_NORMAL_OID))

STATISTICS = """
SELECT coalesce(json_agg(json_build_array(
  s.oid, s.stxnamespace, s.stxname, s.stxowner, s.stxstattarget, s.stxkind, s.stxrelid,
  (SELECT json_agg(a.attname ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[])),
  pg_get_statisticsobjdef_expressions(s.oid))), '[]')
FROM pg_statistic_ext s
WHERE s.stxnamespace = ANY (%(schemas)s::oid[])
"""

# Operators, operator classes and families, casts, conversions, collations, text search: whole rows, with names in the place of oids.
OPERATORS = """
SELECT json_build_object(
  'operators', (SELECT coalesce(json_agg(json_build_object(
      'oid', o.oid, 'identity', o.oid::regoperator::text, 'owner', o.oprowner, 'schema', o.oprnamespace, 'function', o.oprcode::text,
      'result', format_type(o.oprresult, NULL), 'commutator', nullif(o.oprcom::regoperator::text, '0'),
      'negator', nullif(o.oprnegate::regoperator::text, '0'), 'restrict', nullif(o.oprrest::text, '-'),
      'join', nullif(o.oprjoin::text, '-'), 'hashes', o.oprcanhash, 'merges', o.oprcanmerge)), '[]')
    FROM pg_operator o WHERE o.oprnamespace = ANY (%(schemas)s::oid[])),
  'families', (SELECT coalesce(json_agg(json_build_object(
      'oid', f.oid, 'schema', f.opfnamespace, 'name', f.opfname, 'owner', f.opfowner, 'method', m.amname,
      'operators', (SELECT json_agg(concat_ws(' ', s.amopstrategy, s.amopopr::regoperator, CASE s.amoppurpose WHEN 'o'
        THEN 'for order by ' || (SELECT h.nspname || '.' || g.opfname FROM pg_opfamily g JOIN pg_namespace h ON h.oid = g.opfnamespace
          WHERE g.oid = s.amopsortfamily) END) ORDER BY s.amopstrategy, s.amopopr::regoperator::text)
        FROM pg_amop s WHERE s.amopfamily = f.oid),
      'functions', (SELECT json_agg(concat_ws(' ', s.amprocnum, '(' || format_type(s.amproclefttype, NULL) || ', '
        || format_type(s.amprocrighttype, NULL) || ')', s.amproc::regprocedure) ORDER BY s.amprocnum, s.amproc::regprocedure::text)
        FROM pg_amproc s WHERE s.amprocfamily = f.oid))), '[]')
    FROM pg_opfamily f JOIN pg_am m ON m.oid = f.opfmethod WHERE f.opfnamespace = ANY (%(schemas)s::oid[])),
  'classes', (SELECT coalesce(json_agg(json_build_object(
      'oid', o.oid, 'schema', o.opcnamespace, 'name', o.opcname, 'owner', o.opcowner, 'method', m.amname, 'default', o.opcdefault,
      'type', format_type(o.opcintype, NULL), 'storage', CASE WHEN o.opckeytype <> 0 THEN format_type(o.opckeytype, NULL) END,
      'family', n.nspname || '.' || f.opfname)), '[]')
    FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod JOIN pg_opfamily f ON f.oid = o.opcfamily
    JOIN pg_namespace n ON n.oid = f.opfnamespace WHERE o.opcnamespace = ANY (%(schemas)s::oid[])),
  'casts', (SELECT coalesce(json_agg(json_build_object(
      'oid', c.oid, 'source', format_type(c.castsource, NULL), 'target', format_type(c.casttarget, NULL), 'method', c.castmethod,
      'context', c.castcontext, 'function', CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text END)), '[]')
    FROM pg_cast c WHERE c.oid >= {first} AND NOT {internal}),
  'conversions', (SELECT coalesce(json_agg(json_build_object(
      'oid', c.oid, 'schema', c.connamespace, 'name', c.conname, 'owner', c.conowner, 'default', c.condefault, 'function', c.conproc::text,
      'from', pg_encoding_to_char(c.conforencoding), 'to', pg_encoding_to_char(c.contoencoding))), '[]')
    FROM pg_conversion c WHERE c.connamespace = ANY (%(schemas)s::oid[])),
  'collations', (SELECT coalesce(json_agg(json_build_object(
      'oid', c.oid, 'schema', c.collnamespace, 'name', c.collname, 'owner', c.collowner, 'provider', c.collprovider,
      'deterministic', c.collisdeterministic, 'collate', c.collcollate, 'ctype', c.collctype,
      'locale', coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale'), 'rules', to_jsonb(c) ->> 'collicurules')), '[]')
    FROM pg_collation c WHERE c.collnamespace = ANY (%(schemas)s::oid[])),
  'configurations', (SELECT coalesce(json_agg(json_build_object(
      'oid', c.oid, 'schema', c.cfgnamespace, 'name', c.cfgname, 'owner', c.cfgowner,
      'parser', (SELECT n.nspname || '.' || p.prsname FROM pg_ts_parser p JOIN pg_namespace n ON n.oid = p.prsnamespace
        WHERE p.oid = c.cfgparser),
      'mapping', (SELECT json_agg(concat_ws(' ', (SELECT t.alias FROM ts_token_type(c.cfgparser) t WHERE t.tokid = m.maptokentype),
        m.mapdict::regdictionary) ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = c.oid))), '[]')
    FROM pg_ts_config c WHERE c.cfgnamespace = ANY (%(schemas)s::oid[])),
  'dictionaries', (SELECT coalesce(json_agg(json_build_object(
      'oid', d.oid, 'schema', d.dictnamespace, 'name', d.dictname, 'owner', d.dictowner, 'options', d.dictinitoption,
      'template', n.nspname || '.' || t.tmplname)), '[]')
    FROM pg_ts_dict d JOIN pg_ts_template t ON t.oid = d.dicttemplate JOIN pg_namespace n ON n.oid = t.tmplnamespace
    WHERE d.dictnamespace = ANY (%(schemas)s::oid[])),
  'parsers', (SELECT coalesce(json_agg(json_build_object(
      'oid', p.oid, 'schema', p.prsnamespace, 'name', p.prsname, 'start', p.prsstart::text, 'token', p.prstoken::text,
      'end', p.prsend::text, 'headline', p.prsheadline::text, 'types', p.prslextype::text)), '[]')
    FROM pg_ts_parser p WHERE p.prsnamespace = ANY (%(schemas)s::oid[])),
  'templates', (SELECT coalesce(json_agg(json_build_object(
      'oid', t.oid, 'schema', t.tmplnamespace, 'name', t.tmplname, 'init', t.tmplinit::text, 'lexize', t.tmpllexize::text)), '[]')
    FROM pg_ts_template t WHERE t.tmplnamespace = ANY (%(schemas)s::oid[])))
""".replace("{first}", str(FIRST_NORMAL_OID)).replace("{internal}", _internal("pg_cast", "c.oid"))

# What belongs to the database as a whole rather than to a schema.
GLOBALS = """
SELECT json_build_object(
  'languages', (SELECT coalesce(json_agg(json_build_object(
      'oid', l.oid, 'name', l.lanname, 'owner', l.lanowner, 'acl', l.lanacl::text[], 'trusted', l.lanpltrusted,
      'handler', CASE WHEN l.lanplcallfoid <> 0 THEN l.lanplcallfoid::regprocedure::text END,
      'inline', CASE WHEN l.laninline <> 0 THEN l.laninline::regprocedure::text END,
      'validator', CASE WHEN l.lanvalidator <> 0 THEN l.lanvalidator::regprocedure::text END)), '[]')
    FROM pg_language l WHERE l.oid >= {first}),
  'access_methods', (SELECT coalesce(json_agg(json_build_object(
      'oid', a.oid, 'name', a.amname, 'type', a.amtype, 'handler', a.amhandler::text)), '[]')
    FROM pg_am a WHERE a.oid >= {first}),
  'transforms', (SELECT coalesce(json_agg(json_build_object(
      'oid', t.oid, 'type', format_type(t.trftype, NULL), 'language', l.lanname,
      'from_sql', CASE WHEN t.trffromsql <> 0 THEN t.trffromsql::regprocedure::text END,
      'to_sql', CASE WHEN t.trftosql <> 0 THEN t.trftosql::regprocedure::text END)), '[]')
    FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang),
  'wrappers', (SELECT coalesce(json_agg(json_build_object(
      'oid', w.oid, 'name', w.fdwname, 'owner', w.fdwowner, 'acl', w.fdwacl::text[], 'options', {wrapper},
      'handler', CASE WHEN w.fdwhandler <> 0 THEN w.fdwhandler::regproc::text END,
      'validator', CASE WHEN w.fdwvalidator <> 0 THEN w.fdwvalidator::regproc::text END)), '[]')
    FROM pg_foreign_data_wrapper w),
  'servers', (SELECT coalesce(json_agg(json_build_object(
      'oid', s.oid, 'name', s.srvname, 'owner', s.srvowner, 'acl', s.srvacl::text[], 'options', {server}, 'type', s.srvtype,
      'version', s.srvversion, 'wrapper', w.fdwname)), '[]')
    FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw),
  'mappings', (SELECT coalesce(json_agg(json_build_object(
      'oid', m.umid, 'user', m.usename, 'server', m.srvname, 'options', {mapping},
      'visible', m.umoptions IS NOT NULL OR pg_has_role(s.srvowner, 'USAGE') OR m.usename = session_user)), '[]')
    FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid),
  'publications', (SELECT coalesce(json_agg(to_jsonb(p) || jsonb_build_object(
      'tables', (SELECT json_agg(json_build_array(r.prrelid, pg_get_expr(r.prqual, r.prrelid), (SELECT json_agg(a.attname ORDER BY a.attname)
          FROM pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[]))))
        FROM pg_publication_rel r WHERE r.prpubid = p.oid),
      'schemas', (SELECT json_agg(n.nspname ORDER BY n.nspname) FROM pg_publication_namespace s
        JOIN pg_namespace n ON n.oid = s.pnnspid WHERE s.pnpubid = p.oid))), '[]')
    FROM pg_publication p),
  'event_triggers', (SELECT coalesce(json_agg(json_build_object(
      'oid', e.oid, 'name', e.evtname, 'owner', e.evtowner, 'event', e.evtevent, 'function', e.evtfoid::regprocedure::text,
      'enabled', e.evtenabled, 'tags', e.evttags)), '[]')
    FROM pg_event_trigger e))
"""
GLOBALS = (
    GLOBALS.replace("{first}", str(FIRST_NORMAL_OID))
    .replace("{wrapper}", _without_secrets("w.fdwoptions"))
    .replace("{server}", _without_secrets("s.srvoptions"))
    .replace("{mapping}", _without_secrets("m.umoptions"))
)

# Everybody may see that subscriptions are there, and all of them but their connection strings, which are not asked for.
SUBSCRIPTIONS = """
SELECT coalesce(json_agg(json_build_object(
  'oid', s.oid, 'name', s.subname, 'owner', s.subowner, 'enabled', s.subenabled, 'binary', s.subbinary, 'stream', s.substream,
  'two_phase', s.subtwophasestate <> 'd', 'disable_on_error', s.subdisableonerr, 'slot', s.subslotname,
  'synchronous_commit', s.subsynccommit, 'publications', s.subpublications, 'more', json_build_object({more}))), '[]')
FROM pg_subscription s WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
"""

# The queries about relations that can be asked about some of them only: the condition for that.
_SOME = "= ANY (%(only)s::oid[])"
PARTIAL = {
    **dict.fromkeys(("relations", "columns", "triggers", "rules", "policies", "sequences"), f"c.oid {_SOME}"),
    **dict.fromkeys(("constraints", "not_nulls"), f"k.conrelid {_SOME}"),
    **dict.fromkeys(("indexes", "index_collations"), f"i.indrelid {_SOME}"),
    "index_columns": f"(SELECT x.indrelid FROM pg_index x WHERE x.indexrelid = c.oid) {_SOME}",  # noqa: S608
}
_OF_SCHEMAS = re.compile(r"\w\.\w+namespace = ANY \(%\(schemas\)s::oid\[\]\)")


def partial(name: str, query: str) -> str:
    """Return a query of PARTIAL, limited to the relations in the parameter only."""
    return _OF_SCHEMAS.sub(lambda match: f"{match[0]} AND {PARTIAL[name]}", query)
