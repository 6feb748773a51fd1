-- Which keys are in force where a worker carries some in its environment: those that it carries are one provider's, and
-- stand in the way of that provider's only.

-- For operators: keys, without their secrets: the stored ones, and those in the environment of live workers. Of every client
-- and of the platform, or of p_tenants only, where NULL stands for the platform; what it costs follows them. A worker's keys
-- serve its client only where it consumes the client's lane in force: not after a roll-back, nor for a lane that is others'.
CREATE OR REPLACE FUNCTION keys_overview(p_tenants uuid[] DEFAULT NULL, p_presence_seconds double precision DEFAULT 15)
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
               k.window_seconds, k.daily_limit, k.is_enabled, k.notes, 'database' AS source, k.extra_windows, k.reset_hour,
               true AS is_there
        FROM wanted k
    ), carried AS (
        -- Of several workers with the same key, one that serves the client, then the one that started last; a user's id names
        -- its tenant.
        SELECT DISTINCT ON (c.tenant_id, e.fingerprint) NULL::uuid AS id, c.tenant_id, 'mailtester' AS provider,
               e.fingerprint, e.hint, e.spacing_ms, e.requests_per_window, e.window_seconds, e.daily_limit,
               true AS is_enabled, 'in the environment of ' || w.name AS notes, 'environment' AS source,
               '[]'::jsonb AS extra_windows, 0::smallint AS reset_hour, p.is_there
        FROM workers w
        CROSS JOIN jsonb_to_recordset(w.environment_keys) AS e(fingerprint text, hint text, spacing_ms integer,
            requests_per_window integer, window_seconds integer, daily_limit integer, client_id uuid)
        LEFT JOIN LATERAL (
            SELECT coalesce((SELECT u.tenant_id FROM users u WHERE u.id = coalesce(e.client_id, w.client_id)),
                            e.client_id, w.client_id) AS tenant_id) c ON true
        CROSS JOIN LATERAL (
            SELECT c.tenant_id IS NULL OR coalesce((SELECT l.queue FROM tenant_lanes l WHERE l.tenant_id = c.tenant_id),
                                                   'verification-queue') = ANY (w.queues) AS is_there) p
        WHERE w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds)
          AND (p_tenants IS NULL OR c.tenant_id = ANY (p_tenants)
               OR c.tenant_id IS NULL AND array_position(p_tenants, NULL) IS NOT NULL)
        ORDER BY c.tenant_id, e.fingerprint, p.is_there DESC, w.started_at DESC
    ), every AS (SELECT * FROM stored UNION ALL SELECT * FROM carried)
    SELECT k.id, k.tenant_id, t.slug, k.provider, k.fingerprint, k.hint, k.spacing_ms, k.requests_per_window,
           k.window_seconds, k.daily_limit, k.is_enabled, k.notes, coalesce(u.used, 0), u.last_used_at, k.source,
           k.extra_windows, k.reset_hour,
           -- A worker's own keys win over the table's for its client; then the client's policy decides.
           k.is_enabled AND k.is_there AND (k.source = 'environment' OR k.tenant_id IS NULL
               OR t.key_policy <> 'platform'
                  AND NOT EXISTS (SELECT 1 FROM carried c
                      WHERE c.tenant_id = k.tenant_id AND c.provider = k.provider AND c.is_there))
    -- With a limit by its index; without, every client would be read for the keys of one.
    FROM every k LEFT JOIN LATERAL (SELECT x.slug, x.key_policy FROM tenants x WHERE x.id = k.tenant_id LIMIT 1) t ON true
    LEFT JOIN key_usage u ON u.fingerprint = k.fingerprint AND u.day = usage_day(k.fingerprint)
    ORDER BY t.slug NULLS FIRST, k.source, k.hint
$$;
