-- Keys as operators see them: those of the clients that are asked for, and each key's use in its own day.

CREATE INDEX api_keys_fingerprint_idx ON api_keys (fingerprint, updated_at DESC);
COMMENT ON TABLE key_usage IS 'What a key was used for, by its own day, which begins at its reset_hour (usage_day).';

-- The day that a key's calls count towards now. Of several rows with one key the newest limits are in force, so its hour; a
-- key of an environment begins its day at 0:00 UTC. With another hour some use of before may count towards the day again.
CREATE FUNCTION usage_day(p_fingerprint text) RETURNS date
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT (now() AT TIME ZONE 'UTC' - make_interval(hours => coalesce((
        SELECT k.reset_hour FROM api_keys k WHERE k.fingerprint = p_fingerprint ORDER BY k.updated_at DESC LIMIT 1), 0)))::date
$$;

-- For operators: keys, without their secrets: the stored ones, and those in the environment of live workers. Of every client
-- and of the platform, or of p_tenants only, where NULL stands for the platform; what it costs follows them.
DROP FUNCTION keys_overview();
CREATE FUNCTION keys_overview(p_tenants uuid[] DEFAULT NULL)
RETURNS TABLE (id uuid, tenant_id uuid, tenant_slug text, provider text, fingerprint text, hint text, spacing_ms integer,
               requests_per_window integer, window_seconds integer, daily_limit integer, is_enabled boolean,
               notes text, used_today integer, last_used_at timestamptz, source text, extra_windows jsonb, reset_hour smallint,
               in_force boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH wanted AS (
        -- One branch is in use, each by its index.
        SELECT k.* FROM api_keys k WHERE p_tenants IS NULL
        UNION ALL SELECT k.* FROM api_keys k WHERE k.tenant_id = ANY (p_tenants)
        UNION ALL SELECT k.* FROM api_keys k WHERE k.tenant_id IS NULL AND array_position(p_tenants, NULL) IS NOT NULL
    ), stored AS (
        SELECT k.id, k.tenant_id, k.provider, k.fingerprint, k.hint, k.spacing_ms, k.requests_per_window,
               k.window_seconds, k.daily_limit, k.is_enabled, k.notes, 'database' AS source, k.extra_windows, k.reset_hour
        FROM wanted k
    ), carried AS (
        -- Of several workers with the same key, the one that started last; a user's id names its tenant.
        SELECT DISTINCT ON (c.tenant_id, e.fingerprint) NULL::uuid AS id, c.tenant_id, 'mailtester' AS provider,
               e.fingerprint, e.hint, e.spacing_ms, e.requests_per_window, e.window_seconds, e.daily_limit,
               true AS is_enabled, 'in the environment of ' || w.name AS notes, 'environment' AS source,
               '[]'::jsonb AS extra_windows, 0::smallint AS reset_hour
        FROM workers w
        CROSS JOIN jsonb_to_recordset(w.environment_keys) AS e(fingerprint text, hint text, spacing_ms integer,
            requests_per_window integer, window_seconds integer, daily_limit integer, client_id uuid)
        LEFT JOIN LATERAL (
            SELECT coalesce((SELECT u.tenant_id FROM users u WHERE u.id = coalesce(e.client_id, w.client_id)),
                            e.client_id, w.client_id) AS tenant_id) c ON true
        WHERE w.last_seen > clock_timestamp() - interval '1 minute'
          AND (p_tenants IS NULL OR c.tenant_id = ANY (p_tenants)
               OR c.tenant_id IS NULL AND array_position(p_tenants, NULL) IS NOT NULL)
        ORDER BY c.tenant_id, e.fingerprint, w.started_at DESC
    ), every AS (SELECT * FROM stored UNION ALL SELECT * FROM carried)
    SELECT k.id, k.tenant_id, t.slug, k.provider, k.fingerprint, k.hint, k.spacing_ms, k.requests_per_window,
           k.window_seconds, k.daily_limit, k.is_enabled, k.notes, coalesce(u.used, 0), u.last_used_at, k.source,
           k.extra_windows, k.reset_hour,
           -- A worker's own keys win over the table's for its client; then the client's policy decides.
           k.is_enabled AND (k.source = 'environment' OR k.tenant_id IS NULL
               OR t.key_policy <> 'platform' AND NOT EXISTS (SELECT 1 FROM carried c WHERE c.tenant_id = k.tenant_id))
    -- With a limit by its index; without, every client would be read for the keys of one.
    FROM every k LEFT JOIN LATERAL (SELECT x.slug, x.key_policy FROM tenants x WHERE x.id = k.tenant_id LIMIT 1) t ON true
    LEFT JOIN key_usage u ON u.fingerprint = k.fingerprint AND u.day = usage_day(k.fingerprint)
    ORDER BY t.slug NULLS FIRST, k.source, k.hint
$$;

REVOKE ALL ON FUNCTION usage_day(text), keys_overview(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION usage_day(text), keys_overview(uuid[]) TO {app_role};
