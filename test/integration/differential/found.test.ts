import { describe, expect } from 'vitest'
import { letters } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import { stories } from '../../support/stories.ts'

/** What random conversations have found, told as stories: the smallest sequence of each, with its reason. */

const { story, pooled } = stories()

const few = (max_prepared_statements: number) => ({ pooler: { max_prepared_statements } })

describe('a client that says everything at once and leaves', () => {
  story('has its COPY done and answered', async (stage) => {
    const client = await stage.connect()
    await client.query('CREATE TABLE copied (a int)')
    client.send(f.query('COPY copied FROM STDIN'), f.copyData('1\n'), f.copyDone(), f.terminate())
    await client.receiveRest()
  })

  // The second Parse waits for the reply to the first, and FIN overtakes it.
  story('has what was held back answered before FIN counts', async (stage) => {
    const client = await stage.connect()
    client.send(f.parse('b', 'SELECT 1'), f.sync(), f.parse('b', 'SELECT 2'), f.sync())
    client.stream.end()
    await client.receiveRest()
  })
})

describe('a statement pushed out in a batch that fails', () => {
  // Its ParseComplete came while it was out of the books, its Close was never carried out.
  story(
    'can be used again',
    async (stage) => {
      const client = await stage.connect()
      client.send(f.parse('b', 'SELECT 1'), f.execute('none'), f.parse('c', 'SELECT 3'), f.sync())
      await client.receiveUntil('Z')
      await client.roundTrip(f.run('b'), f.sync())
    },
    few(1),
  )

  // Whether its Close is carried out is decided by a batch whose reply is not there yet.
  story(
    'can be used in the next batch of the same segment',
    async (stage) => {
      const client = await stage.connect()
      client.send(
        f.parse('b', 'SELECT 1'),
        f.sync(),
        f.parse('a', 'SELECT 2'),
        f.execute('none'),
        f.parse('c', 'SELECT 3'),
        f.sync(),
        f.run('b'),
        f.sync(),
      )
      await client.receiveReplies(3)
    },
    few(2),
  )

  // It comes back, and is closed all the same: by the Close of its successor, which the next batch pushes out in turn.
  story(
    'is gone if the next batch closes it once more',
    async (stage) => {
      const client = await stage.connect()
      await client.roundTrip(f.parse('b', 'SELECT 1'), f.sync())
      client.send(
        f.execute('none'),
        f.parse('c', 'SELECT 2'),
        f.run('b'),
        f.sync(),
        f.parse('a', 'SELEC'),
        f.sync(),
        f.parse('b', 'SELECT 3'),
        f.sync(),
        f.run('b'),
        f.sync(),
      )
      await client.receiveReplies(4)
    },
    few(1),
  )

  // Coming back it pushes another one out, which the server still has.
  story(
    'does not make the server forget others',
    async (stage) => {
      const client = await stage.connect()
      client.send(
        f.parse('c', 'SELECT 1'),
        f.parse('a', 'SELEC'),
        f.parse('b', 'SELECT 3'),
        f.sync(),
        f.parse('d', 'SELECT 4'),
        f.sync(),
        f.parse('e', 'SELECT 5'),
        f.sync(),
      )
      await client.receiveReplies(3)
      for (const name of ['d', 'e', 'c', 'd', 'e']) await client.roundTrip(f.run(name), f.sync())
    },
    few(2),
  )
})

