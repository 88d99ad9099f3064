/** All bytes of the message at `start`: the type byte and what the length word counts. */
export function messageBytes(chunk: Buffer, start: number): number {
  return (
    (((chunk[start + 1] as number) << 24) |
      ((chunk[start + 2] as number) << 16) |
      ((chunk[start + 3] as number) << 8) |
      (chunk[start + 4] as number)) +
    1
  )
}
