-- What chunks wait for may come sooner: a key that is added, edited, reset or answers a test, another policy of keys.

CREATE FUNCTION wake_waiting(p_tenant uuid) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    -- In the order of their numbers, as everybody locks them; who is busy with one of them finds out for itself.
    UPDATE chunks SET run_at = clock_timestamp(), waits_for = NULL WHERE id IN (
        SELECT c.id FROM chunks c WHERE c.status = 'ready' AND c.waits_for NOT IN ('retry', 'callback')
          AND (p_tenant IS NULL OR c.tenant_id = p_tenant)
        ORDER BY c.id FOR UPDATE SKIP LOCKED);
    IF FOUND THEN PERFORM pg_notify('laneway_ready', ''); END IF;
END $$;
COMMENT ON FUNCTION wake_waiting IS 'Has the chunks of a client (NULL: of all) tried at once that wait for its keys.';

CREATE FUNCTION api_keys_wake() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM wake_waiting(CASE TG_OP WHEN 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END);
    RETURN NULL;
END $$;
CREATE TRIGGER api_keys_wake AFTER INSERT OR UPDATE OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION api_keys_wake();

CREATE FUNCTION tenants_wake() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM wake_waiting(NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_wake AFTER UPDATE OF key_policy ON tenants FOR EACH ROW
    WHEN (NEW.key_policy IS DISTINCT FROM OLD.key_policy) EXECUTE FUNCTION tenants_wake();

-- As before, and for chunks that wait each for themselves.
CREATE OR REPLACE FUNCTION lift_circuit_holds(p_key uuid) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM lane_holds h USING api_keys k
    WHERE k.id = p_key AND h.reason = 'circuit_open' AND (k.tenant_id IS NULL OR h.tenant_id = k.tenant_id);
    IF FOUND THEN PERFORM pg_notify('laneway_ready', ''); END IF;
    PERFORM wake_waiting(k.tenant_id) FROM api_keys k WHERE k.id = p_key;
END $$;

REVOKE ALL ON FUNCTION wake_waiting(uuid), api_keys_wake(), tenants_wake() FROM PUBLIC;
