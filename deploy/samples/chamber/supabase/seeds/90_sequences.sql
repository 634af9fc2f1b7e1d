-- The tables brought their own ids; what is inserted later must go on behind them.
select setval(pg_get_serial_sequence('chamber.player', 'id'), (select max(id) from chamber.player));
select setval(pg_get_serial_sequence('chamber.lender', 'id'), (select max(id) from chamber.lender));
select setval(pg_get_serial_sequence('chamber.instrument', 'id'), (select max(id) from chamber.instrument));
select setval(pg_get_serial_sequence('chamber.work', 'id'), (select max(id) from chamber.work));
select setval(pg_get_serial_sequence('chamber.part', 'id'), (select max(id) from chamber.part));
select setval(pg_get_serial_sequence('chamber.venue', 'id'), (select max(id) from chamber.venue));
select setval(pg_get_serial_sequence('chamber.project', 'id'), (select max(id) from chamber.project));
select setval(pg_get_serial_sequence('chamber.session', 'id'), (select max(id) from chamber.session));
