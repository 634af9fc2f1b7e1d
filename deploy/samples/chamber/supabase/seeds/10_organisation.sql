-- Who this orchestra is: values of the Orchestra resource and of its labels seed.stagesub.io/….
insert into chamber.organisation (name, locale, region, founded, home_city, currency)
values (:'display_name', :'locale', nullif(:'region', ''), :'label_founded', :'label_city', :'label_currency')
on conflict (one) do update
set name = excluded.name, locale = excluded.locale, region = excluded.region,
    founded = excluded.founded, home_city = excluded.home_city, currency = excluded.currency;

insert into chamber.message_template (code, subject, body) values
  ('project-offer', :'display_name' || ': {{project}}',
   'Liebe Kollegin, lieber Kollege {{player}},' || chr(10) || chr(10)
   || 'können wir vom {{from}} bis {{to}} für {{project}} mit Dir rechnen? Bitte antworte bis {{until}}.' || chr(10) || chr(10)
   || :'display_name' || ', ' || :'label_city'),
  ('substitute-offer', :'display_name' || ' sucht {{group}}',
   'Guten Tag {{player}},' || chr(10) || chr(10)
   || 'für {{project}} ist ein Platz frei ({{group}}, {{sessions}} Dienste, {{amount}} ' || :'label_currency' || '). '
   || 'Wir fragen nach 24 Stunden weiter.' || chr(10) || chr(10) || :'display_name'),
  ('statement', 'Abrechnung {{project}}',
   'Honorar {{fees}} ' || :'label_currency' || ', Spesen {{expenses}} ' || :'label_currency' || '. ' || :'display_name')
on conflict (code) do update set subject = excluded.subject, body = excluded.body;
