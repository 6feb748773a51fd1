-- What the lanes' views ask across clients, beside lanes_overview: each a function of its own, as there.

-- For operators and /metrics: each lane with what it holds; ready is what could be released now. rows_left have no answer
-- yet, NULL where chunks are no ranges of rows. Clients are named once a lane, so that what it costs follows the clients
-- and not their number times that of the lanes.
DROP FUNCTION lanes_overview(double precision);
CREATE FUNCTION lanes_overview(p_presence_seconds double precision)
RETURNS TABLE (queue text, kind text, tenants text[], ready bigint, deferred bigint, released bigint, running bigint,
               oldest_seconds double precision, workers bigint, slots bigint, held_until timestamptz, held_reason text,
               rows_left bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH open_chunks AS (
        SELECT c.kind, c.tenant_id, c.queue, c.status, c.run_at > clock_timestamp() AS later, count(*) AS n,
               min(coalesce(c.released_at, c.run_at)) AS since, sum(c.last_item - c.first_item + 1 - c.done_items) AS rows
        FROM chunks c WHERE c.status IN ('ready', 'released', 'running') GROUP BY 1, 2, 3, 4, 5
    ), placed AS MATERIALIZED (
        SELECT o.*, k.per_tenant, coalesce(o.queue, CASE WHEN k.per_tenant THEN l.queue END, k.base_queue) AS lane
        FROM open_chunks o JOIN chunk_kinds k ON k.kind = o.kind LEFT JOIN tenant_lanes l ON l.tenant_id = o.tenant_id
    ), own AS MATERIALIZED (
        -- Also a lane whose client has fallen back: it is what people look for.
        SELECT l.tenant_id, l.queue AS lane, k.kind FROM configured_lanes l CROSS JOIN chunk_kinds k WHERE k.per_tenant
    ), clients AS (
        SELECT s.lane, s.kind, array_agg(t.slug ORDER BY t.slug) AS slugs
        FROM (SELECT lane, kind, tenant_id FROM own UNION SELECT lane, kind, tenant_id FROM placed) s
        JOIN tenants t ON t.id = s.tenant_id GROUP BY s.lane, s.kind
    ), held AS (
        SELECT coalesce(CASE WHEN k.per_tenant THEN l.queue END, k.base_queue) AS lane, min(h.until) AS until,
               (array_agg(h.reason ORDER BY h.until))[1] AS reason
        FROM lane_holds h JOIN chunk_kinds k ON k.kind = h.kind LEFT JOIN tenant_lanes l ON l.tenant_id = h.tenant_id
        WHERE h.until > clock_timestamp() GROUP BY 1
    ), attended AS (
        SELECT q.queue, count(*) AS workers, sum(w.slots) AS slots FROM workers w CROSS JOIN unnest(w.queues) AS q(queue)
        WHERE w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds) GROUP BY q.queue
    ), work AS (
        SELECT p.lane, p.kind, sum(p.n) FILTER (WHERE p.status = 'ready' AND NOT p.later) AS ready,
            sum(p.n) FILTER (WHERE p.status = 'ready' AND p.later) AS deferred,
            sum(p.n) FILTER (WHERE p.status = 'released') AS released, sum(p.n) FILTER (WHERE p.status = 'running') AS running,
            min(p.since) FILTER (WHERE p.status <> 'running' AND NOT p.later) AS since, sum(p.rows) AS rows
        FROM placed p GROUP BY p.lane, p.kind
    ), named AS (
        SELECT base_queue AS lane, kind FROM chunk_kinds UNION SELECT lane, kind FROM own UNION SELECT lane, kind FROM work
    )
    SELECT n.lane, n.kind, c.slugs, coalesce(w.ready, 0)::bigint, coalesce(w.deferred, 0)::bigint,
        coalesce(w.released, 0)::bigint, coalesce(w.running, 0)::bigint,
        extract(epoch FROM clock_timestamp() - w.since)::double precision, coalesce(a.workers, 0), coalesce(a.slots, 0)::bigint,
        h.until, h.reason, CASE WHEN k.per_tenant THEN coalesce(w.rows, 0)::bigint END
    FROM named n
    JOIN chunk_kinds k ON k.kind = n.kind
    LEFT JOIN work w ON w.lane = n.lane AND w.kind = n.kind
    LEFT JOIN clients c ON c.lane = n.lane AND c.kind = n.kind
    LEFT JOIN attended a ON a.queue = n.lane
    LEFT JOIN held h ON h.lane = n.lane
    ORDER BY n.lane, n.kind
$$;

-- What each client had of the shared lane in the last hour; only clients that had something.
CREATE FUNCTION shared_lane_parts() RETURNS TABLE (tenant_id uuid, slug text, rows bigint, part double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.tenant_id, t.slug, u.rows, u.rows / sum(u.rows) OVER ()::double precision
    FROM (
        SELECT s.tenant_id, sum(s.rows)::bigint AS rows FROM lane_usage s
        WHERE s.queue = 'verification-queue' AND s.minute > now() - interval '1 hour' GROUP BY s.tenant_id
    ) u JOIN tenants t ON t.id = u.tenant_id
    WHERE u.rows > 0 ORDER BY u.rows DESC, t.slug
$$;

-- Clients whose policy keeps them from the platform's keys.
CREATE FUNCTION own_keys_only() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.slug FROM tenants t WHERE t.key_policy = 'own'
$$;

REVOKE ALL ON FUNCTION lanes_overview(double precision), shared_lane_parts(), own_keys_only() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lanes_overview(double precision), shared_lane_parts(), own_keys_only() TO {app_role};
