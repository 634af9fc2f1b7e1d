CREATE TABLE instrument (
    id           int PRIMARY KEY,
    tag          text NOT NULL UNIQUE,
    kind         text NOT NULL REFERENCES instrument_kind,
    size         text NOT NULL DEFAULT '4/4' CHECK (size IN ('1/4', '1/2', '3/4', '7/8', '4/4')),
    value_minor  bigint NOT NULL CHECK (value_minor > 0),
    in_repair    boolean NOT NULL DEFAULT false
);

-- Children grow: an instrument goes from one to the next, against a deposit.
CREATE TABLE hire (
    instrument_id  int NOT NULL REFERENCES instrument,
    member_id      int NOT NULL REFERENCES member,
    since          date NOT NULL,
    until          date CHECK (until >= since),
    deposit_minor  bigint NOT NULL CHECK (deposit_minor >= 0),
    PRIMARY KEY (instrument_id, since)
);
CREATE UNIQUE INDEX hire_open ON hire (instrument_id) WHERE until IS NULL;

CREATE TABLE piece (
    id        int PRIMARY KEY,
    composer  text NOT NULL,
    title     text NOT NULL,
    arranger  text,
    minutes   int NOT NULL CHECK (minutes > 0),
    grade     int NOT NULL CHECK (grade BETWEEN 0 AND 8),
    UNIQUE (composer, title)
);

-- A part may be there in an easier version for younger desks.
CREATE TABLE part (
    piece_id  int NOT NULL REFERENCES piece ON DELETE CASCADE,
    label     text NOT NULL,
    kind      text NOT NULL REFERENCES instrument_kind,
    grade     int NOT NULL CHECK (grade BETWEEN 0 AND 8),
    copies    int NOT NULL CHECK (copies > 0),
    PRIMARY KEY (piece_id, label)
);
