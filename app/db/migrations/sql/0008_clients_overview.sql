-- Clients as operators see them, each at its own cost: one, a page of the list, or all.

CREATE INDEX worker_configs_user_idx ON worker_configs (user_id);
CREATE INDEX lane_usage_tenant_idx ON lane_usage (tenant_id, minute);

-- The client with a short name; NULL: there is none.
CREATE FUNCTION tenant_id_of(p_slug text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id FROM tenants WHERE slug = p_slug
$$;

-- Clients by short name after p_after, at most p_limit (NULL: all); those that have p_search, in letters of any size, in
-- their short name, their name, the e-mail of one of their people, or a queue of theirs.
CREATE FUNCTION find_clients(p_search text, p_after text, p_limit integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id FROM tenants t
    WHERE (p_after IS NULL OR t.slug > p_after) AND (p_search IS NULL
        OR strpos(t.slug, lower(p_search)) > 0 OR strpos(lower(t.name), lower(p_search)) > 0
        OR EXISTS (SELECT 1 FROM users u LEFT JOIN worker_configs wc ON wc.user_id = u.id WHERE u.tenant_id = t.id
            AND (strpos(u.email, lower(p_search)) > 0 OR strpos(lower(wc.verification_queue), lower(p_search)) > 0)))
    ORDER BY t.slug LIMIT p_limit
$$;

-- Clients with their settings, lane as configured and as in force, work, keys, and part of the shared lane: p_tenants, or
-- NULL: every one. Two things are read whole whoever is asked for: what is in flight, and the shared lane's last hour where
-- one had a part of it.
DROP FUNCTION clients_overview(double precision, uuid);
CREATE FUNCTION clients_overview(p_presence_seconds double precision, p_tenants uuid[] DEFAULT NULL)
RETURNS TABLE (id uuid, slug text, name text, weight smallint, max_in_flight integer, max_in_flight_per_job integer,
    key_policy text, fallback_after_seconds integer, created_at timestamptz,
    config_id uuid, user_id uuid, user_email text, worker_mode text, configured_queue text, is_active boolean,
    api_key_hint text, notes text, queue text, changed_at timestamptz, fallback_since timestamptz, unattended_since timestamptz,
    workers bigint, ready bigint, released bigint, running bigint, open_jobs bigint, keys bigint,
    rows_last_hour bigint, shared_rows_last_hour bigint, shared_part double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH wanted AS MATERIALIZED (
        SELECT * FROM tenants WHERE p_tenants IS NULL UNION ALL SELECT * FROM tenants WHERE tenants.id = ANY (p_tenants)
    ), work AS MATERIALIZED (
        SELECT c.tenant_id, count(*) FILTER (WHERE c.status = 'released') AS released,
            count(*) FILTER (WHERE c.status = 'running') AS running
        FROM chunks c JOIN chunk_kinds k ON k.kind = c.kind AND k.per_tenant
        WHERE c.status IN ('released', 'running') AND c.tenant_id IN (SELECT n.id FROM wanted n) GROUP BY c.tenant_id
    ), total AS MATERIALIZED (
        SELECT nullif(sum(s.rows), 0)::double precision AS shared FROM lane_usage s
        WHERE s.queue = 'verification-queue' AND s.minute > clock_timestamp() - interval '1 hour'
    )
    SELECT t.id, t.slug, t.name, t.weight, t.max_in_flight, t.max_in_flight_per_job, t.key_policy, t.fallback_after_seconds,
        t.created_at, c.id, c.user_id, c.email, c.worker_mode, c.verification_queue, c.is_active AND c.worker_mode = 'dedicated',
        c.api_key_hint, c.notes, coalesce(l.queue, 'verification-queue'),
        -- One probe each: joined, they would be read whole for one client.
        (SELECT r.changed_at FROM tenant_routes r WHERE r.tenant_id = t.id),
        (SELECT f.since FROM lane_fallbacks f WHERE f.tenant_id = t.id),
        (SELECT a.unattended_since FROM lane_attendance a WHERE a.queue = c.verification_queue),
        (SELECT count(*) FROM workers w WHERE w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds)
            AND coalesce(c.verification_queue, 'verification-queue') = ANY (w.queues)),
        -- By its own index; together with the others no index serves.
        (SELECT count(*) FROM chunk_kinds k JOIN chunks z ON z.kind = k.kind AND z.tenant_id = t.id AND z.status = 'ready'
            WHERE k.per_tenant),
        coalesce(w.released, 0), coalesce(w.running, 0),
        (SELECT count(*) FROM jobs j WHERE j.tenant_id = t.id AND j.status IN ('scheduled', 'pending', 'processing', 'retrying', 'waiting')),
        (SELECT count(*) FROM api_keys k WHERE k.tenant_id = t.id AND k.is_enabled),
        coalesce(u.rows, 0), coalesce(u.shared, 0),
        CASE WHEN u.shared > 0 THEN u.shared / (SELECT shared FROM total)
            WHEN u.rows IS NOT NULL AND EXISTS (SELECT 1 FROM lane_usage s WHERE s.queue = 'verification-queue' AND s.rows > 0
                AND s.minute > clock_timestamp() - interval '1 hour') THEN 0 END
    FROM wanted t
    LEFT JOIN LATERAL (
        -- The row in force, else the newest: what `enable` would put back.
        SELECT wc.*, p.email FROM users p JOIN worker_configs wc ON wc.user_id = p.id WHERE p.tenant_id = t.id
        ORDER BY (wc.is_active AND wc.worker_mode = 'dedicated') DESC, wc.updated_at DESC, wc.id LIMIT 1) c ON true
    -- With a limit the view is asked for one client; without, it would be made for all of them first.
    LEFT JOIN LATERAL (SELECT y.queue FROM tenant_lanes y WHERE y.tenant_id = t.id LIMIT 1) l ON true
    LEFT JOIN work w ON w.tenant_id = t.id
    LEFT JOIN LATERAL (
        SELECT sum(s.rows)::bigint AS rows, coalesce(sum(s.rows) FILTER (WHERE s.queue = 'verification-queue'), 0)::bigint AS shared
        FROM lane_usage s WHERE s.tenant_id = t.id AND s.minute > clock_timestamp() - interval '1 hour') u ON true
    ORDER BY t.slug
$$;

REVOKE ALL ON FUNCTION tenant_id_of(text), find_clients(text, text, integer), clients_overview(double precision, uuid[])
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenant_id_of(text), find_clients(text, text, integer), clients_overview(double precision, uuid[])
    TO {app_role};
