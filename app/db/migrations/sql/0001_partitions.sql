-- Monthly partitions of job_items and job_results, bounded by the UUIDv7 of the month's first moment.

CREATE FUNCTION uuid7_floor(p_at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT
AS $$ SELECT (lpad(to_hex((extract(epoch FROM p_at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;
COMMENT ON FUNCTION uuid7_floor IS 'The smallest UUIDv7 of a moment (RFC 9562: 48 bits of Unix milliseconds first).';

-- Rows of a month that began without its partition are in the default one; they move into the month's when it is made.
-- A reader in the way is not waited for long: whoever calls comes again, and months are made well ahead.
CREATE FUNCTION ensure_partitions(p_from date, p_months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '800ms' AS $$
DECLARE
    month  timestamptz;
    suffix text;
    lower  uuid;
    upper  uuid;
    parent text;
    made   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7245002);
    FOR step IN 0 .. p_months - 1 LOOP
        month := (date_trunc('month', p_from::timestamp) + make_interval(months => step)) AT TIME ZONE 'UTC';
        suffix := to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass('public.job_items_' || suffix) IS NULL THEN
            lower := uuid7_floor(month);
            upper := uuid7_floor((month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
            LOCK TABLE job_items_default, job_results_default IN ACCESS EXCLUSIVE MODE;
            FOREACH parent IN ARRAY ARRAY['job_items', 'job_results'] LOOP
                EXECUTE format('CREATE TABLE %s_%s (LIKE %s INCLUDING ALL)', parent, suffix, parent);
                EXECUTE format('WITH moved AS (DELETE FROM %s_default WHERE job_id >= %L AND job_id < %L RETURNING *) '
                    'INSERT INTO %s_%s SELECT * FROM moved', parent, lower, upper, parent, suffix);
                EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s_%s FOR VALUES FROM (%L) TO (%L)',
                    parent, parent, suffix, lower, upper);
            END LOOP;
            -- Rows come in by COPY, which PostgreSQL refuses on a table with row-level security, so the leaf
            -- itself may be appended to, and nothing else: no SELECT, and tenant_id is always the scope's.
            EXECUTE format('GRANT INSERT (job_id, item_no, line_no, email, cells) ON job_items_%s TO {app_role}', suffix);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

CREATE TABLE job_items_default PARTITION OF job_items DEFAULT;
CREATE TABLE job_results_default PARTITION OF job_results DEFAULT;
GRANT INSERT (job_id, item_no, line_no, email, cells) ON job_items_default TO {app_role};
SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date, 4);

CREATE FUNCTION items_partition(p_job uuid) RETURNS text LANGUAGE sql STABLE
AS $$
    SELECT coalesce(to_regclass('public.job_items_' || to_char(
        to_timestamp(('x' || substr(replace(p_job::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0) AT TIME ZONE 'UTC',
        'YYYY_MM'))::text, 'job_items_default')
$$;
COMMENT ON FUNCTION items_partition IS 'The leaf that holds a job''s items, for COPY.';
