-- What tutors and freelances are paid, and what families pay. Amounts in the smallest unit of the currency.
CREATE TABLE rate (
    what          text NOT NULL CHECK (what IN ('tutor_hour', 'stiffener_rehearsal', 'stiffener_concert', 'term_fee', 'sibling_fee')),
    since         date NOT NULL,
    amount_minor  bigint NOT NULL CHECK (amount_minor >= 0),
    PRIMARY KEY (what, since)
);

CREATE FUNCTION rate_on(wanted text, day date) RETURNS bigint STABLE LANGUAGE sql
    AS $$ SELECT amount_minor FROM rate WHERE what = wanted AND since <= day ORDER BY since DESC LIMIT 1 $$;

CREATE TABLE payment (
    household_id  int NOT NULL REFERENCES household,
    paid_on       date NOT NULL,
    amount_minor  bigint NOT NULL CHECK (amount_minor <> 0),
    note          text,
    PRIMARY KEY (household_id, paid_on)
);

-- The eldest pays the whole fee of a term, brothers and sisters less, and a bursary its part.
CREATE VIEW term_fee AS
SELECT m.household_id, sum(rate_on(CASE nth WHEN 1 THEN 'term_fee' ELSE 'sibling_fee' END, DATE '2026-09-01') * (100 - h.bursary) / 100)::bigint AS due_minor
FROM (SELECT household_id, row_number() OVER (PARTITION BY household_id ORDER BY born, id) AS nth FROM member WHERE left_on IS NULL) m
JOIN household h ON h.id = m.household_id
GROUP BY m.household_id;

-- Hours of tutors: whoever really stood there, the deputy where one has accepted.
CREATE VIEW tutor_pay AS
SELECT coalesce(d.deputy_id, t.tutor_id) AS tutor_id, date_trunc('month', m.starts AT TIME ZONE v.time_zone)::date AS month,
       sum(extract(epoch FROM m.ends - m.starts) / 3600 * rate_on('tutor_hour', (m.starts AT TIME ZONE v.time_zone)::date))::bigint AS amount_minor
FROM tutoring t
JOIN meeting m ON m.id = t.meeting_id
JOIN venue v ON v.id = m.venue_id
LEFT JOIN deputy d ON d.meeting_id = t.meeting_id AND d.tutor_id = t.tutor_id AND d.accepted IS NOT NULL
GROUP BY 1, 2;

CREATE VIEW stiffener_pay AS
SELECT b.stiffener_id, b.concert_id,
       sum(rate_on(CASE m.kind WHEN 'concert' THEN 'stiffener_concert' ELSE 'stiffener_rehearsal' END, (m.starts AT TIME ZONE v.time_zone)::date))::bigint AS amount_minor
FROM booking b
JOIN meeting m ON m.concert_id = b.concert_id AND m.kind IN ('course_day', 'concert')
JOIN venue v ON v.id = m.venue_id
WHERE b.state = 'accepted'
GROUP BY 1, 2;
