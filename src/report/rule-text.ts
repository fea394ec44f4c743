import type { EntityDef, RuleBound, RuleDef } from '../config/model.ts'

/** What a control asks of a row, in words. Built-in controls have names of their own: `<column>.cast` and so on. */
export function ruleText(entity: EntityDef, id: string): string {
  const rule = entity.rules.find(it => it.id === id)
  if (rule !== undefined) return checkText(rule)
  if (id === '_key.unique') return 'no two rows have the same key'
  if (id.endsWith('.cast')) return 'the text fits the declared type'
  if (id.endsWith('.map')) return 'the value stands in the map'
  if (id.endsWith('.not-null')) return 'there is a value'
  return 'a control of an earlier config'
}

function checkText({ check, columns }: RuleDef): string {
  switch (check.kind) {
    case 'required':
      return 'there is a value'
    case 'range':
      return rangeText(check.min, check.max)
    case 'oneOf':
      return check.values.length > 6 ? `one of ${check.values.length} values` : `one of ${check.values.join(', ')}`
    case 'pattern':
      return `matches ${check.re2}`
    case 'unique':
      return `no two rows have the same ${columns.join(', ')}`
    case 'reference':
      return `known to ${'entity' in check.to ? check.to.entity : `${check.to.source}.${check.to.table}`}`
    case 'expression':
      return 'a condition of the config'
  }
}

function rangeText(min: RuleBound, max: RuleBound): string {
  if (min === null) return `at most ${max ?? 'anything'}`
  return max === null ? `at least ${min}` : `from ${min} to ${max}`
}
