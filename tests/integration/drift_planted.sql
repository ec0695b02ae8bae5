-- What the owner of a database may plant in it, against the {functions} and {catalogs} that a reader uses. Everything counts its calls
-- in a sequence, which no rollback takes back. Twins have the types of the server's own, and win where public comes first in the path;
-- better fits win wherever public is in the path at all, as the server's own would take a conversion.

SET check_function_bodies = off;
CREATE SEQUENCE public.calls;
CREATE FUNCTION public.planted_note() RETURNS boolean LANGUAGE sql AS $$ SELECT pg_catalog.nextval('public.calls'::pg_catalog.regclass) IS NOT NULL $$;
GRANT ALL ON SEQUENCE public.calls TO PUBLIC;
DO $plant$
DECLARE p record; planted integer := 0;
BEGIN
  FOR p IN
    SELECT f.proname AS name, f.prorettype::regtype AS result, f.proretset, oidvectortypes(f.proargtypes) AS types,
      (SELECT coalesce(string_agg('$' || n, ', ' ORDER BY n), '') FROM generate_series(1, f.pronargs) AS n) AS arguments
    FROM pg_catalog.pg_proc AS f
    WHERE f.pronamespace = 'pg_catalog'::regnamespace AND f.prokind IN ('f', 'w') AND f.provariadic = 0 AND f.proargmodes IS NULL
      AND f.proname = ANY (regexp_split_to_array('{functions}', ' '))
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.planted_note(); RETURN %s; END $f$',
        p.name, p.types, CASE WHEN p.proretset THEN 'SETOF' ELSE '' END, p.result,
        CASE WHEN p.proretset THEN '' ELSE format('pg_catalog.%I(%s)', p.name, p.arguments) END);
      planted := planted + 1;
    EXCEPTION WHEN invalid_function_definition OR datatype_mismatch OR syntax_error THEN NULL;
    END;
  END LOOP;
  FOR p IN
    SELECT row_number() OVER () AS number, s.name, l.type AS l, r.type AS r, o.oprresult::regtype AS result
    FROM unnest(ARRAY['=', '<>', '<', '>', '<=', '>=', '||', '~', '~*', '~~', '!~~', '->>', '&', '-', '+']) AS s (name)
    CROSS JOIN unnest(ARRAY['text', 'name', 'varchar', '"char"', 'oid', 'int2', 'int4', 'bool', 'jsonb', 'regclass', 'text[]']::regtype[]) AS l (type)
    CROSS JOIN unnest(ARRAY['text', 'name', 'varchar', '"char"', 'oid', 'int2', 'int4', 'bool', 'jsonb', 'regclass', 'text[]']::regtype[]) AS r (type)
    LEFT JOIN pg_catalog.pg_operator AS o ON o.oprname = s.name AND o.oprleft = l.type AND o.oprright = r.type
    WHERE o.oid IS NOT NULL OR s.name <> '->>'
  LOOP
    EXECUTE format('CREATE FUNCTION public.planted_operator_%s(a %s, b %s) RETURNS %s LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.planted_note(); RETURN %s; END $f$',
      p.number, p.l, p.r, coalesce(p.result, CASE p.name WHEN '||' THEN 'text' ELSE 'boolean' END::regtype),
      CASE WHEN p.result IS NULL THEN 'NULL' ELSE format('a OPERATOR(pg_catalog.%s) b', p.name) END);
    EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.planted_operator_%s)', p.name, p.l, p.r, p.number);
    planted := planted + 1;
  END LOOP;
  FOR p IN SELECT c.relname AS name FROM pg_catalog.pg_class AS c WHERE c.relname = ANY (regexp_split_to_array('{catalogs}', ' '))
    AND has_table_privilege(c.oid, 'SELECT')
  LOOP
    BEGIN
      EXECUTE format('CREATE VIEW public.%I AS SELECT c.* FROM pg_catalog.%I AS c WHERE public.planted_note()', p.name, p.name);
      planted := planted + 1;
    EXCEPTION WHEN invalid_table_definition THEN NULL; -- a column of a type that views cannot have
    END;
  END LOOP;
  IF planted < 1500 THEN RAISE 'only % planted', planted; END IF;
END $plant$;
CREATE TYPE public.mood AS ENUM ('ok');
CREATE FUNCTION public.planted_text(a public.mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.planted_note(); RETURN 'ok'; END $$;
CREATE FUNCTION public.planted_json(a public.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM public.planted_note(); RETURN '1'; END $$;
CREATE CAST (public.mood AS text) WITH FUNCTION public.planted_text(public.mood) AS IMPLICIT;
CREATE CAST (public.mood AS json) WITH FUNCTION public.planted_json(public.mood) AS IMPLICIT;
CREATE TABLE public.t (a public.mood DEFAULT 'ok' CHECK (a::text = 'ok'::text), b text DEFAULT quote_ident('x'));
CREATE VIEW public.v AS SELECT a::text || 'x'::text AS x, quote_ident('x') AS y FROM t WHERE a::text = 'ok';
CREATE POLICY p ON public.t USING (a::text = 'ok'::text);
