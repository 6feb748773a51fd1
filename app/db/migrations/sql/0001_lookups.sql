-- The few questions that cross tenants. Each is a function of its own, owned by the schema's owner, so that the role of the
-- web and the workers needs no way around row-level security.

-- Signing in starts without a tenant.
CREATE FUNCTION auth_user(p_email text, p_id uuid DEFAULT NULL)
RETURNS TABLE (id uuid, tenant_id uuid, tenant_slug text, tenant_name text, email text, role text, password_hash text, is_active boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.id, u.tenant_id, t.slug, t.name, u.email, u.role, u.password_hash, u.is_active
    FROM users u LEFT JOIN tenants t ON t.id = u.tenant_id
    WHERE (p_id IS NULL AND u.email = lower(p_email)) OR u.id = p_id
$$;

CREATE FUNCTION auth_touch(p_id uuid, p_new_hash text DEFAULT NULL) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE users SET last_login_at = clock_timestamp(), password_hash = coalesce(p_new_hash, password_hash) WHERE id = p_id
$$;

-- Every tenant's lane, for the router: only those that differ from the shared one.
CREATE FUNCTION lane_routes() RETURNS TABLE (tenant_id uuid, queue text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id, queue FROM tenant_lanes
$$;

-- Which tenant and queue a dedicated worker's client has: by the id of its user or of the tenant.
CREATE FUNCTION client_lane(p_client uuid)
RETURNS TABLE (tenant_id uuid, tenant_slug text, email text, queue text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.slug, u.email, l.queue
    FROM tenants t LEFT JOIN users u ON u.id = p_client LEFT JOIN tenant_lanes l ON l.tenant_id = t.id
    WHERE t.id = coalesce(u.tenant_id, p_client)
$$;

-- The keys that serve a tenant: its own enabled ones, else the platform's.
CREATE FUNCTION keys_for(p_tenant uuid, p_provider text)
RETURNS TABLE (id uuid, tenant_id uuid, fingerprint text, secret_encrypted bytea, hint text, spacing_ms integer,
               requests_per_window integer, window_seconds integer, daily_limit integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.id, k.tenant_id, k.fingerprint, k.secret_encrypted, k.hint, k.spacing_ms, k.requests_per_window,
           k.window_seconds, k.daily_limit
    FROM api_keys k
    WHERE k.provider = p_provider AND k.is_enabled
      AND k.tenant_id IS NOT DISTINCT FROM CASE WHEN EXISTS (
          SELECT 1 FROM api_keys own WHERE own.tenant_id = p_tenant AND own.provider = p_provider AND own.is_enabled
      ) THEN p_tenant END
    ORDER BY k.created_at, k.id
$$;

-- For operators: every key, without its secret: the stored ones, and those in the environment of live workers.
CREATE FUNCTION keys_overview()
RETURNS TABLE (id uuid, tenant_id uuid, tenant_slug text, provider text, fingerprint text, hint text, spacing_ms integer,
               requests_per_window integer, window_seconds integer, daily_limit integer, is_enabled boolean,
               notes text, used_today integer, last_used_at timestamptz, source text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH stored AS (
        SELECT k.id, k.tenant_id, k.provider, k.fingerprint, k.hint, k.spacing_ms, k.requests_per_window,
               k.window_seconds, k.daily_limit, k.is_enabled, k.notes, 'database' AS source
        FROM api_keys k
    ), carried AS (
        -- Of several workers with the same key, the one that started last; a user's id names its tenant.
        SELECT DISTINCT ON (c.tenant_id, e.fingerprint) NULL::uuid AS id, c.tenant_id, 'mailtester' AS provider,
               e.fingerprint, e.hint, e.spacing_ms, e.requests_per_window, e.window_seconds, e.daily_limit,
               true AS is_enabled, 'in the environment of ' || w.name AS notes, 'environment' AS source
        FROM workers w
        CROSS JOIN jsonb_to_recordset(w.environment_keys) AS e(fingerprint text, hint text, spacing_ms integer,
            requests_per_window integer, window_seconds integer, daily_limit integer)
        LEFT JOIN LATERAL (
            SELECT coalesce((SELECT u.tenant_id FROM users u WHERE u.id = w.client_id), w.client_id) AS tenant_id) c ON true
        WHERE w.last_seen > clock_timestamp() - interval '1 minute'
        ORDER BY c.tenant_id, e.fingerprint, w.started_at DESC
    )
    SELECT k.id, k.tenant_id, t.slug, k.provider, k.fingerprint, k.hint, k.spacing_ms, k.requests_per_window,
           k.window_seconds, k.daily_limit, k.is_enabled, k.notes, coalesce(u.used, 0), u.last_used_at, k.source
    FROM (SELECT * FROM stored UNION ALL SELECT * FROM carried) k LEFT JOIN tenants t ON t.id = k.tenant_id
    LEFT JOIN key_usage u ON u.fingerprint = k.fingerprint AND u.day = (now() AT TIME ZONE 'UTC')::date
    ORDER BY t.slug NULLS FIRST, k.source, k.hint
$$;

-- For operators and /metrics: each lane with what it holds. waiting is what could be released now.
CREATE FUNCTION lanes_overview(p_presence_seconds double precision)
RETURNS TABLE (queue text, kind text, tenants text[], ready bigint, deferred bigint, released bigint, running bigint,
               oldest_seconds double precision, workers bigint, slots bigint, held_until timestamptz, held_reason text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH open_chunks AS (
        SELECT c.kind, c.tenant_id, c.queue, c.status, c.run_at > clock_timestamp() AS later, count(*) AS n,
               min(coalesce(c.released_at, c.run_at)) AS since
        FROM chunks c WHERE c.status IN ('ready', 'released', 'running') GROUP BY 1, 2, 3, 4, 5
    ), placed AS (
        SELECT o.*, coalesce(o.queue, CASE WHEN k.per_tenant THEN l.queue END, k.base_queue) AS lane
        FROM open_chunks o JOIN chunk_kinds k ON k.kind = o.kind LEFT JOIN tenant_lanes l ON l.tenant_id = o.tenant_id
    ), attended AS (
        SELECT q.queue, count(*) AS workers, sum(w.slots) AS slots FROM workers w CROSS JOIN unnest(w.queues) AS q(queue)
        WHERE w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds) GROUP BY q.queue
    ), held AS (
        SELECT coalesce(CASE WHEN k.per_tenant THEN l.queue END, k.base_queue) AS lane, min(h.until) AS until,
               (array_agg(h.reason ORDER BY h.until))[1] AS reason
        FROM lane_holds h JOIN chunk_kinds k ON k.kind = h.kind LEFT JOIN tenant_lanes l ON l.tenant_id = h.tenant_id
        WHERE h.until > clock_timestamp() GROUP BY 1
    ), named AS (
        SELECT base_queue AS lane, kind FROM chunk_kinds
        UNION SELECT l.queue, k.kind FROM tenant_lanes l CROSS JOIN chunk_kinds k WHERE k.per_tenant
        UNION SELECT lane, kind FROM placed
    )
    SELECT n.lane, n.kind,
        (SELECT array_agg(t.slug ORDER BY t.slug) FROM tenants t WHERE t.id IN (
            SELECT l.tenant_id FROM tenant_lanes l WHERE l.queue = n.lane
            UNION SELECT p.tenant_id FROM placed p WHERE p.lane = n.lane AND p.kind = n.kind)),
        coalesce(sum(p.n) FILTER (WHERE p.status = 'ready' AND NOT p.later), 0)::bigint,
        coalesce(sum(p.n) FILTER (WHERE p.status = 'ready' AND p.later), 0)::bigint,
        coalesce(sum(p.n) FILTER (WHERE p.status = 'released'), 0)::bigint,
        coalesce(sum(p.n) FILTER (WHERE p.status = 'running'), 0)::bigint,
        extract(epoch FROM clock_timestamp() - min(p.since) FILTER (WHERE p.status <> 'running' AND NOT p.later))::double precision,
        coalesce(max(a.workers), 0)::bigint, coalesce(max(a.slots), 0)::bigint, max(h.until), max(h.reason)
    FROM named n
    LEFT JOIN placed p ON p.lane = n.lane AND p.kind = n.kind
    LEFT JOIN attended a ON a.queue = n.lane
    LEFT JOIN held h ON h.lane = n.lane
    GROUP BY n.lane, n.kind ORDER BY n.lane
$$;