describe('DISCARD and DEALLOCATE', () => {
  // The tag of DISCARD PLANS says nothing about names; the Sync that would settle it is behind the Parse that waits.
  story('of something else do not stop the batch', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.parse('', 'DISCARD PLANS'),
      f.bind(),
      f.execute(),
      f.parse('b', 'SELECT 1'),
      f.run('b'),
      f.sync(),
    )
    await client.receiveUntil('Z')
  })

  story('take the name away even if the next unnamed Parse is already there', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.parse('a', 'SELECT 1'),
      f.parse('', 'DEALLOCATE a'),
      f.bind(),
      f.execute(),
      f.parse('', 'SELECT 2'),
      f.run('a'),
      f.sync(),
    )
    await client.receiveUntil('Z')
  })

  story('as a simple query are ignored in a batch that has failed', async (stage) => {
    const client = await stage.connect()
    client.send(f.parse('b', 'SELECT 1'), f.execute('none'), f.query('DEALLOCATE b'), f.sync())
    await client.receiveUntil('Z')
    await client.roundTrip(f.run('b'), f.sync())
  })
})

describe('values of the startup message', () => {
  const exact = { options: '-c extra_float_digits=0' }

  story('are applied again after RESET, not into the middle of the next batch', async (stage) => {
    const client = await stage.connect({ parameters: exact })
    client.send(f.extended('RESET DateStyle'), f.sync(), f.parse('b', 'SELECT 1'))
    await client.receiveUntil('Z')
    await client.roundTrip(f.run('b'), f.sync())
  })

  story('do not stay behind when RESET was in a transaction that failed', async (stage) => {
    const client = await stage.connect({ parameters: exact })
    await client.query('BEGIN')
    await client.query('RESET DateStyle; SELECT 1/0')
    await client.query('ROLLBACK')
    const next = await stage.connect()
    expect(await next.value('SHOW extra_float_digits')).toBe('1')
  })

  // PostgreSQL reports no value that does not change: "ISO" is "ISO, MDY" already.
  story('are reported as PostgreSQL spells them, also where it had them already', async (stage) => {
    for (const DateStyle of ['ISO', 'German', 'German']) {
      const client = await stage.connect({ parameters: { DateStyle } })
      expect(client.parameters.get('DateStyle')).toBe(DateStyle === 'ISO' ? 'ISO, MDY' : 'German, DMY')
      await client.query("SELECT '2020-02-01'::date")
    }
  })
})

describe('half a DateStyle in the startup message', () => {
  // "ISO" alone leaves the order of day and month as the server has it: as the client before wanted it.
  story('does not get the other half of the client before', async (stage) => {
    for (const DateStyle of ['German', 'ISO', 'ISO']) {
      const client = await stage.connect({ parameters: { DateStyle } })
      expect(client.parameters.get('DateStyle')).toBe(DateStyle === 'ISO' ? 'ISO, MDY' : 'German, DMY')
      await client.query("SELECT '01/02/2020'::date")
    }
  })
})

describe('DISCARD ALL and DEALLOCATE ALL as named statements', () => {
  story(
    'take names away that the same batch goes on to use',
    async (stage) => {
      const client = await stage.connect()
      client.send(f.parse('a', 'SELECT 1'), f.sync())
      await client.receiveUntil('Z')
      client.send(f.parse('c', 'DISCARD ALL'), f.run('c'), f.run('a'), f.sync())
      await client.receiveUntil('Z')
    },
    few(1),
  )

  story('leave the names that come behind them', async (stage) => {
    const client = await stage.connect()
    client.send(f.parse('c', 'SELECT 1'), f.sync())
    await client.receiveUntil('Z')
    client.send(f.parse('b', 'DEALLOCATE ALL'), f.run('b'), f.parse('c', 'SELECT 2'), f.sync())
    client.send(f.run('c'), f.sync())
    await client.receiveReplies(2)
  })
})

