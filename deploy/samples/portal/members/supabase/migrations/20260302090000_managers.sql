-- Who manages is in the token, where only the service role writes it.
create schema if not exists private;
grant usage on schema private to authenticated;

create or replace function private.is_manager()
returns boolean
language sql
stable
set search_path = ''
as $$
  select coalesce((auth.jwt() -> 'app_metadata' ->> 'manager')::boolean, false)
$$;

create policy "Managers see every profile"
  on public.profiles for select
  to authenticated
  using ( (select private.is_manager()) );

create table public.audit (
  id bigint generated always as identity primary key,
  member uuid references auth.users on delete set null default auth.uid(),
  what text not null,
  at timestamptz not null default now()
);

alter table public.audit enable row level security;

create policy "Managers read what happened"
  on public.audit for select to authenticated using ( (select private.is_manager()) );

grant select on public.audit to authenticated;

create or replace function private.log_profile()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.audit (what) values (tg_op || ' profile ' || new.id);
  return new;
end;
$$;

create trigger log_profile after update on public.profiles
  for each row execute function private.log_profile();
