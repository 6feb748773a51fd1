-- What the lanes' views ask across clients, beside lanes_overview: each a function of its own, as there.

-- The rows without an answer yet, by lane; only for kinds whose chunks are ranges of rows.
CREATE FUNCTION lane_rows() RETURNS TABLE (queue text, kind text, rows_left bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(o.queue, l.queue, k.base_queue), o.kind, sum(o.rows)::bigint
    FROM (
        -- By client first, so that lanes are looked up once a client and not once a chunk.
        SELECT c.kind, c.tenant_id, c.queue, sum(c.last_item - c.first_item + 1 - c.done_items) AS rows
        FROM chunks c WHERE c.status IN ('ready', 'released', 'running') GROUP BY c.kind, c.tenant_id, c.queue
    ) o JOIN chunk_kinds k ON k.kind = o.kind AND k.per_tenant LEFT JOIN tenant_lanes l ON l.tenant_id = o.tenant_id
    GROUP BY 1, 2
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

REVOKE ALL ON FUNCTION lane_rows(), shared_lane_parts(), own_keys_only() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_rows(), shared_lane_parts(), own_keys_only() TO {app_role};
