-- What went wrong, counted: lines of errors that differ in values alone, and how often they came in each hour.

CREATE TABLE error_line (
    id       bigint PRIMARY KEY,        -- made of the card
    family   bigint NOT NULL,           -- lines of one place; only so many of them are told apart
    card     bytea NOT NULL,            -- where it came from, and the message with marks in the place of values
    n        bigint NOT NULL,
    first_at double precision NOT NULL,
    last_at  double precision NOT NULL,
    sample   text NOT NULL,
    hint     text
);
CREATE INDEX error_line_family ON error_line (family);
CREATE INDEX error_line_last ON error_line (last_at);

CREATE TABLE error_hour (
    hour bigint NOT NULL,               -- since 1970
    line bigint NOT NULL,
    n    bigint NOT NULL,
    PRIMARY KEY (hour, line)
);
