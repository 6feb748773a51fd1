-- What operators are shown of clients and keys, beside clients_overview and keys_overview: each a function of its own.

-- The holds in force, of p_tenants or of every client, with the lane that the client's work goes to; the first to end first.
CREATE FUNCTION client_holds(p_tenants uuid[] DEFAULT NULL)
RETURNS TABLE (tenant_id uuid, slug text, queue text, reason text, since timestamptz, until timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    -- One branch is in use: all at once, or each by its index (with a limit the view is asked for one client).
    WITH held AS (
        SELECT h.*, (SELECT l.queue FROM tenant_lanes l WHERE l.tenant_id = h.tenant_id LIMIT 1) AS own
        FROM lane_holds h WHERE h.tenant_id = ANY (p_tenants)
        UNION ALL SELECT h.*, l.queue FROM lane_holds h LEFT JOIN tenant_lanes l ON l.tenant_id = h.tenant_id
        WHERE p_tenants IS NULL
    )
    SELECT h.tenant_id, t.slug, coalesce(h.own, k.base_queue), h.reason, h.created_at, h.until
    FROM held h JOIN chunk_kinds k ON k.kind = h.kind AND k.per_tenant JOIN tenants t ON t.id = h.tenant_id
    WHERE h.until > clock_timestamp() ORDER BY h.until, t.slug
$$;

-- As in 0010; and a hold that follows one for the same reason keeps the moment since when that is so.
CREATE OR REPLACE FUNCTION hold_lane(p_chunk bigint, p_fence integer, p_until timestamptz, p_reason text, p_noticed_at timestamptz)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    c chunks;
BEGIN
    SELECT * INTO c FROM chunks WHERE id = p_chunk AND fence = p_fence AND status = 'running' AND tenant_id = laneway_tenant();
    IF NOT FOUND
        OR c.queue IS DISTINCT FROM (
            SELECT coalesce(CASE WHEN k.per_tenant THEN l.queue END, k.base_queue)
            FROM chunk_kinds k LEFT JOIN tenant_lanes l ON l.tenant_id = c.tenant_id WHERE k.kind = c.kind)
        OR EXISTS (SELECT 1 FROM tenant_routes r WHERE r.tenant_id = c.tenant_id AND r.changed_at > p_noticed_at)
        OR EXISTS (SELECT 1 FROM tenants t WHERE t.id = c.tenant_id AND t.keys_chosen_at > p_noticed_at)
        OR EXISTS (SELECT 1 FROM api_keys k WHERE (k.tenant_id = c.tenant_id OR k.tenant_id IS NULL) AND k.updated_at > p_noticed_at)
        OR EXISTS (SELECT 1 FROM workers w WHERE c.queue = ANY (w.queues) AND w.started_at > p_noticed_at
                   AND w.environment_keys <> '[]')
    THEN
        RETURN false;
    END IF;
    INSERT INTO lane_holds AS h (tenant_id, kind, until, reason) VALUES (c.tenant_id, c.kind, p_until, p_reason)
    -- Between two of a row lies the time in which the keys are asked anew.
    ON CONFLICT (tenant_id, kind) DO UPDATE SET until = excluded.until, reason = excluded.reason, created_at = CASE
        WHEN h.reason = excluded.reason AND h.until > clock_timestamp() - interval '1 minute' THEN h.created_at ELSE now() END;
    RETURN true;
END $$;
COMMENT ON COLUMN lane_holds.created_at IS 'Since when it is held for this reason, without a break of a minute.';

-- The clients with a name, in letters of any size: people mix them up. Two may have one; their short names differ.
CREATE INDEX tenants_name_idx ON tenants (lower(btrim(name)));
CREATE FUNCTION clients_named(p_name text) RETURNS TABLE (slug text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.slug FROM tenants t WHERE lower(btrim(t.name)) = lower(btrim(p_name)) ORDER BY t.slug
$$;

-- Stored secrets, still encrypted: whether they can be read is told beside the keys.
CREATE FUNCTION key_secrets(p_keys uuid[]) RETURNS TABLE (id uuid, secret_encrypted bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.id, k.secret_encrypted FROM api_keys k WHERE k.id = ANY (p_keys)
$$;

-- Who has a key enabled: clients by short name, NULL for the platform. Unlike key_twins it locks nothing, so that it may be
-- asked of any keys in any order.
CREATE FUNCTION key_holders(p_provider text, p_fingerprint text) RETURNS TABLE (tenant_slug text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.slug FROM api_keys k LEFT JOIN tenants t ON t.id = k.tenant_id
    WHERE k.provider = p_provider AND k.fingerprint = p_fingerprint AND k.is_enabled ORDER BY t.slug NULLS FIRST
$$;

REVOKE ALL ON FUNCTION client_holds(uuid[]), hold_lane(bigint, integer, timestamptz, text, timestamptz), clients_named(text),
    key_secrets(uuid[]), key_holders(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION client_holds(uuid[]), hold_lane(bigint, integer, timestamptz, text, timestamptz), clients_named(text),
    key_secrets(uuid[]), key_holders(text, text) TO {app_role};
