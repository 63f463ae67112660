create function @schema@.url_encode(data bytea) returns text language sql immutable as $$ select translate(encode(data, 'base64'), E'+/=\n', '-_') $$;
create function @schema@.url_decode(data text) returns bytea language sql immutable as $$ select decode(translate(data, '-_', '+/'), 'base64') $$;
create function @schema@.algorithm_sign(signables text, secret text, algorithm text) returns text language sql immutable as $$ select ''::text $$;
create function @schema@.sign(payload json, secret text, algorithm text default 'HS256') returns text language sql immutable as $$ select ''::text $$;
create function @schema@.verify(token text, secret text, algorithm text default 'HS256') returns table (header json, payload json, valid boolean) language sql immutable as $$ select null::json, null::json, false $$;
