-- Who this orchestra is: values of the Orchestra resource and of its labels seed.stagesub.io/….
INSERT INTO organisation (name, locale, region, term, currency)
VALUES (:'display_name', :'locale', NULLIF(:'region', ''), :'label_term', :'label_currency')
ON CONFLICT (one) DO UPDATE
SET name = excluded.name, locale = excluded.locale, region = excluded.region, term = excluded.term, currency = excluded.currency;

INSERT INTO letter (code, subject, body) VALUES
  ('welcome', 'Welcome to ' || :'display_name',
   'Dear {{guardian}},' || chr(10) || chr(10) || 'we are glad that {{member}} plays with us from {{joined}}. The first rehearsal is on {{date}} at {{venue}}.'
   || chr(10) || chr(10) || :'display_name'),
  ('absent', '{{member}} was not at rehearsal',
   'Dear {{guardian}},' || chr(10) || chr(10) || '{{member}} was not at {{meeting}} on {{date}}, and we had no word. Is all well?'
   || chr(10) || chr(10) || :'display_name'),
  ('fees', 'Fees for ' || :'label_term',
   'Dear {{guardian}},' || chr(10) || chr(10) || 'the fees of your household are {{amount}} ' || :'label_currency'
   || ', bursary and siblings considered. Payment by instalments is possible: write to us.' || chr(10) || chr(10) || :'display_name')
ON CONFLICT (code) DO UPDATE SET subject = excluded.subject, body = excluded.body;
