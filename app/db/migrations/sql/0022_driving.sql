-- A refusal is final for the lead's present course only: when somebody retries the lead, the key or the plan may be another.

ALTER TABLE lookup_attempts ADD COLUMN is_over boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN lookup_attempts.is_over IS 'The lead had its outcome with this refusal, so a retry asks again.';
GRANT UPDATE (is_over) ON lookup_attempts TO {app_role};