// PostgreSQL reads a Sync behind COPY's Execute as part of the data: the batch is open until the one behind CopyDone.
describe('a COPY in the extended protocol whose early Sync was read as data', () => {
  for (const flush of [true, false]) {
    pooled(`is rolled back if its client leaves ${flush ? 'after' : 'before'} its reply`, async (stage) => {
      const client = await stage.connect()
      const next = await stage.connect()
      await client.query('CREATE TABLE copied (a int)')
      client.send(f.extended('COPY copied FROM STDIN'), f.sync())
      await client.receiveUntil('G')
      client.send(f.copyData('1\n'), f.copyDone(), ...(flush ? [f.flush()] : []))
      if (flush) await client.receiveUntil('C')
      client.destroy()
      const askedMs = Date.now()
      expect(await next.value('SELECT count(*) FROM copied')).toBe('0')
      expect(Date.now() - askedMs, 'ms that the next client waited').toBeLessThan(1500)
    })
  }

  // PostgreSQL keeps the reply to CopyDone until it is asked for it, which the Bind that waits for it must do.
  story('can be executed once more behind it', async (stage) => {
    const client = await stage.connect()
    await client.query('CREATE TABLE copied (a int)')
    client.send(f.extended('COPY copied FROM STDIN'), f.sync(), f.copyDone(), f.bind(), f.execute())
    await client.receiveUntil('G')
    await client.receiveUntil('G')
    client.send(f.copyDone(), f.sync())
    await client.receiveUntil('Z')
  })

  for (const [what, first] of [
    ['has been announced', true],
    ['has not been announced yet', false],
  ] as const) {
    // The Bind would wait for the end of the COPY, and the COPY for the client.
    for (const [message, bytes] of [
      ['a Bind', f.bind()],
      ['a Close of a statement', f.close('S', 'none')],
    ] as const)
      story(
        `ends the connection of who sends ${message} in place of data, when it ${what}`,
        async (stage) => {
          const client = await stage.connect()
          await client.query('CREATE TABLE copied (a int)')
          client.send(f.query('COPY copied FROM STDIN'))
          if (first) await client.receiveUntil('G')
          client.send(bytes)
          await client.closed()
          const other = await stage.connect()
          expect(letters(await other.query('SELECT 1'))).toBe('TDCZ')
        },
      )
  }

  // The Sync in front of the data was read with it, whatever else comes behind it.
  story('that fails is skipped to the next Sync, with what was sent behind its data', async (stage) => {
    const client = await stage.connect()
    await client.query('CREATE TABLE copied (a int)')
    client.send(f.extended('COPY copied FROM STDIN'), f.sync(), f.copyData('x\n'), f.close('P', 'none'))
    client.send(f.extended('SELECT 1'), f.sync())
    await client.receiveUntil('Z')
    await client.query('SELECT 2')
    client.end()
    await client.closed()
  })

  pooled('does not cost the next client an error when a simple query ends the batch', async (stage) => {
    const client = await stage.connect()
    const next = await stage.connect()
    await client.query('CREATE TABLE copied (a int)')
    client.send(f.extended('COPY copied FROM STDIN'), f.sync(), f.copyDone(), f.query('SELECT 1'))
    await client.receiveUntil('Z')
    await client.roundTrip(f.sync())
    expect(letters(await next.query('SELECT 3'))).toBe('TDCZ')
  })
})

// PostgreSQL 18 itself answers the next statement with XX000, "StartTransactionCommand: unexpected state STARTED".
for (const [what, message] of [
  ['a simple query', f.query('SELECT 2')],
  ['a DEALLOCATE', f.query('DEALLOCATE named')],
  ['a function call', f.functionCall(177, [f.int4(1), f.int4(2)])],
] as const) {
  pooled(`${what} inside a batch does not cost the next client an error`, async (stage) => {
    const client = await stage.connect()
    const next = await stage.connect()
    await client.roundTrip(f.parse('named', 'SELECT 1'), f.sync())
    client.send(f.extended('SELECT 1'), message)
    await client.receiveUntil('Z')
    await client.roundTrip(f.sync())
    expect(letters(await next.query('SELECT 3'))).toBe('TDCZ')
  })
}

