/** What the promises of writing call in a PostgreSQL: see `WritesSystem.procedures`. */
export const goodsProcedures = {
  addGood: `create or replace procedure add_good(bigint, text, numeric) language plpgsql as $$
  begin
    if $3 < 0 then raise exception 'no such price'; end if;
    insert into goods values ($1, $2, $3);
  end $$`,
  commitGood: `create or replace procedure commit_good(bigint, text, numeric) language plpgsql as $$
  begin
    insert into goods values ($1, $2, $3);
    commit;
  end $$`,
}
