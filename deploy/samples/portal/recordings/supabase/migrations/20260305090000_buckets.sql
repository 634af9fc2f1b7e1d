insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
  ('avatars', 'avatars', true, 1048576, array['image/png', 'image/jpeg']),
  ('recordings', 'recordings', false, 104857600, array['audio/mpeg', 'audio/flac'])
on conflict (id) do update set
  public = excluded.public,
  file_size_limit = excluded.file_size_limit,
  allowed_mime_types = excluded.allowed_mime_types;

create policy "Anybody sees avatars"
  on storage.objects for select
  using ( bucket_id = 'avatars' );

create policy "Members write their own folder"
  on storage.objects for insert
  to authenticated
  with check (
    bucket_id in ('avatars', 'recordings')
    and (storage.foldername(name))[1] = (select auth.uid()::text)
  );

drop policy if exists "Members delete what they own" on storage.objects;
create policy "Members delete what they own"
  on storage.objects for delete
  to authenticated
  using ( owner_id = (select auth.uid()::text) );
