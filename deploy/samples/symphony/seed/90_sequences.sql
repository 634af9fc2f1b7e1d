-- The tables above brought their own ids; what is inserted later must go on behind them.
SELECT setval(pg_get_serial_sequence('"Member"', 'id'), (SELECT max("id") FROM "Member"));
SELECT setval(pg_get_serial_sequence('"Instrument"', 'id'), (SELECT max("id") FROM "Instrument"));
SELECT setval(pg_get_serial_sequence('"Publisher"', 'id'), (SELECT max("id") FROM "Publisher"));
SELECT setval(pg_get_serial_sequence('"Work"', 'id'), (SELECT max("id") FROM "Work"));
SELECT setval(pg_get_serial_sequence('"Edition"', 'id'), (SELECT max("id") FROM "Edition"));
SELECT setval(pg_get_serial_sequence('"Venue"', 'id'), (SELECT max("id") FROM "Venue"));
SELECT setval(pg_get_serial_sequence('"Programme"', 'id'), (SELECT max("id") FROM "Programme"));
SELECT setval(pg_get_serial_sequence('"Service"', 'id'), (SELECT max("id") FROM "Service"));
SELECT setval(pg_get_serial_sequence('"Substitute"', 'id'), (SELECT max("id") FROM "Substitute"));
SELECT setval(pg_get_serial_sequence('"Agreement"', 'id'), (SELECT max("id") FROM "Agreement"));
