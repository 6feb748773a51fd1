-- A person who moves to another client takes an active row in worker_configs along, and so a lane.

-- As before, but the person stays where they are until the row is committed, so that neither misses the other.
CREATE OR REPLACE FUNCTION check_worker_config() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant  uuid;
    v_other   text;
BEGIN
    IF NOT (NEW.is_active AND NEW.worker_mode = 'dedicated') THEN RETURN NEW; END IF;
    IF TG_OP = 'UPDATE' AND (NEW.is_active, NEW.worker_mode, NEW.verification_queue, NEW.user_id)
            IS NOT DISTINCT FROM (OLD.is_active, OLD.worker_mode, OLD.verification_queue, OLD.user_id) THEN
        RETURN NEW;
    END IF;
    IF NEW.verification_queue !~ '^verification-queue(:client-[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$' THEN
        RAISE EXCEPTION 'verification_queue "%" is not a lane''s name', NEW.verification_queue
            USING ERRCODE = 'check_violation', CONSTRAINT = 'worker_configs_queue_name',
            HINT = 'Write verification-queue:client- and then small letters, digits and hyphens: verification-queue:client-acme.';
    END IF;
    SELECT tenant_id INTO v_tenant FROM users WHERE id = NEW.user_id FOR SHARE;
    IF v_tenant IS NULL THEN
        RAISE EXCEPTION 'the user % belongs to no client, so it has no lane', NEW.user_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'worker_configs_client_needed',
            HINT = 'Take the id of one of the client''s people: SELECT id FROM users WHERE email = ''...''.';
    END IF;
    IF NEW.verification_queue = 'verification-queue' THEN RETURN NEW; END IF;
    -- Of two who take the same name at once the second waits here and then finds the first.
    PERFORM pg_advisory_xact_lock(7245003, hashtext(NEW.verification_queue));
    SELECT t.slug INTO v_other FROM worker_configs wc JOIN users u ON u.id = wc.user_id JOIN tenants t ON t.id = u.tenant_id
    WHERE wc.verification_queue = NEW.verification_queue AND wc.is_active AND wc.worker_mode = 'dedicated'
      AND wc.id <> NEW.id AND u.tenant_id <> v_tenant LIMIT 1;
    IF v_other IS NOT NULL THEN
        RAISE EXCEPTION 'the lane % is the client %''s already', NEW.verification_queue, v_other
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'worker_configs_queue_once',
            HINT = 'Each active client has a lane of its own: choose another name, or take the other row out of use first.';
    END IF;
    RETURN NEW;
END $$;

-- After the statement, so that people of one client who move together are looked at where they have come to.
CREATE FUNCTION check_person_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_queue  text;
    v_other  text;
BEGIN
    -- A person has one active row at most.
    SELECT wc.verification_queue INTO v_queue FROM worker_configs wc
    WHERE wc.user_id = NEW.id AND wc.is_active AND wc.worker_mode = 'dedicated' AND wc.verification_queue <> 'verification-queue';
    IF v_queue IS NULL THEN RETURN NULL; END IF;
    PERFORM pg_advisory_xact_lock(7245003, hashtext(v_queue));
    SELECT t.slug INTO v_other FROM worker_configs wc JOIN users u ON u.id = wc.user_id JOIN tenants t ON t.id = u.tenant_id
    WHERE wc.verification_queue = v_queue AND wc.is_active AND wc.worker_mode = 'dedicated' AND u.tenant_id <> NEW.tenant_id LIMIT 1;
    IF v_other IS NOT NULL THEN
        RAISE EXCEPTION '% can''t take the lane % along to another client: it is the client %''s', NEW.email, v_queue, v_other
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'worker_configs_queue_once',
            HINT = format('Take the person''s row out of use first: UPDATE worker_configs SET is_active = false WHERE user_id = ''%s''; then move the person.', NEW.id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER users_moved AFTER UPDATE OF tenant_id ON users
    FOR EACH ROW WHEN (NEW.tenant_id IS DISTINCT FROM OLD.tenant_id) EXECUTE FUNCTION check_person_moved();
REVOKE ALL ON FUNCTION check_person_moved() FROM PUBLIC;
