CREATE TYPE family AS ENUM ('strings', 'woodwind', 'brass', 'percussion');

CREATE TABLE organisation (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    name     text NOT NULL,
    locale   text NOT NULL,
    region   text,
    term     text NOT NULL,
    currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$')
);

CREATE TABLE letter (
    code    text PRIMARY KEY,
    subject text NOT NULL,
    body    text NOT NULL
);

CREATE TABLE instrument_kind (
    code   text PRIMARY KEY,
    name   text NOT NULL,
    family family NOT NULL
);

-- Who signs, pays and is called when something happens: one household for brothers and sisters.
CREATE TABLE household (
    id         int PRIMARY KEY,
    guardian   text NOT NULL,
    email      text NOT NULL UNIQUE,
    phone      text NOT NULL,
    -- Percent of the fees that a bursary takes over.
    bursary    int NOT NULL DEFAULT 0 CHECK (bursary BETWEEN 0 AND 100)
);

CREATE TABLE member (
    id             int PRIMARY KEY,
    household_id   int NOT NULL REFERENCES household,
    name           text NOT NULL,
    born           date NOT NULL,
    kind           text NOT NULL REFERENCES instrument_kind,
    -- Graded exam from 1 to 8; 0 before the first.
    grade          int NOT NULL CHECK (grade BETWEEN 0 AND 8),
    joined         date NOT NULL,
    left_on        date CHECK (left_on >= joined),
    photo_consent  boolean NOT NULL DEFAULT false,
    medical_note   text
);
CREATE INDEX member_household ON member (household_id);

CREATE TABLE tutor (
    id             int PRIMARY KEY,
    name           text NOT NULL,
    email          text NOT NULL UNIQUE,
    -- A check of whoever works with children, and the day until which it holds.
    cleared_until  date NOT NULL
);

CREATE TABLE tutor_kind (
    tutor_id int NOT NULL REFERENCES tutor ON DELETE CASCADE,
    kind     text NOT NULL REFERENCES instrument_kind,
    PRIMARY KEY (tutor_id, kind)
);
