create schema shop;
grant usage on schema shop to anon;
create table shop.open (id int, word text);
grant select on shop.open to anon;
create index open_a on shop.open (word);
create index open_b on shop.open (word);
create table public.keys (id int primary key, api_key text);
create table public.silent (id int primary key);
alter table public.silent enable row level security;
create table public.idle (id int primary key);
create policy idle on public.idle for select to authenticated using ((select auth.uid()) is not null);
create table public.notes (id int primary key, owner uuid not null, phone text references auth.users (phone),
  handler regproc, other int references public.keys (id));
alter table public.notes enable row level security;
create policy one on public.notes for select to authenticated using (owner = auth.uid());
create policy two on public.notes for select to authenticated
  using ((select auth.jwt() -> 'user_metadata' ->> 'role') = 'admin');
create policy three on public.notes for insert to anon with check (true);
create policy four on public.notes for select to anon
  using (auth.uid() is null or owner = (select auth.uid()));
create view public.shown as select id from public.notes;
create view public.people as select id from auth.users;
create materialized view public.counted as select 1 as n;
create foreign data wrapper nothing;
create server nowhere foreign data wrapper nothing;
create foreign table public.far (id int) server nowhere;
create function public.f() returns int language sql security definer as $$ select 1 $$;
create function public.g() returns int language sql security definer set search_path = '' as $$ select 1 $$;
revoke execute on function public.g() from public, anon;
create extension citext with schema public;
create extension pgmq;
select pgmq.create('jobs');
insert into storage.buckets (id, name, public) values ('avatars', 'avatars', true);
create policy list on storage.objects for select to anon using (bucket_id = 'avatars');
