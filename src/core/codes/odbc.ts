import { entry } from './entry.ts'

/** Errors of ODBC: the driver manager of the machine, its drivers, and what they do to us. */
export const odbcCodes = {
  ODBC_MANAGER_MISSING: entry({
    text: (p: { source: string; problem: string }) =>
      `source "${p.source}" needs an ODBC driver manager and this machine has none: ${p.problem}`,
    fix: 'Install unixODBC: `apt-get install unixodbc` on Debian and Ubuntu, `dnf install unixODBC` on Fedora and Red Hat, `brew install unixodbc` on macOS; then install the driver of your system.',
    retry: 'never',
  }),
  ODBC_DRIVER_MISSING: entry({
    text: (p: { source: string; problem: string }) =>
      `the driver manager knows no such data source or driver for source "${p.source}": ${p.problem}`,
    fix: '`odbcinst -q -d` lists the drivers and `odbcinst -q -s` the data sources of this machine. Install the driver (on Debian: odbc-postgresql, odbc-mariadb, libsqliteodbc), or correct DSN= or Driver= in the connection string.',
    retry: 'never',
  }),
  ODBC_DRIVER_CRASHED: entry({
    text: (p: { source: string; driver: string; how: string }) =>
      `the ODBC driver ${p.driver} of source "${p.source}" ended its process with ${p.how}`,
    fix: 'Run again: the driver ran in a process of its own, and nothing of the broken load is visible. If it happens again, update the driver or report it to its makers.',
    retry: 'later',
  }),
  ODBC_WRITES_UNKNOWN: entry({
    text: (p: { source: string; dbms: string }) =>
      `"${p.source}" cannot be written through ODBC: nobody knows how ${p.dbms} spells its types and values`,
    fix: 'SQLite, PostgreSQL, MariaDB and MySQL are written through ODBC. Write a file or one of those, and load it with the tools of the system.',
    retry: 'never',
  }),
} as const
