-- A key that was reset, or that answered a test call, is of use again: what was held back because of it goes on at once.

CREATE FUNCTION lift_circuit_holds(p_key uuid) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM lane_holds h USING api_keys k
    WHERE k.id = p_key AND h.reason = 'circuit_open' AND (k.tenant_id IS NULL OR h.tenant_id = k.tenant_id);
    IF FOUND THEN PERFORM pg_notify('laneway_ready', ''); END IF;
END $$;

CREATE OR REPLACE FUNCTION key_tested(p_key uuid, p_ok boolean, p_outcome text, p_ms integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM audit('key.tested', k.tenant_id, jsonb_build_object('key', k.id, 'hint', k.hint, 'provider', k.provider,
        'ok', p_ok, 'outcome', left(p_outcome, 100), 'ms', p_ms))
    FROM api_keys k WHERE k.id = p_key;
    IF p_ok THEN PERFORM lift_circuit_holds(p_key); END IF;
END $$;

-- p_state is how its circuit stands since; NULL: the limiter did not know the key.
CREATE OR REPLACE FUNCTION key_was_reset(p_key uuid, p_state text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM audit('key.reset', k.tenant_id,
        jsonb_build_object('key', k.id, 'hint', k.hint, 'provider', k.provider, 'state', left(p_state, 100)))
    FROM api_keys k WHERE k.id = p_key;
    PERFORM lift_circuit_holds(p_key);
END $$;

REVOKE ALL ON FUNCTION lift_circuit_holds(uuid) FROM PUBLIC;
