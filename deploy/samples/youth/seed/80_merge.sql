-- What the files say goes before what is there, except in the rows of daily work: those are only added.

INSERT INTO instrument_kind (code, name, family)
SELECT code, name, family FROM new_instrument_kind
ON CONFLICT (code) DO UPDATE
SET name = excluded.name, family = excluded.family;

INSERT INTO household (id, guardian, email, phone, bursary)
SELECT id, guardian, email, phone, bursary FROM new_household
ON CONFLICT (id) DO UPDATE
SET guardian = excluded.guardian, email = excluded.email, phone = excluded.phone, bursary = excluded.bursary;

INSERT INTO member (id, household_id, name, born, kind, grade, joined, left_on, photo_consent, medical_note)
SELECT id, household_id, name, born, kind, grade, joined, left_on, photo_consent, medical_note FROM new_member
ON CONFLICT (id) DO UPDATE
SET household_id = excluded.household_id, name = excluded.name, born = excluded.born, kind = excluded.kind, grade = excluded.grade, joined = excluded.joined, left_on = excluded.left_on, photo_consent = excluded.photo_consent, medical_note = excluded.medical_note;

INSERT INTO tutor (id, name, email, cleared_until)
SELECT id, name, email, cleared_until FROM new_tutor
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, email = excluded.email, cleared_until = excluded.cleared_until;

INSERT INTO tutor_kind (tutor_id, kind)
SELECT tutor_id, kind FROM new_tutor_kind
ON CONFLICT (tutor_id, kind) DO NOTHING;

INSERT INTO instrument (id, tag, kind, size, value_minor, in_repair)
SELECT id, tag, kind, size, value_minor, in_repair FROM new_instrument
ON CONFLICT (id) DO UPDATE
SET tag = excluded.tag, kind = excluded.kind, size = excluded.size, value_minor = excluded.value_minor, in_repair = excluded.in_repair;

INSERT INTO hire (instrument_id, member_id, since, until, deposit_minor)
SELECT instrument_id, member_id, since, until, deposit_minor FROM new_hire
ON CONFLICT (instrument_id, since) DO NOTHING;

INSERT INTO piece (id, composer, title, arranger, minutes, grade)
SELECT id, composer, title, arranger, minutes, grade FROM new_piece
ON CONFLICT (id) DO UPDATE
SET composer = excluded.composer, title = excluded.title, arranger = excluded.arranger, minutes = excluded.minutes, grade = excluded.grade;

INSERT INTO part (piece_id, label, kind, grade, copies)
SELECT piece_id, label, kind, grade, copies FROM new_part
ON CONFLICT (piece_id, label) DO UPDATE
SET kind = excluded.kind, grade = excluded.grade, copies = excluded.copies;

INSERT INTO ensemble (code, name, min_grade, max_age)
SELECT code, name, min_grade, max_age FROM new_ensemble
ON CONFLICT (code) DO UPDATE
SET name = excluded.name, min_grade = excluded.min_grade, max_age = excluded.max_age;

INSERT INTO seat (ensemble, member_id, desk, leads)
SELECT ensemble, member_id, desk, leads FROM new_seat
ON CONFLICT (ensemble, member_id) DO UPDATE
SET desk = excluded.desk, leads = excluded.leads;

INSERT INTO venue (id, name, time_zone, step_free)
SELECT id, name, time_zone, step_free FROM new_venue
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, time_zone = excluded.time_zone, step_free = excluded.step_free;

INSERT INTO concert (id, ensemble, title, conductor, tickets)
SELECT id, ensemble, title, conductor, tickets FROM new_concert
ON CONFLICT (id) DO UPDATE
SET ensemble = excluded.ensemble, title = excluded.title, conductor = excluded.conductor, tickets = excluded.tickets;

INSERT INTO concert_piece (concert_id, position, piece_id)
SELECT concert_id, position, piece_id FROM new_concert_piece
ON CONFLICT (concert_id, position) DO UPDATE
SET piece_id = excluded.piece_id;

INSERT INTO meeting (id, concert_id, kind, section, venue_id, starts, ends)
SELECT id, concert_id, kind, section, venue_id, starts, ends FROM new_meeting
ON CONFLICT (id) DO UPDATE
SET concert_id = excluded.concert_id, kind = excluded.kind, section = excluded.section, venue_id = excluded.venue_id, starts = excluded.starts, ends = excluded.ends;

INSERT INTO register (meeting_id, member_id, mark, called)
SELECT meeting_id, member_id, mark, called FROM new_register
ON CONFLICT (meeting_id, member_id) DO NOTHING;

INSERT INTO tutoring (meeting_id, tutor_id)
SELECT meeting_id, tutor_id FROM new_tutoring
ON CONFLICT (meeting_id, tutor_id) DO NOTHING;

INSERT INTO deputy (meeting_id, tutor_id, deputy_id, asked, accepted)
SELECT meeting_id, tutor_id, deputy_id, asked, accepted FROM new_deputy
ON CONFLICT (meeting_id, tutor_id, deputy_id) DO NOTHING;

INSERT INTO stiffener (id, name, email, kind, rank)
SELECT id, name, email, kind, rank FROM new_stiffener
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, email = excluded.email, kind = excluded.kind, rank = excluded.rank;

INSERT INTO booking (concert_id, stiffener_id, state)
SELECT concert_id, stiffener_id, state FROM new_booking
ON CONFLICT (concert_id, stiffener_id) DO NOTHING;

INSERT INTO rate (what, since, amount_minor)
SELECT what, since, amount_minor FROM new_rate
ON CONFLICT (what, since) DO UPDATE
SET amount_minor = excluded.amount_minor;

INSERT INTO payment (household_id, paid_on, amount_minor, note)
SELECT household_id, paid_on, amount_minor, note FROM new_payment
ON CONFLICT (household_id, paid_on) DO NOTHING;