// The Parse that another client makes necessary is skipped with its batch; the next Bind is there already.
story('an unnamed statement outlives a batch that fails in front of its Bind', async (stage) => {
  const client = await stage.connect()
  const other = await stage.connect()
  await client.roundTrip(f.parse('', 'SELECT $1::text'), f.sync())
  await other.query('SELECT 2')
  client.send(f.execute('none'), f.bind(), f.sync(), f.bind(), f.sync())
  await client.receiveReplies(2)
})

// The path is reset with the batch, and what was parsed under it does not fit any more.
story('a skipped Parse leaves the server the unnamed statement that it has, with its plan', async (stage) => {
  const client = await stage.connect()
  await client.query('CREATE SCHEMA one; CREATE TABLE one.t (a text); CREATE TABLE t (a int)')
  const parse = f.parse('', 'SELECT a FROM t')
  client.send(f.extended('SET search_path TO one'), parse, f.execute('none'), parse, f.sync())
  await client.receiveUntil('Z')
  client.send(f.bind(), f.execute(), f.sync())
  expect(letters(await client.receiveUntil('Z'))).toBe('EZ')
  await client.query('DROP SCHEMA one CASCADE')
})

story(
  'DEALLOCATE of a statement, parsed with types of parameters that it has not, fails as ever',
  async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('named', 'SELECT 1'), f.sync())
    client.send(
      f.parse('', 'DEALLOCATE named', [0]),
      f.sync(),
      f.parse('', 'DEALLOCATE named', [23]),
      f.sync(),
    )
    await client.receiveReplies(2)
    client.send(f.bind(), f.execute(), f.sync(), f.describeMessage('S', 'named'), f.sync())
    await client.receiveReplies(2)
  },
)

// What it means is decided when it is executed, in another batch than its Parse.
story('an unnamed DEALLOCATE is of the name that there is when it is executed', async (stage) => {
  const client = await stage.connect()
  const other = await stage.connect()
  const prepare = f.parse('named', 'SELECT 1')
  const again = [f.bind(), f.execute(), f.sync()]
  await client.roundTrip(f.parse('', 'DEALLOCATE named'), f.sync())
  await client.roundTrip(prepare, f.sync())
  await client.roundTrip(...again)
  await client.roundTrip(...again)
  await client.roundTrip(prepare, f.sync())
  await other.query('SELECT 2')
  await client.roundTrip(...again)
  await client.roundTrip(...again)
  client.send(prepare, f.sync(), f.bind('', { portal: 'p' }), f.bind(), f.execute(), f.execute('p'), f.sync())
  await client.receiveReplies(2)
  client.send(prepare, ...again, ...again)
  await client.receiveReplies(2)
  await client.roundTrip(f.describeMessage('S', 'named'), f.sync())
})

// The value that it was set to is the server's own default, as it is after a RESET.
for (const [how, reset] of [
  ['as a simple query', [f.query('RESET DateStyle')]],
  ['unnamed', [f.extended('RESET DateStyle'), f.sync()]],
  ['named', [f.parse('reset', 'RESET DateStyle'), f.bind('reset'), f.execute(), f.sync()]],
] as const) {
  story(
    `RESET of another parameter, ${how}, leaves one that was set to the default of the server`,
    async (stage) => {
      const client = await stage.connect({ parameters: { application_name: 'started', DateStyle: 'German' } })
      await client.query("SET application_name TO ''")
      await client.roundTrip(...reset)
      await client.query('SHOW application_name')
      await client.query('SHOW DateStyle')
      await client.query('RESET application_name')
      await client.query('SHOW application_name')
    },
  )
}

story('a skipped Parse does not lead to the unnamed statement of another client', async (stage) => {
  const other = await stage.connect()
  await other.roundTrip(f.parse('', 'SELECT 2'), f.sync())
  const client = await stage.connect()
  client.send(f.execute('none'), f.parse('', 'SELECT 1'), f.sync(), f.describeMessage('S', ''), f.sync())
  await client.receiveReplies(2)
})

