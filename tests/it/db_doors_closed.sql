create schema shop;
grant usage on schema shop to anon;
create table shop.open (id int primary key, word text unique);
alter table shop.open enable row level security;
create policy all_of_it on shop.open for select to anon using (word <> '');
grant select on shop.open to anon;
create index open_a on shop.open (word);
create table public.keys (id int primary key, api_key text);
alter table public.keys enable row level security;
create policy own on public.keys for select to authenticated using ((select auth.uid()) is not null);
create table public.notes (id int primary key, owner uuid not null, person uuid references auth.users (id),
  handler text, other int references public.keys (id));
create index on public.notes (person);
create index on public.notes (other);
alter table public.notes enable row level security;
create policy one on public.notes for select to authenticated
  using (owner = (select auth.uid()) and (select auth.jwt() ->> 'aal') = 'aal2');
create policy two on public.notes for insert to authenticated with check (owner = (select auth.uid()));
create view public.shown with (security_invoker = true) as select id from public.notes;
create materialized view public.counted as select 1 as n;
revoke all on public.counted from anon, authenticated;
create foreign data wrapper nothing;
create server nowhere foreign data wrapper nothing;
create foreign table public.far (id int) server nowhere;
revoke all on public.far from anon, authenticated;
create function public.f() returns int language sql set search_path = '' as $$ select 1 $$;
create function public.g() returns int language sql security definer set search_path = '' as $$ select 1 $$;
revoke execute on function public.g() from public, anon, authenticated;
create extension citext with schema extensions;
create extension pgmq;
select pgmq.create('jobs');
alter table pgmq.q_jobs enable row level security;
-- What stands in for an extension is nobody's door.
create extension vector;
create extension http;
create extension pgjwt;
insert into storage.buckets (id, name, public) values ('avatars', 'avatars', true);
create policy list on storage.objects for select to authenticated
  using (bucket_id = 'avatars' and owner_id = (select auth.uid()::text));
