/** Upper bounds of the buckets in microseconds: 1 - 2.5 - 5, from a tenth of a millisecond to five minutes. */
export const BUCKET_MICROS: readonly number[] = [
  100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
  5_000_000, 10_000_000, 30_000_000, 60_000_000, 300_000_000,
]

/**
 * Histogram: how long something took, in buckets that are the same for everything. Only grows. Sum and counts are in
 * one array, so that a short duration touches one piece of memory.
 *
 *   [ sum in microseconds | count of each bucket, not cumulative ... | count of what is longer than all bounds ]
 */
export class Histogram {
  readonly #numbers = new Float64Array(BUCKET_MICROS.length + 2)

  get sumMicros(): number {
    return this.#numbers[0] as number
  }

  /** By bucket, not cumulative; the last one is for what is longer than all bounds. */
  get counts(): Float64Array {
    return this.#numbers.subarray(1)
  }

  observe(micros: number): void {
    let bucket = 0
    while (bucket < BUCKET_MICROS.length && micros > (BUCKET_MICROS[bucket] as number)) bucket += 1
    const numbers = this.#numbers
    numbers[bucket + 1] = (numbers[bucket + 1] as number) + 1
    if (micros > 0) numbers[0] = (numbers[0] as number) + micros
  }
}
