-- Who this orchestra is: values of the Orchestra resource and of its labels seed.stagesub.io/….
INSERT INTO "Organisation" ("name", "locale", "region", "season", "currency")
VALUES (:'display_name', :'locale', NULLIF(:'region', ''), :'label_season', :'label_currency');

INSERT INTO "Template" ("code", "locale", "subject", "body") VALUES
  ('rehearsal-call', :'locale',
   :'display_name' || ': {{kind}} on {{date}}, {{time}}',
   'Dear {{member}},' || chr(10) || chr(10)
   || 'you are called to {{kind}} for {{programme}} at {{venue}} on {{date}} at {{time}}. '
   || 'The downbeat is at the time given; please be in your seat five minutes before.' || chr(10) || chr(10)
   || 'Personnel office, ' || :'display_name'),
  ('substitute-offer', :'locale',
   :'display_name' || ' asks you to play {{section}}',
   'Dear {{substitute}},' || chr(10) || chr(10)
   || 'we would like to engage you in {{section}} for {{services}} services from {{from}} to {{until}}, at '
   || '{{amount}} ' || :'label_currency' || ' a service. Please answer within 24 hours; the next on the list is asked then.'
   || chr(10) || chr(10) || 'Personnel office, ' || :'display_name'),
  ('parts-ready', :'locale',
   'Your parts for {{programme}}',
   'Practice parts are in the library from {{date}}. Bowings are in. Season ' || :'label_season' || '.' || chr(10) || chr(10)
   || 'The librarians of ' || :'display_name');
