/** The table `wide` before anything happens, in the SQL of both PostgreSQL and MariaDB. */
export const wideTable = [
  'create table wide (id integer primary key, a integer, b integer)',
  `insert into wide values ${Array.from({ length: 12 }, (_, i) => `(${i + 1}, ${10 * (i + 1)}, 0)`).join(', ')}`,
]

/**
 * Changes of rows from before `column` came, and from behind it: rows with only the one or the other, made, taken away, made
 * again, and with another key. `place` keeps the keys of several stories apart.
 */
export function lateColumn(column: string, place: number): readonly string[] {
  const id = (n: number): number => place * 1000 + n
  return [
    `insert into wide (id, a, b) select id + ${id(0)}, a, b from wide where id <= 12`,
    `update wide set a = a + 1 where id in (1, 2, ${id(1)}, ${id(2)})`,
    `delete from wide where id in (${id(3)}, ${id(4)}, 3)`,
    `insert into wide (id, a, b) values (${id(3)}, 33, 3), (3, 33, 3)`,
    `update wide set id = ${id(50)} where id = ${id(5)}`,
    `update wide set id = ${id(5)}, b = 5 where id = ${id(6)}`,
    `update wide set id = ${id(60)} where id = ${id(50)}`,
    `update wide set a = 7 where id = ${id(7)}`,
    `update wide set a = 8 where id = ${id(8)}`,
    `alter table wide add column ${column} varchar(20) default 'there'`,
    `insert into wide (id, a, b, ${column}) values (${id(20)}, 20, 0, 'new'), (${id(21)}, 21, 0, null)`,
    `update wide set ${column} = 'given' where id in (2, ${id(2)})`,
    `delete from wide where id = ${id(7)}`,
    `insert into wide (id, a, b) values (${id(7)}, 77, 0)`,
    `update wide set id = ${id(80)} where id = ${id(8)}`,
    `update wide set ${column} = null where id = ${id(9)}`,
    `delete from wide where id = ${id(10)}`,
  ]
}
