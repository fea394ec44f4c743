import { createHash } from 'node:crypto'

/** Schema of the functions that the SQL of stages needs beside those of the server. */
export const LIBRARY = 'naru_sql'

const SPACES = `E' \\t\\n\\f\\r'`
const DAY = String.raw`\d{4,6}-\d{1,2}-\d{1,2}( \(BC\))?`
const CLOCK = String.raw`([01]?\d|2[0-4]):[0-5]\d(:[0-5]\d(\.\d{1,6}0*)?)?`
const ZONE = String.raw`( ?(Z|UTC|[+-]\d{2}(:?\d{2}(:?\d{2})?)?))?`

/** One function: its name with parameters, its type, its body. All give NULL for NULL and the same for the same values. */
function plain(name: string, type: string, body: string): string {
  return `create or replace function ${LIBRARY}.${name} returns ${type} language sql immutable strict parallel safe as $naru$ ${body} $naru$`
}

function procedural(name: string, type: string, body: string): string {
  return `create or replace function ${LIBRARY}.${name} returns ${type} language plpgsql immutable strict parallel safe as $naru$ ${body} $naru$`
}

/** Text as DuckDB spells it: `1.0`, and an exponent only below 1e-4 and from 1e16 on. */
const floatText = procedural(
  'float_text(x text)',
  'text',
  `declare mantissa text; power integer; digits text; shorter text; sign text := '';
  begin
    if x = 'NaN' then return 'nan'; end if;
    if x in ('Infinity', '-Infinity') then return replace(x, 'Infinity', 'inf'); end if;
    if position('e' in x) = 0 then
      return case when position('.' in x) = 0 then x || '.0' else x end;
    end if;
    mantissa := split_part(x, 'e', 1); power := split_part(x, 'e', 2)::integer;
    -- PostgreSQL does not take a text that lies halfway between two floats, although it reads back equal.
    if power between 16 and 307 and length(mantissa) >= 17 then
      for places in 14..15 loop
        shorter := rtrim(round(mantissa::numeric, places)::text, '0') || 'e+' || power;
        if shorter::double precision = x::double precision then return shorter; end if;
      end loop;
    end if;
    if power < -4 or power >= 16 then return x; end if;
    if left(mantissa, 1) = '-' then sign := '-'; mantissa := substr(mantissa, 2); end if;
    digits := replace(mantissa, '.', '');
    if power < 0 then return sign || '0.' || repeat('0', -power - 1) || digits; end if;
    digits := rpad(digits, greatest(length(digits), power + 1), '0');
    return sign || left(digits, power + 1) || '.' || case when length(digits) > power + 1 then substr(digits, power + 2) else '0' end;
  end`,
)

const era = (value: string): string =>
  `case when isfinite(${value}) and ${value} < '0001-01-01' then regexp_replace(${value}::text, '^(\\S+)(.*) BC$', '\\1 (BC)\\2') else ${value}::text end`

const texts = [
  floatText,
  plain('text(x anyelement)', 'text', 'select x::text'),
  plain('text(x text)', 'text', 'select x'),
  // Named one by one: without its own form a whole number would be taken for a float, and a time for an interval.
  ...['smallint', 'integer', 'bigint', 'numeric', 'boolean', 'time'].map(type =>
    plain(`text(x ${type})`, 'text', 'select x::text'),
  ),
  plain('text(x real)', 'text', `select ${LIBRARY}.float_text(x::text)`),
  plain('text(x double precision)', 'text', `select ${LIBRARY}.float_text(x::text)`),
  plain('text(x date)', 'text', `select ${era('x')}`),
  plain('text(x timestamp)', 'text', `select ${era('x')}`),
  plain('text(x timestamptz)', 'text', `select ${era('x')}`),
  plain('text(x interval)', 'text', `select regexp_replace(x::text, '\\mmon(s?)\\M', 'month\\1')`),
  ...['smallint', 'integer', 'bigint', 'numeric', 'boolean'].map(type =>
    plain(`json(x ${type})`, 'text', 'select x::text'),
  ),
  ...['real', 'double precision'].map(type =>
    plain(
      `json(x ${type})`,
      'text',
      `select case when abs(x) < 'infinity' then ${LIBRARY}.text(x) else to_json(${LIBRARY}.text(x))::text end`,
    ),
  ),
  plain('json(x text)', 'text', 'select to_json(x)::text'),
  plain('json(x anyelement)', 'text', `select to_json(${LIBRARY}.text(x))::text`),
]