describe('a text repeated in the next batch as the unnamed statement, all of it pipelined', () => {
  const on = { pooler: { prepare_unnamed: true } }

  // Both are the same to the pooler, and only the first is skipped.
  story(
    'is not taken back with the one that was skipped',
    async (stage) => {
      const client = await stage.connect()
      await client.roundTrip(f.parse('', 'SELECT 1'), f.sync())
      client.send(
        ...[f.parse('', 'SELECT 2'), f.execute('none'), f.parse('', 'SELECT 1'), f.sync()],
        ...[f.parse('', 'SELECT 1'), f.sync(), f.describeMessage('S', ''), f.bind(), f.execute(), f.sync()],
      )
      await client.receiveReplies(3)
    },
    on,
  )

  for (const options of [on, {}]) {
    story(
      `nor is what stands if that batch fails, too${options === on ? ', while it is prepared' : ''}`,
      async (stage) => {
        const client = await stage.connect()
        await client.roundTrip(f.parse('', 'SELECT 1'), f.sync())
        client.send(
          ...[f.execute('none'), f.parse('', 'SELECT 2'), f.sync()],
          ...[f.execute('none'), f.parse('', 'SELECT 3'), f.sync()],
          ...[f.bind(), f.execute(), f.sync()],
        )
        await client.receiveReplies(3)
      },
      options,
    )
  }

  // DROP is hidden in a function, so that it is parsed as if nothing had happened.
  story(
    'stands although the one before it failed',
    async (stage) => {
      const client = await stage.connect()
      const text = f.parse('', 'SELECT * FROM t')
      await client.query('CREATE TABLE t AS SELECT 1 AS a')
      for (const name of ['t RENAME TO u', 'u RENAME TO t']) {
        const body = `BEGIN ALTER TABLE ${name}; RETURN 1; END`
        await client.query(`CREATE FUNCTION rename_${name[0]}() RETURNS int LANGUAGE plpgsql AS '${body}'`)
      }
      await client.roundTrip(text, f.sync())
      await client.roundTrip(
        f.parse('away', 'SELECT rename_t()'),
        f.parse('back', 'SELECT rename_u()'),
        f.sync(),
      )
      client.send(
        ...[text, f.run('away'), f.sync(), text, f.sync(), f.run('back'), f.sync(), text, f.sync()],
        ...[f.bind(), f.execute(), f.sync()],
      )
      await client.receiveReplies(5)
    },
    on,
  )
})

// The other client speaks the extended protocol with names only, so that the first server keeps its unnamed statement.
for (const prepare_unnamed of [true, false]) {
  story(
    `a client that comes back to a server has its last unnamed statement there, not the one it left${prepare_unnamed ? '' : ', without prepare_unnamed'}`,
    async (stage) => {
      const client = await stage.connect()
      const other = await stage.connect()
      await other.roundTrip(f.parse('begin', 'BEGIN'), f.parse('commit', 'COMMIT'), f.sync())
      await client.roundTrip(f.parse('', "SELECT 'first'"), f.sync())
      await other.roundTrip(f.run('begin'), f.sync())
      await client.roundTrip(f.parse('', "SELECT 'second'"), f.sync())
      await other.roundTrip(f.run('commit'), f.sync())
      await client.roundTrip(f.bind(), f.execute(), f.sync())
    },
    { poolSize: 2, pooler: { prepare_unnamed } },
  )
}

describe('a COPY that its data has ended', () => {
  // The Parse waits for the DEALLOCATE, and is not in place of data: that Query would have been, before it.
  story('has the messages behind it answered, also one that waits for another', async (stage) => {
    const client = await stage.connect()
    await client.query('CREATE TABLE copied (a int)')
    client.send(f.query('COPY copied FROM STDIN'))
    await client.receiveUntil('G')
    client.send(f.copyData('not a number\n'), f.query('DEALLOCATE b'), f.parse('', 'DEALLOCATE a'), f.sync())
    await client.receiveReplies(3)
  })
})
