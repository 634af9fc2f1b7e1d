create extension if not exists citext with schema extensions;

create table public.profiles (
  id uuid not null primary key references auth.users (id) on delete cascade,
  email extensions.citext unique,
  full_name text check (char_length(full_name) <= 200),
  instrument text,
  updated_at timestamp with time zone not null default now()
);

comment on table public.profiles is 'What a member shows of themselves.';

alter table public.profiles enable row level security;

create policy "Members see their own profile"
  on public.profiles for select
  to authenticated
  using ( (select auth.uid()) = id );

create policy "Members change their own profile"
  on public.profiles for update
  to authenticated
  using ( (select auth.uid()) = id )
  with check ( (select auth.uid()) = id );

-- New tables of public are not open to the Data API by themselves.
grant select, update on public.profiles to authenticated;
grant all on public.profiles to service_role;

-- A profile for each user that signs up.
create or replace function public.handle_new_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.profiles (id, email, full_name)
  values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  return new;
end;
$$;

revoke execute on function public.handle_new_user() from public, anon, authenticated;

drop trigger if exists on_auth_user_created on auth.users;
create trigger on_auth_user_created
  after insert on auth.users
  for each row execute procedure public.handle_new_user();

-- And its email follows the user's.
create or replace function public.handle_changed_email()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.profiles set email = new.email, updated_at = now() where id = new.id;
  return new;
end;
$$;

create trigger on_auth_user_email_changed
  after update of email on auth.users
  for each row
  when (old.email is distinct from new.email)
  execute function public.handle_changed_email();
