-- Several verification providers side by side: a client's lane is held as a whole only where one provider serves all that
-- waits in it; otherwise chunks are put off each, and go on as soon as the keys are others.

COMMENT ON COLUMN jobs.params IS 'What the kind of job needs. verifier: the provider that verifies, where one was named.';
CREATE INDEX jobs_verifier_idx ON jobs (tenant_id) WHERE params ? 'verifier' AND finished_at IS NULL;

-- Whether open jobs of this transaction's client are verified by another provider than the usual one. Until the transaction
-- ends nobody begins such a job, so that a hold which follows can't meet it.
CREATE FUNCTION lane_is_mixed(p_usual text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(laneway_tenant()::text, 7245018));
    RETURN EXISTS (SELECT 1 FROM jobs j WHERE j.tenant_id = laneway_tenant() AND j.params ? 'verifier' AND j.finished_at IS NULL
        AND j.params ->> 'verifier' <> p_usual);
END $$;

-- Make room in the client's lane for a job with another provider: to be called before the job is made, in its transaction.
CREATE FUNCTION share_lane() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(laneway_tenant()::text, 7245018));
    DELETE FROM lane_holds WHERE tenant_id = laneway_tenant() AND kind = 'verify';
END $$;

-- Whether the keys that may serve this transaction's client, or which of them do, were changed since a moment.
CREATE FUNCTION keys_changed(p_since timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM tenants t WHERE t.id = laneway_tenant() AND t.keys_chosen_at > p_since)
        OR EXISTS (SELECT 1 FROM api_keys k WHERE (k.tenant_id = laneway_tenant() OR k.tenant_id IS NULL) AND k.updated_at > p_since)
$$;

-- Let chunks go on that were put off for want of a key: of one client, or of all (NULL); for one reason, or any (NULL).
CREATE FUNCTION wake_put_off(p_tenant uuid, p_reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE chunks SET run_at = clock_timestamp(), waits_for = NULL WHERE id IN (
        SELECT c.id FROM chunks c
        WHERE c.status = 'ready' AND c.waits_for IS NOT NULL AND c.waits_for NOT IN ('retry', 'callback')
          AND (p_tenant IS NULL OR c.tenant_id = p_tenant) AND (p_reason IS NULL OR c.waits_for = p_reason)
        ORDER BY c.id FOR UPDATE SKIP LOCKED);
    IF FOUND THEN PERFORM pg_notify('laneway_ready', ''); END IF;
END $$;

CREATE FUNCTION keys_wake() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM wake_put_off(CASE WHEN TG_OP = 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END);
    RETURN NULL;
END $$;
CREATE TRIGGER api_keys_wake AFTER INSERT OR UPDATE OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION keys_wake();

CREATE FUNCTION key_policy_wakes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM wake_put_off(NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_wake AFTER UPDATE OF key_policy ON tenants
    FOR EACH ROW WHEN (NEW.key_policy IS DISTINCT FROM OLD.key_policy) EXECUTE FUNCTION key_policy_wakes();

-- Another lane may have a worker that carries keys of its own.
CREATE FUNCTION lane_wakes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant uuid;
BEGIN
    FOR v_tenant IN
        SELECT DISTINCT u.tenant_id FROM users u WHERE u.tenant_id IS NOT NULL AND u.id IN (
            CASE WHEN TG_OP <> 'INSERT' THEN OLD.user_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.user_id END)
    LOOP
        PERFORM wake_put_off(v_tenant);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER worker_configs_wake AFTER INSERT OR UPDATE OR DELETE ON worker_configs
    FOR EACH ROW EXECUTE FUNCTION lane_wakes();

-- A key that was reset, or that answered a test call, is of use again: what waits for it goes on, held or put off.
CREATE OR REPLACE FUNCTION lift_circuit_holds(p_key uuid) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM lane_holds h USING api_keys k
    WHERE k.id = p_key AND h.reason = 'circuit_open' AND (k.tenant_id IS NULL OR h.tenant_id = k.tenant_id);
    IF FOUND THEN PERFORM pg_notify('laneway_ready', ''); END IF;
    PERFORM wake_put_off(k.tenant_id, 'circuit_open') FROM api_keys k WHERE k.id = p_key;
END $$;

REVOKE ALL ON FUNCTION lane_is_mixed(text), share_lane(), keys_changed(timestamptz), wake_put_off(uuid, text), keys_wake(),
    key_policy_wakes(), lane_wakes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_is_mixed(text), share_lane(), keys_changed(timestamptz) TO {app_role};
