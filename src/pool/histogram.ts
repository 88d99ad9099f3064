/** Upper bounds of the buckets in microseconds: 1 - 2.5 - 5, from a tenth of a millisecond to five minutes. */
export const BUCKET_MICROS: readonly number[] = [
  100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
  5_000_000, 10_000_000, 30_000_000, 60_000_000, 300_000_000,
]

/** Histogram: how long something took, in buckets that are the same for everything. Only grows. */
export class Histogram {
  /** By bucket, not cumulative; the last one is for what is longer than all bounds. */
  readonly counts = new Float64Array(BUCKET_MICROS.length + 1)
  sumMicros = 0

  observe(micros: number): void {
    let bucket = 0
    while (bucket < BUCKET_MICROS.length && micros > (BUCKET_MICROS[bucket] as number)) bucket += 1
    this.counts[bucket] = (this.counts[bucket] as number) + 1
    if (micros > 0) this.sumMicros += micros
  }
}
