CREATE TYPE meeting_kind AS ENUM ('full_rehearsal', 'sectional', 'course_day', 'concert');

CREATE TABLE ensemble (
    code       text PRIMARY KEY,
    name       text NOT NULL,
    min_grade  int NOT NULL CHECK (min_grade BETWEEN 0 AND 8),
    max_age    int NOT NULL CHECK (max_age BETWEEN 8 AND 25)
);

CREATE TABLE seat (
    ensemble  text NOT NULL REFERENCES ensemble,
    member_id int NOT NULL REFERENCES member ON DELETE CASCADE,
    desk      int NOT NULL CHECK (desk > 0),
    leads     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (ensemble, member_id)
);

CREATE TABLE venue (
    id         int PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    time_zone  text NOT NULL,
    step_free  boolean NOT NULL
);

CREATE TABLE concert (
    id         int PRIMARY KEY,
    ensemble   text NOT NULL REFERENCES ensemble,
    title      text NOT NULL,
    conductor  text NOT NULL,
    tickets    int NOT NULL DEFAULT 0 CHECK (tickets >= 0)
);

CREATE TABLE concert_piece (
    concert_id int NOT NULL REFERENCES concert ON DELETE CASCADE,
    position   int NOT NULL CHECK (position > 0),
    piece_id   int NOT NULL REFERENCES piece,
    PRIMARY KEY (concert_id, position)
);

-- Rehearsals and the concert itself. A sectional is for one kind of instrument.
CREATE TABLE meeting (
    id          int PRIMARY KEY,
    concert_id  int NOT NULL REFERENCES concert ON DELETE CASCADE,
    kind        meeting_kind NOT NULL,
    section     text REFERENCES instrument_kind,
    venue_id    int NOT NULL REFERENCES venue,
    starts      timestamptz NOT NULL,
    ends        timestamptz NOT NULL CHECK (ends > starts),
    CHECK ((kind = 'sectional') = (section IS NOT NULL))
);

-- The register: a child that is missing without a word has somebody called.
CREATE TABLE register (
    meeting_id int NOT NULL REFERENCES meeting ON DELETE CASCADE,
    member_id  int NOT NULL REFERENCES member ON DELETE CASCADE,
    mark       text NOT NULL CHECK (mark IN ('present', 'late', 'excused', 'absent')),
    called     timestamptz,
    PRIMARY KEY (meeting_id, member_id)
);
