-- Whoever watches jobs is told of each change, and a job keeps the few moments that its timeline shows.

-- One row a turn of a job's life: made, begun, ended, taken up again. Waiting and retrying come and go by themselves, as
-- often as keys run dry, so they are not kept: a job has a handful of rows, however long it takes.
CREATE TABLE job_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id     uuid NOT NULL,
    tenant_id  uuid NOT NULL,
    what       text NOT NULL CHECK (what IN ('created', 'started', 'retried', 'ended')),
    status     text NOT NULL,
    failed     integer NOT NULL DEFAULT 0,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (job_id, tenant_id) REFERENCES jobs (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX job_events_job_idx ON job_events (job_id, id);
COMMENT ON COLUMN job_events.failed IS 'Rows without a verdict at that moment.';
ALTER TABLE job_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON job_events USING (tenant_id = (SELECT laneway_tenant()));
GRANT SELECT ON job_events TO {app_role};

-- A job's row changes with its chunks, not with their rows, so this is one notice a chunk; equal notices of one
-- transaction are one. Defined by the owner: nobody else writes the timeline.
CREATE FUNCTION jobs_note_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ended constant text[] := ARRAY['completed', 'failed', 'cancelled', 'dead_letter'];
    v_what text;
BEGIN
    PERFORM pg_notify('laneway_job', NEW.tenant_id || ' ' || NEW.id);
    IF TG_OP = 'INSERT' THEN
        v_what := 'created';
    ELSIF NEW.status = OLD.status THEN
        RETURN NULL;
    ELSIF NEW.status = ANY (ended) THEN
        v_what := 'ended';
    ELSIF OLD.status = ANY (ended) THEN
        v_what := 'retried';
    ELSIF OLD.status IN ('pending', 'scheduled') AND NEW.status NOT IN ('pending', 'scheduled') THEN
        v_what := 'started';
    ELSE
        RETURN NULL;
    END IF;
    INSERT INTO job_events (job_id, tenant_id, what, status, failed)
    VALUES (NEW.id, NEW.tenant_id, v_what, NEW.status, NEW.failed_items);
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_changed AFTER INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_note_change();
REVOKE ALL ON FUNCTION jobs_note_change() FROM PUBLIC;
