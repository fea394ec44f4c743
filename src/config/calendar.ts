import { t } from './column.ts'

/** What a calendar dimension offers to a summary, one row a day. The warehouse fills these columns. */
export const calendarColumns = {
  date: t.date(),
  year: t.int(),
  quarter: t.int(),
  /** `2026-11` */
  month: t.text(),
  month_number: t.int(),
  day: t.int(),
  /** ISO 8601, as the two below. */
  week: t.int(),
  week_year: t.int(),
  /** 1 is Monday. */
  weekday: t.int(),
  weekday_name: t.text(),
  is_weekend: t.bool(),
} as const

export type CalendarColumns = typeof calendarColumns