/** A number that a text stands for exactly, before its type is asked; white space around it is left out. */
const numbers = [
  procedural(
    'try_number(x text)',
    'numeric',
    `declare t text := btrim(x, ${SPACES});
    begin
      if t !~ '^[+-]?(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?0*\\d{1,4})?$' or not pg_input_is_valid(t, 'numeric') then return null; end if;
      return t::numeric;
    end`,
  ),
  procedural(
    'try_whole(x text, limit_low numeric, limit_high numeric)',
    'bigint',
    `declare n numeric; t text := btrim(x, ${SPACES});
    begin
      if t ~ '^[+-]?\\d+$' and length(t) < 19 then n := t::bigint; else n := ${LIBRARY}.try_number(x); end if;
      if t ~ '^[+-]?\\.\\d+$' or n is null or n <> trunc(n) or n < limit_low or n > limit_high then return null; end if;
      return n::bigint;
    end`,
  ),
  plain('try_int2(x text)', 'smallint', `select ${LIBRARY}.try_whole(x, -32768, 32767)::smallint`),
  plain('try_int4(x text)', 'integer', `select ${LIBRARY}.try_whole(x, -2147483648, 2147483647)::integer`),
  plain('try_int8(x text)', 'bigint', `select ${LIBRARY}.try_whole(x, -9223372036854775808, 9223372036854775807)`),
  procedural(
    'try_decimal(x text, digits integer, scale integer)',
    'numeric',
    `declare n numeric := ${LIBRARY}.try_number(x);
    begin
      if n is null or n <> trunc(n, scale) or abs(n) >= 10::numeric ^ (digits - scale) then return null; end if;
      return trunc(n, scale);
    end`,
  ),
  ...['real', 'double precision'].map(type =>
    procedural(
      `try_float${type === 'real' ? 4 : 8}(x text)`,
      type,
      `declare t text := btrim(x, ${SPACES}); n numeric;
      begin
        if t ~* '^([+-]?inf(inity)?|nan)$' then return t::${type}; end if;
        n := ${LIBRARY}.try_number(t);
        if n is null then return null; end if;
        if pg_input_is_valid(t, '${type}') then return t::${type}; end if;
        return case when abs(n) < 1 then 0 end;
      end`,
    ),
  ),
]

function tryTime(name: string, type: string, pattern: string): string {
  return procedural(
    `${name}(x text)`,
    type,
    `declare t text := btrim(x, ${SPACES});
    begin
      if t in ('infinity', '-infinity') and '${type}' <> 'time' then return t::${type}; end if;
      if right(t, 3) = ' BC' then t := regexp_replace(left(t, -3), '^\\S+', '\\& (BC)'); end if;
      if t !~* '^${pattern}$' then return null; end if;
      if position(' (BC)' in t) > 0 then t := replace(t, ' (BC)', '') || ' BC'; end if;
      if not pg_input_is_valid(t, '${type}') then return null; end if;
      return t::${type};
    end`,
  )
}

const times = [
  tryTime('try_date', 'date', `${DAY}([ T]00:00(:00(\\.0*)?)?)?`),
  tryTime('try_time', 'time', CLOCK),
  tryTime('try_timestamp', 'timestamp', `${DAY}([ T]${CLOCK})?`),
  tryTime('try_timestamptz', 'timestamptz', `${DAY}([ T]${CLOCK}${ZONE})?`),
  ...['date', 'timestamp', 'timestamptz'].map(type =>
    // The year before the year 1 is 0, as on every other engine.
    plain(
      `year(x ${type})`,
      'integer',
      `select case when isfinite(x) then (extract(year from x) + case when extract(year from x) < 0 then 1 else 0 end)::integer end`,
    ),
  ),
  plain(
    'timestamp_of(micros bigint)',
    'timestamp',
    `select timestamp '1970-01-01' + make_interval(days => div(micros, 86400000000)::integer)
      + (micros % 86400000000) * interval '1 microsecond'`,
  ),
  ...['timestamp', 'timestamptz', 'date'].map(type =>
    plain(`micros(x ${type})`, 'bigint', 'select (extract(epoch from x) * 1000000)::bigint'),
  ),
  plain('micros(x time)', 'bigint', 'select (extract(epoch from x) * 1000000)::bigint'),
]

