-- Who leads a sectional, and who steps in for a tutor who cannot.
CREATE TABLE tutoring (
    meeting_id int NOT NULL REFERENCES meeting ON DELETE CASCADE,
    tutor_id   int NOT NULL REFERENCES tutor,
    PRIMARY KEY (meeting_id, tutor_id)
);

CREATE TABLE deputy (
    meeting_id  int NOT NULL,
    tutor_id    int NOT NULL,
    deputy_id   int NOT NULL REFERENCES tutor CHECK (deputy_id <> tutor_id),
    asked       timestamptz NOT NULL,
    accepted    timestamptz CHECK (accepted >= asked),
    PRIMARY KEY (meeting_id, tutor_id, deputy_id),
    FOREIGN KEY (meeting_id, tutor_id) REFERENCES tutoring ON DELETE CASCADE
);
CREATE UNIQUE INDEX deputy_accepted ON deputy (meeting_id, tutor_id) WHERE accepted IS NOT NULL;

-- Freelances who fill the chairs for which there is no young player: two horns, a bassoon, a harp.
CREATE TABLE stiffener (
    id     int PRIMARY KEY,
    name   text NOT NULL,
    email  text NOT NULL UNIQUE,
    kind   text NOT NULL REFERENCES instrument_kind,
    rank   int NOT NULL CHECK (rank > 0),
    UNIQUE (kind, rank)
);

CREATE TABLE booking (
    concert_id    int NOT NULL REFERENCES concert,
    stiffener_id  int NOT NULL REFERENCES stiffener,
    state         text NOT NULL CHECK (state IN ('offered', 'accepted', 'declined')),
    PRIMARY KEY (concert_id, stiffener_id)
);
