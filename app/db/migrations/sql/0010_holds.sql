-- A hold says that a client's keys have nothing to give; it must not outlive the keys, or the lane, that it was noticed on.

ALTER TABLE tenants ADD COLUMN keys_chosen_at timestamptz;
COMMENT ON COLUMN tenants.keys_chosen_at IS 'When key_policy was changed last; NULL: never.';

CREATE FUNCTION note_key_policy() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN NEW.keys_chosen_at := clock_timestamp(); RETURN NEW; END $$;
CREATE TRIGGER tenants_key_policy BEFORE UPDATE OF key_policy ON tenants
    FOR EACH ROW WHEN (NEW.key_policy IS DISTINCT FROM OLD.key_policy) EXECUTE FUNCTION note_key_policy();

-- Release none of the chunk's kind for this transaction's client before p_until, because of what a run of the chunk found at
-- p_noticed_at. Says false, and holds nothing, where that says nothing about the next run: the client has another lane by
-- now, or since then its keys, the platform's, or which of them serve it were changed, or a worker with keys of its own came.
CREATE FUNCTION hold_lane(p_chunk bigint, p_fence integer, p_until timestamptz, p_reason text, p_noticed_at timestamptz)
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
    INSERT INTO lane_holds (tenant_id, kind, until, reason) VALUES (c.tenant_id, c.kind, p_until, p_reason)
    ON CONFLICT (tenant_id, kind) DO UPDATE SET until = excluded.until, reason = excluded.reason, created_at = now();
    RETURN true;
END $$;

-- What earlier versions put off together with the hold: with the hold alone it goes on as soon as that is lifted.
UPDATE chunks c SET run_at = clock_timestamp() FROM lane_holds h
WHERE c.status = 'ready' AND h.tenant_id = c.tenant_id AND h.kind = c.kind AND c.run_at = h.until;

REVOKE ALL ON FUNCTION hold_lane(bigint, integer, timestamptz, text, timestamptz), note_key_policy() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hold_lane(bigint, integer, timestamptz, text, timestamptz) TO {app_role};