const others = [
  procedural(
    'try_interval(x text)',
    'interval',
    `begin
      if x ~ '\\.\\d{6}\\d*[1-9]' or not pg_input_is_valid(x, 'interval') then return null; end if;
      return x::interval;
    end`,
  ),
  procedural(
    'try_uuid(x text)',
    'uuid',
    `begin if pg_input_is_valid(x, 'uuid') then return x::uuid; end if; return null; end`,
  ),
  plain(
    'try_bool(x text)',
    'boolean',
    `select case when lower(btrim(x)) in ('true', 't', 'yes', 'y', 'on', '1') then true
      when lower(btrim(x)) in ('false', 'f', 'no', 'n', 'off', '0') then false end`,
  ),
  procedural(
    'try_json(x text)',
    'text',
    `begin if pg_input_is_valid(x, 'json') then return x; end if; return null; end`,
  ),
  procedural(
    'try_bytes(x text)',
    'bytea',
    `begin
      if x ~ '^(\\\\x)?([0-9a-fA-F]{2})*$' then return decode(regexp_replace(x, '^\\\\x', ''), 'hex'); end if;
      return null;
    end`,
  ),
  plain('try_bytes(x bytea)', 'bytea', 'select x'),
  plain('try_bytes(x anyelement)', 'bytea', `select ${LIBRARY}.try_bytes(${LIBRARY}.text(x))`),
  // Rounded half away from zero at the scale of the result; whole numbers are divided, so that nothing is rounded twice.
  plain(
    'divide(a numeric, b numeric, units numeric, unit numeric)',
    'numeric',
    `select case when b <> 0 then
      sign(a) * sign(b) * div(2 * abs(a) * units + abs(b), 2 * abs(b)) * unit end`,
  ),
  // Damerau and Levenshtein: letters left out, added, changed, and neighbours that changed places.
  procedural(
    'typos(a text, b text)',
    'bigint',
    `declare
      x text[] := string_to_array(convert_from(convert_to(a, 'UTF8'), 'LATIN1'), null);
      y text[] := string_to_array(convert_from(convert_to(b, 'UTF8'), 'LATIN1'), null);
      n integer := octet_length(a); m integer := octet_length(b); w integer := octet_length(b) + 2;
      d integer[]; seen jsonb := '{}'; last integer; i1 integer; j1 integer; cost integer;
    begin
      d := array_fill(0, array[(n + 2) * w], array[0]);
      d[0] := n + m;
      for i in 0..n loop d[(i + 1) * w] := n + m; d[(i + 1) * w + 1] := i; end loop;
      for j in 0..m loop d[j + 1] := n + m; d[w + j + 1] := j; end loop;
      for i in 1..n loop
        last := 0;
        for j in 1..m loop
          i1 := coalesce((seen->>y[j])::integer, 0); j1 := last; cost := 1;
          if x[i] = y[j] then cost := 0; last := j; end if;
          d[(i + 1) * w + j + 1] := least(d[i * w + j] + cost, d[(i + 1) * w + j] + 1, d[i * w + j + 1] + 1,
            d[i1 * w + j1] + (i - i1 - 1) + 1 + (j - j1 - 1));
        end loop;
        seen := jsonb_set(seen, array[x[i]], to_jsonb(i));
      end loop;
      return d[(n + 1) * w + m + 1];
    end`,
  ),
]

/** The statements that make the library. Repeating them is harmless. */
export const libraryStatements: readonly string[] = [
  `create schema if not exists ${LIBRARY}`,
  ...texts,
  ...numbers,
  ...times,
  ...others,
]

/** Tells one state of the library from another; kept as the comment of its schema. */
export const libraryVersion: string = createHash('sha256')
  .update(libraryStatements.join('\n'))
  .digest('hex')
  .slice(0, 16)
