create type public.section_role as enum ('player', 'leader');

create table public.sections (
  id uuid primary key default gen_random_uuid(),
  name text not null unique
);

create table public.section_members (
  section_id uuid not null references public.sections on delete cascade,
  user_id uuid not null references auth.users on delete cascade,
  role public.section_role not null default 'player',
  primary key (section_id, user_id)
);

create index on public.section_members (user_id);

alter table public.sections enable row level security;
alter table public.section_members enable row level security;

create schema private;
grant usage on schema private to authenticated;

-- It reads past row level security, so that the policies of section_members do not call themselves.
create function private.sections_of(uid uuid, at_least public.section_role default 'player')
returns setof uuid
language sql
stable
security definer
set search_path = ''
as $$
  select section_id from public.section_members where user_id = uid and role >= at_least
$$;

create policy "Own sections" on public.sections
  for select to authenticated
  using ( id in (select private.sections_of((select auth.uid()))) );

create policy "Colleagues" on public.section_members
  for select to authenticated
  using ( section_id in (select private.sections_of((select auth.uid()))) );

create policy "Leaders admit players" on public.section_members
  for insert to authenticated
  with check ( section_id in (select private.sections_of((select auth.uid()), 'leader')) and role = 'player' );

grant select on public.sections to authenticated;
grant select, insert on public.section_members to authenticated;
grant all on public.sections, public.section_members to service_role;
