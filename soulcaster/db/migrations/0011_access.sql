-- Who may do what: people by their sign-in, and tokens of programs. A token itself is stored nowhere.

CREATE TABLE people (                   -- identity: project_id, subject
    project_id VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,           -- verified e-mail address in lower case, or sub:<the provider's id>
    role VARCHAR NOT NULL,
    added_at TIMESTAMPTZ NOT NULL,
    added_by VARCHAR NOT NULL
);

CREATE TABLE access_tokens (
    token_id VARCHAR NOT NULL,          -- random; part of the token, so that people recognise it
    project_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,              -- what it is for; its name in the activity log
    role VARCHAR NOT NULL,
    secret_sha256 VARCHAR NOT NULL,     -- hex, of the whole token
    created_at TIMESTAMPTZ NOT NULL,
    created_by VARCHAR NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ,                -- to the hour
    revoked_at TIMESTAMPTZ
);
