create table public.recordings (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references auth.users on delete cascade,
  path text not null unique check (storage.extension(path) in ('mp3', 'flac')),
  shared_with uuid[] not null default '{}',
  created_at timestamptz not null default now()
);

alter table public.recordings enable row level security;

create policy "Own and shared recordings" on public.recordings
  for select to authenticated
  using ( owner = (select auth.uid()) or (select auth.uid()) = any (shared_with) );

create policy "Own recordings" on public.recordings
  for all to authenticated
  using ( owner = (select auth.uid()) )
  with check ( owner = (select auth.uid()) );

grant select, insert, update, delete on public.recordings to authenticated;

-- A file is seen by whoever sees its row.
create policy "Recordings are heard by whom they are shared with"
  on storage.objects for select
  to authenticated
  using (
    bucket_id = 'recordings'
    and exists (select from public.recordings r where r.path = storage.objects.name)
  );
