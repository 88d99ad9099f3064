/**
 * Exposition: a parser of Prometheus' text format that takes nothing but what the format allows, and what is in it.
 * Source: Prometheus documentation, "Exposition formats".
 */

interface Family {
  type: string
  help: string
}

const COMMENT = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y
const SUFFIX = /_(?:bucket|sum|count)$/

export class Exposition {
  readonly families = new Map<string, Family>()
  readonly #values = new Map<string, number>()

  /** Throws where the text is not what Prometheus takes. */
  static parse(text: string): Exposition {
    const exposition = new Exposition()
    if (!text.endsWith('\n')) throw new Error('the last line does not end')
    for (const line of text.split('\n')) if (line !== '') exposition.#read(line)
    exposition.#checkHistograms()
    return exposition
  }

  /** 0 for a series that is not there. */
  value(series: string): number {
    return this.#values.get(series) ?? 0
  }

  /** The series of one name with all of these labels. */
  *series(name: string, labels: Record<string, string> = {}): Generator<[string, number]> {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    for (const [series, value] of this.#values) {
      if (series.split('{')[0] === name && wanted.every((label) => series.includes(label)))
        yield [series, value]
    }
  }

  sum(name: string, labels: Record<string, string> = {}): number {
    return [...this.series(name, labels)].reduce((sum, [, value]) => sum + value, 0)
  }

  /** Everything that may not become less: counters, and the parts of histograms. */
  *growing(): Generator<[string, number]> {
    for (const [series, value] of this.#values) {
      const type = this.#familyOf(series.split('{')[0] as string)?.type
      if (type === 'counter' || type === 'histogram') yield [series, value]
    }
  }

  #read(line: string): void {
    const [, kind, name = '', text = ''] = COMMENT.exec(line) ?? []
    if (kind === 'HELP') {
      if (this.families.has(name)) throw new Error(`${name} is there twice`)
      this.families.set(name, { help: text, type: '' })
      return
    }
    if (kind === 'TYPE') {
      const family = this.families.get(name)
      if (family === undefined || !/^(counter|gauge|histogram|summary)$/.test(text))
        throw new Error(`not a type: ${line}`)
      family.type = text
      return
    }
    const [, sample, labels = '', value = ''] = SAMPLE.exec(line) ?? []
    if (sample === undefined) throw new Error(`not a sample: ${line}`)
    if (this.#familyOf(sample) === undefined) throw new Error(`no HELP before: ${line}`)
    checkLabels(labels)
    const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value)
    if (Number.isNaN(number) && value !== 'Nan') throw new Error(`not a number: ${line}`)
    const series = labels === '' ? sample : `${sample}{${labels}}`
    if (this.#values.has(series)) throw new Error(`${series} is there twice`)
    this.#values.set(series, number)
  }

  #familyOf(name: string): Family | undefined {
    const own = this.families.get(name)
    if (own !== undefined) return own
    const family = this.families.get(name.replace(SUFFIX, ''))
    return family?.type === 'histogram' || family?.type === 'summary' ? family : undefined
  }

  /** Buckets are cumulative, and the last one is the count. */
  #checkHistograms(): void {
    const last = new Map<string, number>()
    for (const [series, value] of this.#values) {
      const [, name, labels = ''] = /^(.*)_bucket\{(.*)\}$/.exec(series) ?? []
      if (name === undefined) continue
      const bound = /le="(.*?)"/.exec(labels)?.[1]
      const others = labels.replace(/le="[^"]*",?/, '').replace(/,$/, '')
      const key = others === '' ? `${name}_count` : `${name}_count{${others}}`
      if (value < (last.get(key) ?? 0)) throw new Error(`less than the bucket before: ${series}`)
      last.set(key, value)
      if (bound === '+Inf' && value !== this.#values.get(key)) throw new Error(`not the count: ${series}`)
    }
  }
}

function checkLabels(labels: string): void {
  LABEL.lastIndex = 0
  while (LABEL.lastIndex < labels.length) {
    const from = LABEL.lastIndex
    if (LABEL.exec(labels) === null) throw new Error(`not a label: ${labels.slice(from)}`)
  }
}
