import { readFile } from 'node:fs/promises'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { metricTable } from '../../../src/metrics/metric-table.ts'
import { metricsDoc } from '../../../src/metrics/metrics-doc.ts'

/** What is written about metrics in other places than the table is true. */

describe('the table', () => {
  test('has each name once, as Prometheus wants names to be', () => {
    const names = metricTable.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    for (const { name, type, labels, help } of metricTable) {
      expect(name).toMatch(/^pooler_[a-z_]+$/)
      expect(name.endsWith('_total'), name).toBe(type === 'counter')
      if (type === 'histogram') expect(name).toMatch(/_seconds$/)
      for (const label of labels) expect(label).toMatch(/^[a-z]+$/)
      expect(help).toMatch(/[.)]$/)
    }
  })

  test('docs/metrics.md is made from it: npm run metrics-table', async () => {
    expect(await readFile('docs/metrics.md', 'utf8')).toBe(metricsDoc())
  })
})

describe('contrib/grafana/pooler.json', () => {
  interface Panel {
    id: number
    type: string
    title: string
    gridPos: { x: number; y: number; w: number; h: number }
    datasource?: { uid: string }
    targets?: { expr: string }[]
  }

  async function panels(): Promise<Panel[]> {
    return JSON.parse(await readFile('contrib/grafana/pooler.json', 'utf8')).panels
  }

  function seriesNames(): Set<string> {
    const registry = new Registry()
    collectDefaultMetrics({ register: registry })
    const names = new Set(registry.getMetricsAsArray().map(({ name }) => name))
    for (const { name, type } of metricTable)
      for (const suffix of type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''])
        names.add(`${name}${suffix}`)
    return names
  }

  test('every metric and every label that a panel asks for exists', async () => {
    const known = seriesNames()
    const labels = new Map(metricTable.map((metric) => [metric.name, metric.labels]))
    const expressions = (await panels()).flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    expect(expressions.length).toBeGreaterThan(40)
    for (const expression of expressions) {
      const selectors = [...expression.matchAll(/\b((?:pooler|process|nodejs)_\w+)\{(.*?)\}/g)]
      expect(selectors.length, expression).toBeGreaterThan(0)
      expect([...expression.matchAll(/\b(?:pooler|process|nodejs)_\w+/g)].length).toBe(selectors.length)
      for (const [, name = '', matchers = ''] of selectors) {
        expect(known, expression).toContain(name)
        const own = labels.get(name.replace(/_(bucket|sum|count)$/, '')) ?? labels.get(name) ?? []
        const used = [...matchers.matchAll(/(\w+)=~?"/g)].map(([, label]) => label as string)
        const grouped = (/by \((.*?)\)/.exec(expression)?.[1] ?? '').split(', ').filter(Boolean)
        for (const label of [...used, ...grouped])
          expect([...own, 'instance', 'le'], expression).toContain(label)
      }
    }
  })

  test('panels use the data source that is chosen, have numbers of their own and do not overlap', async () => {
    const all = await panels()
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
    const taken = new Set<string>()
    for (const { type, title, datasource, gridPos } of all) {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own syntax
      if (type !== 'row') expect(datasource?.uid, title).toBe('${datasource}')
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x} ${y}`), title).toBe(false)
          taken.add(`${x} ${y}`)
        }
      }
    }
  })
})
