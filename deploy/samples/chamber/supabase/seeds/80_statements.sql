-- The first project is over: its statements, from the sessions that were played and the receipts.
insert into chamber.statement (project_id, player_id, fees_minor, expenses_minor, currency, paid_on)
select e.project_id, e.player_id, e.fees_minor,
       coalesce((select sum(x.amount_minor) from chamber.expense x
                 where x.project_id = e.project_id and x.player_id = e.player_id), 0),
       :'label_currency', date '2026-11-05'
from chamber.earned e
join chamber.project p on p.id = e.project_id
where p.code = '2026-10';
