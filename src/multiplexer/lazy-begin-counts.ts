/** LazyBeginCounts: what lazy_begin has saved since the start. */
export class LazyBeginCounts {
  /** BEGINs that were answered without a server. */
  begins = 0
  /** Of which those whose transaction ended without a statement. */
  empty = 0
}
